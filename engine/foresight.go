package engine

import (
	"context"
	"errors"

	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
)

// foreseen is what was read of a writer's prefix while the lease was asked for.
// Reading harms nobody, and most of a start is waiting for one answer after the
// other; whatever is written waits for the lease. It is older than the lease, so
// it counts for that one acquisition only, and only as far as that is as good as
// new:
//   - a claim that was there, and that none was there: see store.Look;
//   - the plain objects of a prefix that the head, once it is ours, has published
//     nothing in: what an earlier tool writes meanwhile it might write a moment
//     after any listing.
type foreseen struct {
	done   chan struct{} // closed when the rest is there
	claim  *store.Claim
	failed error       // to read the claim
	plain  *store.Tree // nil: not listed
}

func (f *foreseen) read(ctx context.Context, remote, plain scope.Remote) {
	f.claim, f.failed = store.ReadClaim(ctx, remote)
	if !errors.Is(f.failed, rclone.ErrNotFound) || plain == nil {
		return
	}
	if t, err := store.NewMirror(plain).Tree(ctx, ""); err == nil {
		f.plain = t
	}
}

// await is wait as work.
func (f *foreseen) await(context.Context) error {
	f.wait()
	return nil
}

// wait waits for what is read ahead; the zero value when nothing is.
func (f *foreseen) wait() foreseen {
	if f == nil {
		return foreseen{}
	}
	<-f.done
	return *f
}
