package replica

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/store"
)

// The steps of a push at which a crash test kills the process.
var (
	pointStaged = killpoint.New("push:staged")
	pointSent   = killpoint.New("push:sent")
)

// Send stages what a scan found, until the stage is full, brings its content to the
// bucket, and counts what the deletions among it would lose. It begins anew each time:
// after an error the disk has its room back.
func (r *Replica) Send(ctx context.Context, found *Changes, epoch int64, progress store.Progress) (staged *Staged, err error) {
	dir := filepath.Join(r.StageDir(), "out")
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	batch := r.Layout.Begin(dir, epoch, progress)
	staged, err = r.StageEdits(ctx, batch, found.staging())
	if err != nil {
		return nil, err
	}
	staged.Found = found
	pointStaged.Reach()
	if err = batch.Send(ctx); err == nil {
		pointSent.Reach()
		err = r.weigh(staged)
	}
	if err != nil {
		staged.Spool.Close()
		return nil, err
	}
	return staged, nil
}

// weigh counts what the deletions that were found would lose. None may go before
// everything that was edited is in, but for what waits for them.
func (r *Replica) weigh(staged *Staged) error {
	if slices.ContainsFunc(staged.Deferred, func(s Edit) bool { return !s.replaces() }) {
		return nil
	}
	lost, err := staged.losing(staged.Found.Gone)
	if err != nil {
		return err
	}
	loss, err := r.loss(lost, 0, r.givesBack())
	if err != nil {
		return err
	}
	staged.Loss, staged.Lost = &loss, lost
	return nil
}
