package history

import (
	"context"
	"time"

	"github.com/coltec/coltec/pkg/collection"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
)

// Garbage is what a collection would find in a replica's prefix.
type Garbage struct {
	Replica   string
	Kept      int       // generations
	Dropped   int       // generations that a collection drops
	Deletable time.Time // from when on what is condemned is deleted; zero where nothing is
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
	out := []Garbage{}
	for _, x := range replicas {
		layout, err := r.layout(ctx, x)
		if err != nil {
			return nil, err
		}
		snapshot, ok := layout.(*store.Snapshot)
		if !ok {
			continue
		}
		g := Garbage{Replica: x.Name, Kept: len(run.Kept()), Dropped: run.Dropped}
		if g.Survey, g.Deletable, err = run.Survey(ctx, x.Name, r.remotes[x.Name], snapshot); err != nil {
			return nil, err
		}
		out = append(out, g)
	}
	return out, nil
}
