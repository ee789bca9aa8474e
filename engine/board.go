package engine

import (
	"slices"
	"sync"

	"github.com/coltec/coltec/pkg/status"
)

// view is what Status shows: a copy, so that nobody waits for a transfer.
type view struct {
	lease     status.Lease
	replicas  []status.Replica
	attention []string
}

// board is where the view hangs, for any goroutine to look at.
type board struct {
	mu   sync.Mutex
	view view
}

func (b *board) put(v view) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.view = v
}

func (b *board) copy() view {
	b.mu.Lock()
	defer b.mu.Unlock()
	return view{b.view.lease, slices.Clone(b.view.replicas), slices.Clone(b.view.attention)}
}

// change changes what is shown of one replica.
func (b *board) change(name string, change func(*status.Replica)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.view.replicas {
		if r := &b.view.replicas[i]; r.Name == name {
			change(r)
		}
	}
}

// underWay changes what is shown of a replica that is at work. Its worker may call it.
func (b *board) underWay(m *member) func(change func(*status.Replica)) {
	return func(change func(*status.Replica)) {
		b.change(m.Name, func(r *status.Replica) {
			r.State = status.ReplicaSyncing
			if !m.ready() {
				r.State = status.ReplicaRestoring
			}
			change(r)
		})
	}
}

// observer says how the lease and the members are.
type observer struct{ *tenure }
