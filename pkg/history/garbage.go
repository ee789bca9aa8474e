package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coltec/coltec/pkg/collection"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
)

// Garbage is what a collection would find in a replica's prefix.
type Garbage struct {
	Replica   string
	Kept      int       // generations
	Dropped   int       // generations that a collection drops
	Deletable time.Time // from when on what is condemned is deleted; zero where nothing is
	Failed    string    // why nothing is known of it; a collection drops no generation then
	store.Survey
}

// Garbage tells of each replica what a collection at a time of the store would find, if every
// generation is kept that is younger than keep. Replicas that are plain objects have none.
func (r *Reader) Garbage(ctx context.Context, replicas []scope.Replica, now time.Time, keep time.Duration) ([]Garbage, error) {
	head, err := r.Head(ctx)
	if err != nil {
		return nil, err
	}
	run, err := collection.Begin(ctx, collection.All, r.head, head, now, keep)
	if err != nil {
		return nil, err
	}
	out, errs := r.surveys(ctx, run, replicas)
	if len(errs) > 0 && len(errs) < len(replicas) && ctx.Err() == nil {
		run.Spare()
		out, errs = r.surveys(ctx, run, replicas)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if len(errs) > 0 && len(errs) == len(replicas) {
		return nil, errors.Join(errs...)
	}
	return out, nil
}

// surveys tells of each replica what a run would find. Of one where that fails it says so.
func (r *Reader) surveys(ctx context.Context, run *collection.Run, replicas []scope.Replica) (out []Garbage, errs []error) {
	out = []Garbage{}
	for _, x := range replicas {
		g := Garbage{Replica: x.Name, Kept: len(run.Kept()), Dropped: run.Dropped}
		layout, err := r.layout(ctx, x)
		snapshot, ok := layout.(*store.Snapshot)
		if err == nil && !ok {
			continue
		}
		if err == nil {
			g.Survey, g.Deletable, err = run.Survey(ctx, x.Name, r.remotes[x.Name], snapshot)
		}
		if err != nil {
			g.Failed = hint.Sentence(err)
			errs = append(errs, fmt.Errorf("replica %q: %w", x.Name, err))
		}
		out = append(out, g)
	}
	return out, errs
}
