// Package inquiry answers what is asked of a bucket and its past. Who asks opens it: the
// daemon for a client, a verb for itself where no daemon runs.
package inquiry

import (
	"context"

	"github.com/coltec/coltec/pkg/control"
)

// Answers are those about one workspace.
type Answers struct {
	// Open opens the bucket for a question, and says how to close it. writes is true of one
	// whose answer changes a tree.
	Open func(writes bool, say func(string)) (q Query, done func(), err error)
}

var _ control.History = Answers{}

// AtOnce is for when no cycle can run.
func AtOnce(ctx context.Context, _ string, do func(ctx context.Context) error) error { return do(ctx) }

// answer opens the bucket for one question about a replica, or about all.
func answer[A any](p Answers, replica string, writes bool, say func(string), find func(Query) (A, error)) (a A, err error) {
	r, done, err := p.Open(writes, say)
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
func (p Answers) Generations(ctx context.Context, req control.GenerationsRequest, say func(string)) ([]control.Generation, error) {
	return answer(p, req.Replica, false, say, func(r Query) ([]control.Generation, error) {
		list, err := r.Log(ctx)
		return each(list, toGeneration), err
	})
}

// Checkpoints implements [control.History].
func (p Answers) Checkpoints(ctx context.Context, req control.CheckpointsRequest, say func(string)) ([]control.Checkpoint, error) {
	return answer(p, req.Replica, false, say, func(r Query) ([]control.Checkpoint, error) {
		list, err := r.Checkpoints(ctx)
		return each(list, Checkpoint), err
	})
}

// Versions implements [control.History].
func (p Answers) Versions(ctx context.Context, req control.VersionsRequest, say func(string)) (control.Versions, error) {
	return answer(p, req.Replica, false, say, func(r Query) (control.Versions, error) { return r.versions(ctx, req) })
}

// Changes implements [control.History].
func (p Answers) Changes(ctx context.Context, req control.ChangesRequest, say func(string)) (control.Changes, error) {
	return answer(p, req.Replica, false, say, func(r Query) (control.Changes, error) { return r.changes(ctx, req) })
}

// Compare implements [control.History].
func (p Answers) Compare(ctx context.Context, req control.CompareRequest, say func(string)) (control.Comparison, error) {
	return answer(p, req.Replica, false, say, func(r Query) (control.Comparison, error) { return r.compare(ctx, req) })
}

// Restore implements [control.History].
func (p Answers) Restore(ctx context.Context, req control.RestoreRequest, say func(string)) ([]control.Placed, error) {
	return answer(p, req.Replica, req.To == "", say, func(r Query) ([]control.Placed, error) {
		list, err := r.restore(ctx, req)
		return Placed(list), err
	})
}

// Conflicts implements [control.History].
func (p Answers) Conflicts(ctx context.Context, req control.ConflictsRequest, say func(string)) ([]control.Conflict, error) {
	return answer(p, req.Replica, false, say, func(r Query) ([]control.Conflict, error) { return r.conflicts(ctx) })
}

// Conflict implements [control.History].
func (p Answers) Conflict(ctx context.Context, req control.ConflictRequest, say func(string)) (control.Conflict, error) {
	return p.conflict(ctx, control.AskConflict, req, say)
}

// Take implements [control.History].
func (p Answers) Take(ctx context.Context, req control.ConflictRequest, say func(string)) (control.Conflict, error) {
	return p.conflict(ctx, control.AskTake, req, say)
}

// Drop implements [control.History].
func (p Answers) Drop(ctx context.Context, req control.ConflictRequest, say func(string)) (control.Conflict, error) {
	return p.conflict(ctx, control.AskDrop, req, say)
}

func (p Answers) conflict(ctx context.Context, ask control.Ask, req control.ConflictRequest, say func(string)) (control.Conflict, error) {
	return answer(p, req.Replica, ask != control.AskConflict, say, func(r Query) (control.Conflict, error) {
		return r.conflict(ctx, ask, req)
	})
}

// Decide implements [control.History].
func (p Answers) Decide(ctx context.Context, req control.DecideRequest, say func(string)) (control.Decided, error) {
	return answer(p, req.Replica, !req.DryRun, say, func(r Query) (control.Decided, error) { return r.decide(ctx, req) })
}

// Verify implements [control.History].
func (p Answers) Verify(ctx context.Context, req control.VerifyRequest, say func(string)) ([]control.Verdict, error) {
	return answer(p, req.Replica, false, say, func(r Query) ([]control.Verdict, error) {
		list, err := r.verify(ctx, req)
		return each(list, toVerdict), err
	})
}

// Garbage implements [control.History].
func (p Answers) Garbage(ctx context.Context, req control.GarbageRequest, say func(string)) ([]control.Garbage, error) {
	return answer(p, req.Replica, false, say, func(r Query) ([]control.Garbage, error) {
		list, err := r.Garbage(ctx, r.Replicas, r.Now, r.Keep)
		return each(list, toGarbage), err
	})
}
