package engine

import (
	"context"

	"github.com/coltec/coltec/pkg/scope"
)

// lookAhead begins to read, but not at each look of a machine that waits until another
// gives the lease back. Where the lease is not obtained after all, drop ends it.
func (l *loop) lookAhead(ctx context.Context) (drop func()) {
	for _, m := range l.members {
		m.forget() // what an acquisition before left
	}
	if l.leaseErr != nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var reads []func()
	for _, m := range l.members {
		if !m.Writes() || m.course.paused || m.Blocked != "" || l.connectMember(ctx, m) != nil {
			continue
		}
		var plain scope.Remote
		if m.Layout == "snapshot" {
			plain, _ = l.connectPlain(ctx, m.Name, &m.cost) // whoever needs it says what is wrong
		}
		f := &foreseen{done: make(chan struct{})}
		m.ahead = f
		reads = append(reads, func() {
			defer close(f.done)
			f.read(ctx, m.remote, plain)
		})
	}
	l.clock.beside(func() {
		defer cancel()
		for _, read := range reads { // one by one: the lease is what is waited for
			read()
		}
	})
	return func() {
		cancel()
		for _, m := range l.members {
			m.forget()
		}
	}
}

// forget drops what was read ahead.
func (m *member) forget() {
	m.ahead.wait()
	m.ahead = nil
}
