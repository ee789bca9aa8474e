package engine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/store"
)

// Logins are what agents log in with. They are carried under the lease, apart from the
// replicas. The goroutine of Run has one thing done with them at a time; Watch and Notes are
// beside it.
type Logins interface {
	// Take brings those here to what is in the bucket, once in each epoch of the head.
	Take(ctx context.Context, root store.Bucket, head *store.Head, strong bool) error
	// Give pushes what changed since.
	Give(ctx context.Context, root store.Bucket) error
	// Watch calls changed when there may be something to push, until ctx ends.
	Watch(ctx context.Context, changed func())
	// Notes are what a person should know.
	Notes() []string
}

// ErrLogins says that a login changed here, and could not be pushed before the end.
var ErrLogins = errors.New("a login is in its newest version on this machine only")

// loginTurn is when logins are taken and given. It is a value.
type loginTurn struct {
	lineage string // of the head under which they were taken
	epoch   int64  // and its epoch; 0: they were not
	changed bool   // something may have to be pushed
	failed  int    // attempts one after the other
	err     error  // of the last one
	next    time.Time
}

// taken reports whether the logins were taken under a head's lease.
func (t loginTurn) taken(h *store.Head) bool { return t.epoch == h.Epoch && t.lineage == h.Lineage }

// took is the turn after they were; gave after they were given; each may have failed.
func (t loginTurn) took(h *store.Head, err error, at instant) loginTurn {
	if err == nil {
		return loginTurn{lineage: h.Lineage, epoch: h.Epoch, changed: true}
	}
	return t.fail(err, at)
}

func (t loginTurn) gave(err error, at instant) loginTurn {
	if err == nil {
		t.changed, t.failed, t.err, t.next = false, 0, nil, time.Time{}
		return t
	}
	return t.fail(err, at)
}

func (t loginTurn) fail(err error, at instant) loginTurn {
	t.failed++
	t.err, t.next = err, at.now.Add(at.delay(t.failed))
	return t
}

// left is the error of an end at which something was not pushed.
func (t loginTurn) left() error {
	if t.err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrLogins, t.err)
}

// loginsDue reports whether there is something to be done, at turn.next.
func (t *tenure) loginsDue() bool {
	return t.o.Logins != nil && t.writable() && (t.turn.changed || !t.turn.taken(t.lease.Head()))
}

// takes is how often logins are asked for before the replicas are restored: who waits for
// those may use what was not taken.
const takes = 3

// custody takes and gives logins in their turn.
type custody struct{ *loop }

// keepLogins takes the logins under a lease that was acquired, before anything is restored,
// and pushes what changed. That it cannot holds up nothing else.
func (l custody) keepLogins(ctx context.Context) {
	if !l.loginsDue() || l.now().Before(l.turn.next) || ctx.Err() != nil {
		return
	}
	for try := 1; !l.turn.taken(l.lease.Head()); try++ {
		head, strong := l.lease.Head(), l.lease.Strong()
		err := l.work(ctx, func(ctx context.Context) error { return l.o.Logins.Take(ctx, l.head, head, strong) })
		l.turn = l.turn.took(head, err, l.instant())
		if err != nil {
			l.o.Log.Warn("logins were not taken", "error", err, "next", l.turn.next)
		}
		if err != nil && (try == takes || ctx.Err() != nil) || !l.writable() {
			return
		}
	}
	l.giveLogins(ctx)
}

// giveLogins pushes what changed; a change meanwhile is told after it.
func (l custody) giveLogins(ctx context.Context) {
	err := l.work(ctx, func(ctx context.Context) error { return l.o.Logins.Give(ctx, l.head) })
	l.turn = l.turn.gave(err, l.instant())
	if err != nil {
		l.o.Log.Warn("logins were not pushed", "error", err, "next", l.turn.next)
	}
}

// lastMost is how long the logins may take at an end: what is left of its time is for files.
const lastMost = 3 * time.Second

// lastLogins pushes what changed before the lease is given back. The replicas have their
// turn whatever came of it.
func (l custody) lastLogins(ctx context.Context) bool {
	if l.o.Logins == nil || !l.writable() {
		return true
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lastMost, fmt.Errorf("the logins took longer than %s", lastMost))
	defer cancel()
	l.turn.changed, l.turn.next = true, time.Time{}
	l.keepLogins(ctx)
	return true
}

// watchLogins watches for changes, until the context ends; the result waits for that.
func (e *Engine) watchLogins(ctx context.Context) (wait func()) {
	if e.o.Logins == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		e.o.Logins.Watch(ctx, func() {
			select {
			case e.logins <- struct{}{}:
			default: // it was told already
			}
		})
	})
	return func() {
		cancel()
		watcher.Wait()
	}
}

// loginNotes says what a person should know of the logins.
func (b observer) loginNotes() []string {
	if b.o.Logins == nil {
		return nil
	}
	notes := b.o.Logins.Notes()
	if b.turn.err != nil {
		notes = append(notes, "logins: "+anchor.OneLine(b.turn.err)+"; it is tried again")
	}
	return notes
}

// noteLeaked notes which of the paths that are carried no more are logins.
func (p *pass) noteLeaked(paths []string) {
	for _, path := range paths {
		if p.o.IsLogin != nil && p.o.IsLogin(filepath.Join(p.Path, path)) {
			p.leaked = append(p.leaked, path)
		}
	}
}

// leakNotes say that a login can be read in older generations.
func (b observer) leakNotes(m *member) (out []string) {
	for _, path := range m.report.leaked {
		out = append(out, fmt.Sprintf("replica %s: %s is a login, and in generations before this one: whoever can read the bucket has it until they are collected; newer ones are without it; log in anew, so that it is worth nothing", m.Name, path))
	}
	return out
}
