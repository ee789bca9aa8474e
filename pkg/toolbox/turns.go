package toolbox

import (
	"context"
	"errors"
	"sync"

	"github.com/coltec/coltec/pkg/order"
)

// Bounds of what is under way.
const (
	questionsAtOnce = 4 // that change nothing
	actionsAtOnce   = 8 // each about another workspace
)

// turns are who may be carried out. What changes something, or pushes, comes one after the other in each
// workspace: two such orders would undo each other's ground. Nothing is whole beyond that, as a verb
// locks what it shares with others (a folder, what is agreed to) by itself; one workspace does not wait
// for what another one does.
type turns struct {
	asking, acting chan struct{}

	mu sync.Mutex
	of map[string]*turn // workspace → who changes something there, and who waits for that
}

// turn is that of one workspace.
type turn struct {
	held  chan struct{} // has room for one
	count int           // who has it, and who wants it
}

func newTurns() *turns {
	return &turns{asking: make(chan struct{}, questionsAtOnce), acting: make(chan struct{}, actionsAtOnce), of: map[string]*turn{}}
}

// wait waits until an order about a workspace may be carried out.
func (t *turns) wait(ctx context.Context, o order.Order, workspace string) (done func(), err error) {
	if o.ReadOnly() {
		return enter(ctx, t.asking)
	}
	t.mu.Lock()
	one := t.of[workspace]
	if one == nil {
		one = &turn{held: make(chan struct{}, 1)}
		t.of[workspace] = one
	}
	one.count++
	t.mu.Unlock()
	forget := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if one.count--; one.count == 0 {
			delete(t.of, workspace)
		}
	}
	leave, err := enter(ctx, one.held)
	if err != nil {
		forget()
		return nil, err
	}
	out, err := enter(ctx, t.acting) // after its own turn: who waits for that holds up nobody else
	if err != nil {
		leave()
		forget()
		return nil, err
	}
	return func() {
		out()
		leave()
		forget()
	}, nil
}

// enter takes a place in a room, once there is one.
func enter(ctx context.Context, room chan struct{}) (leave func(), err error) {
	select {
	case room <- struct{}{}:
		if ctx.Err() == nil {
			return func() { <-room }, nil
		}
		<-room
	case <-ctx.Done():
	}
	return nil, errors.New("cancelled before it began: nothing was done")
}
