package replica

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// The steps of a push at which a crash test kills the process.
var (
	pointRead   = killpoint.New("push:read")
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
	staged, batch, err := r.stageStill(ctx, found, func() store.Batch { return r.Layout.Begin(dir, epoch, progress) })
	if err != nil {
		return nil, err
	}
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

// stageStill stages what was found, but the directories that have to be still and were not:
// without them it begins anew.
func (r *Replica) stageStill(ctx context.Context, found *Changes, begin func() store.Batch) (*Staged, store.Batch, error) {
	var moved []localfs.Unknown
	for {
		batch := begin()
		staged, err := r.StageEdits(ctx, batch, found.staging())
		if err != nil {
			return nil, nil, err
		}
		pointRead.Reach()
		unseen, err := secondLook{r, found, staged}.stirred(ctx)
		if err == nil && len(unseen) == 0 {
			staged.Found, staged.Unsettled = found, append(staged.Unsettled, moved...)
			return staged, batch, nil
		}
		batch.Stop()
		staged.Spool.Close()
		if err != nil {
			return nil, nil, err
		}
		found, moved = found.without(unseen), append(moved, unseen...)
		for _, u := range unseen {
			r.doubts = append(r.doubts, u.Path)
		}
	}
}

// weigh counts what the deletions that were found would lose. None may go before
// everything that was edited is in, but for what waits for them.
func (r *Replica) weigh(staged *Staged) error {
	if slices.ContainsFunc(staged.Deferred, func(s Edit) bool { return !s.replaces() }) {
		return nil
	}
	lost, err := staged.losing(pick(slices.Clone(staged.Found.Gone), func(e *tree.Entry) bool {
		_, still := r.still.at(e.Path)
		return !still
	}))
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
