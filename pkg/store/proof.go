package store

import (
	"context"
	"fmt"
	"path"
	"time"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/killpoint"
)

// The step of the lease at which a crash test kills the process.
var pointProbed = killpoint.New("lease:probed")

// prove finds out, once, whether the remote compares and swaps. The head that was
// read tells of the same store by what it was proven for; a store that it tells
// nothing of is tried. Nothing is written over a head before this.
func (l *Lease) prove(ctx context.Context) error {
	if l.tested {
		return nil
	}
	store, now := l.bucket.Identity(), l.clock.Now().UTC().Truncate(time.Second)
	if l.head != nil && l.head.Proven.holds(store, now) {
		l.tested, l.strong = true, true
		return nil
	}
	res, err := l.bucket.Probe(ctx, path.Join(path.Dir(l.key), "probe-"+NewID()))
	if err != nil {
		return fmt.Errorf("cannot test the remote: %w", err)
	}
	l.probed = res.Gone
	pointProbed.Reach()
	if !res.Strong() && !l.bestEffort {
		err := fmt.Errorf("cannot take the lease: %w", ErrNoStrongLease)
		if res.Refusal != nil {
			err = fmt.Errorf("%w, and refuses them so: %v", err, res.Refusal) // its own step is about keys
		}
		return hint.Wrap(err,
			"use a remote with conditional writes (S3, R2, MinIO), or set persistence.lease.best_effort: true and never open the workspace twice")
	}
	l.tested, l.strong = true, res.Strong()
	if l.strong {
		l.proof = &Proof{Store: store, Host: l.self.Host, Time: now}
	}
	return nil
}

// Close waits for what is removed beside the work. A lease that is held stays so.
func (l *Lease) Close() {
	if l.probed != nil {
		_ = l.probed() // litter, not harm
	}
}
