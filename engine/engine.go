// Package engine keeps a workspace's replicas: it takes the lease, restores,
// pushes what changes, and gives the lease back. One goroutine owns everything:
// the head, the bases, the schedule. What others ask for they ask it for. What may
// come next is decided by two values that only their step writes: the standing of the
// lease, and the course of each replica. Work on a tree is a pass of a worker that the
// goroutine waits for: it gets copies, and gives back a report.
package engine

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/status"
)

// Engine keeps the replicas of one workspace. Its methods may be called from any
// goroutine.
type Engine struct {
	*loop
	commands chan command
	touched  chan *member  // whose tree changed; has room for all
	logins   chan struct{} // has room for one: a login changed
	ended    chan struct{} // closed when nobody does commands any more
}

// ErrEnded is of what is asked of an engine that ends: one after it may be there soon.
var ErrEnded = errors.New("the replicas are not kept any more: coltecd stops, or has another spec")

// command is something asked of the engine's goroutine.
type command struct {
	do   func()
	done chan struct{}
}

// New makes an engine. Nothing happens before Run.
func New(o Options) *Engine {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	e := &Engine{loop: newLoop(o), commands: make(chan command), ended: make(chan struct{})}
	e.touched, e.logins = make(chan *member, len(e.members)), make(chan struct{}, 1)
	e.publish()
	return e
}

// SetStopTimeout sets how long the final flush may take, from the end of Run's
// context on.
func (e *Engine) SetStopTimeout(d time.Duration) { e.stop.Store(int64(d)) }

// Status says how the lease and the replicas are, and what a person should
// know. It never waits for work under way.
func (e *Engine) Status() (status.Lease, []status.Replica, []string) {
	v := e.shown.copy()
	for i := range v.replicas {
		if r := &v.replicas[i]; len(r.OnlyHere) > 0 {
			r.LagSeconds = max(e.now().Sub(account.FromParts(r.OnlyHere).Oldest()).Seconds(), 0) // a clock may be set back
		}
	}
	for i, m := range e.members {
		v.replicas[i].Cost = m.cost.last(e.now(), idleOf(&m.Replica, int(v.replicas[i].Files)))
	}
	v.lease.Cost = e.heads.last(e.now(), e.idle())
	return v.lease, v.replicas, v.attention
}

// idle is how many requests a month takes of the head while nothing changes:
// each renewal is one.
func (e *Engine) idle() float64 {
	if !e.writers() {
		return 0
	}
	return perMonth(e.o.LeaseRenew)
}

// call runs f in the goroutine of Run.
func (e *Engine) call(ctx context.Context, f func()) error {
	c := command{do: f, done: make(chan struct{})}
	select {
	case e.commands <- c:
	case <-e.ended:
		return ErrEnded
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	<-c.done
	return nil
}
