package daemon

import (
	"context"
	"log/slog"

	"github.com/coltec/coltec/pkg/control"
)

// past answers what is asked of the bucket and its past: the daemon answers for a
// client; without one a verb answers itself.
type past struct {
	// open opens the bucket for a question, and says how to close it. writes is true of one
	// whose answer changes a tree.
	open func(writes bool, say func(string)) (r query, done func(), err error)
}

var _ control.History = past{}

// NewHistory is that of a workspace in which no coltecd runs, opened with what o's
// environment has of credentials.
func NewHistory(o Options) control.History {
	return past{func(writes bool, say func(string)) (query, func(), error) {
		r := query{alone: atOnce, say: say}
		logDir, err := o.LogDir()
		if err != nil {
			return r, nil, err
		}
		release := func() {}
		if writes {
			lock, err := o.acquire() // no coltecd may start meanwhile
			if err != nil {
				return r, nil, err
			}
			release = lock.Release
		}
		s := setting{spec: o.Spec, folder: o.folder(), environ: o.Environ, logDir: logDir, log: slog.New(slog.DiscardHandler)}
		if err := s.open(&r); err != nil {
			release()
			return r, nil, err
		}
		return r, func() { r.Close(); release() }, nil
	}}
}

// atOnce is for when no cycle can run.
func atOnce(ctx context.Context, _ string, do func(ctx context.Context) error) error { return do(ctx) }

// answer opens the bucket for one question about a replica, or about all.
func answer[A any](p past, replica string, writes bool, say func(string), find func(query) (A, error)) (a A, err error) {
	r, done, err := p.open(writes, say)
	if err != nil {
		return a, err
	}
	defer done()
	if err := r.only(replica); err != nil {
		return a, err
	}
	return find(r)
}

// Generations implements [control.History].
func (p past) Generations(ctx context.Context, req control.GenerationsRequest, say func(string)) ([]control.Generation, error) {
	return answer(p, req.Replica, false, say, func(r query) ([]control.Generation, error) {
		list, err := r.Log(ctx)
		return each(list, toGeneration), err
	})
}

// Checkpoints implements [control.History].
func (p past) Checkpoints(ctx context.Context, req control.CheckpointsRequest, say func(string)) ([]control.Checkpoint, error) {
	return answer(p, req.Replica, false, say, func(r query) ([]control.Checkpoint, error) {
		list, err := r.Checkpoints(ctx)
		return each(list, toCheckpoint), err
	})
}

// Versions implements [control.History].
func (p past) Versions(ctx context.Context, req control.VersionsRequest, say func(string)) (control.Versions, error) {
	return answer(p, req.Replica, false, say, func(r query) (control.Versions, error) { return r.versions(ctx, req) })
}

// Changes implements [control.History].
func (p past) Changes(ctx context.Context, req control.ChangesRequest, say func(string)) (control.Changes, error) {
	return answer(p, req.Replica, false, say, func(r query) (control.Changes, error) { return r.changes(ctx, req) })
}

// Compare implements [control.History].
func (p past) Compare(ctx context.Context, req control.CompareRequest, say func(string)) (control.Comparison, error) {
	return answer(p, req.Replica, false, say, func(r query) (control.Comparison, error) { return r.compare(ctx, req) })
}

// Restore implements [control.History].
func (p past) Restore(ctx context.Context, req control.RestoreRequest, say func(string)) ([]control.Placed, error) {
	return answer(p, req.Replica, req.To == "", say, func(r query) ([]control.Placed, error) {
		list, err := r.restore(ctx, req)
		return each(list, toPlaced), err
	})
}

// Conflicts implements [control.History].
func (p past) Conflicts(ctx context.Context, req control.ConflictsRequest, say func(string)) ([]control.Conflict, error) {
	return answer(p, req.Replica, false, say, func(r query) ([]control.Conflict, error) { return r.conflicts(ctx) })
}

// Conflict implements [control.History].
func (p past) Conflict(ctx context.Context, req control.ConflictRequest, say func(string)) (control.Conflict, error) {
	return p.conflict(ctx, control.AskConflict, req, say)
}

// Take implements [control.History].
func (p past) Take(ctx context.Context, req control.ConflictRequest, say func(string)) (control.Conflict, error) {
	return p.conflict(ctx, control.AskTake, req, say)
}

// Drop implements [control.History].
func (p past) Drop(ctx context.Context, req control.ConflictRequest, say func(string)) (control.Conflict, error) {
	return p.conflict(ctx, control.AskDrop, req, say)
}

func (p past) conflict(ctx context.Context, ask control.Ask, req control.ConflictRequest, say func(string)) (control.Conflict, error) {
	return answer(p, req.Replica, ask != control.AskConflict, say, func(r query) (control.Conflict, error) {
		return r.conflict(ctx, ask, req.Path)
	})
}

// Verify implements [control.History].
func (p past) Verify(ctx context.Context, req control.VerifyRequest, say func(string)) ([]control.Verdict, error) {
	return answer(p, req.Replica, false, say, func(r query) ([]control.Verdict, error) {
		list, err := r.verify(ctx, req)
		return each(list, toVerdict), err
	})
}
