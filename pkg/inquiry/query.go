package inquiry

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/coltec/coltec/internal/remote"
	"github.com/coltec/coltec/pkg/agents"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
)

// Alone runs something that writes into a replica's tree when no cycle runs.
type Alone func(ctx context.Context, replica string, do func(ctx context.Context) error) error

// Query is the bucket and its past, opened for one question.
type Query struct {
	*history.Reader
	Replicas []scope.Replica
	// Alone is nil where the trees are not on this machine: then the bucket alone is looked
	// at, and nothing but a directory of its own is written.
	Alone  Alone
	Repair func(ctx context.Context, r *history.Reader, v *history.Verdict) error // nil: nobody is there to do it
	// Sync pushes what is here; nil where nobody is there to do it.
	Sync   func(ctx context.Context) error
	Now    time.Time
	Home   string         // of the workspace's user; "" where it is not known
	Agents []agents.Agent // that the spec lists
	Keep   time.Duration  // for how long every generation is kept
	Say    func(string)
}

// errNoTree is the error of what is about a tree that is not here.
var errNoTree = errors.New("the workspace is not running here")

// only leaves one replica to look at.
func (r *Query) only(name string) error {
	if name == "" {
		return nil
	}
	x, ok := r.Replica(name)
	if !ok {
		var known []string
		for _, x := range r.Replicas {
			known = append(known, x.Name)
		}
		return control.NotFound(name, known)
	}
	r.Replicas = []scope.Replica{x}
	return nil
}

// find finds the replica that a path lies in, among those that are looked at, and the path
// within it. A relative path is one of the only one.
func (r Query) find(path string) (scope.Replica, string, error) {
	if !filepath.IsAbs(path) && len(r.Replicas) == 1 {
		path = filepath.Join(r.Replicas[0].Path, path)
	}
	x, rel, err := r.Find(path)
	if err == nil && !slices.ContainsFunc(r.Replicas, func(y scope.Replica) bool { return y.Name == x.Name }) {
		err = hint.Wrap(fmt.Errorf("%q is in replica %s", path, x.Name), "name that one with --replica, or none")
	}
	return x, rel, err
}

func (r Query) versions(ctx context.Context, req control.VersionsRequest) (control.Versions, error) {
	x, path, err := r.find(req.Path)
	if err != nil {
		return control.Versions{}, err
	}
	list, err := r.Versions(ctx, x, path)
	return control.Versions{Replica: x.Name, Path: path, Versions: each(list, toVersion)}, err
}

func (r Query) changes(ctx context.Context, req control.ChangesRequest) (control.Changes, error) {
	g, err := r.At(ctx, req.At, r.Now)
	if err != nil {
		return control.Changes{}, err
	}
	out := control.Changes{Generation: toGeneration(g), Changes: map[string][]control.Change{}, Older: map[string]*control.Older{}}
	for _, x := range r.Replicas {
		if g.Replicas[x.Name].Manifest == "" {
			continue // not in it yet, or kept as plain objects
		}
		list, older, err := r.Show(ctx, x, g)
		if err != nil {
			return out, err
		}
		out.Changes[x.Name] = each(list, toChange)
		if older != nil {
			out.Older[x.Name] = toOlder(older)
		}
	}
	return out, nil
}

// restore brings a path, or the whole workspace, back as it was: into the tree,
// or to a directory of its own.
func (r Query) restore(ctx context.Context, req control.RestoreRequest) ([]*history.Placed, error) {
	if req.To == "" && r.Alone == nil {
		return nil, fmt.Errorf("cannot restore in the tree: %w", errNoTree)
	}
	g, err := r.At(ctx, req.At, r.Now)
	if err != nil {
		return nil, err
	}
	if req.Path != "" {
		x, path, err := r.find(req.Path)
		if err != nil {
			return nil, err
		}
		placed, err := r.bring(ctx, x, path, g, req.To, req.Deleted)
		if err != nil {
			return nil, err
		}
		return []*history.Placed{placed}, nil
	}
	out := []*history.Placed{}
	var left []string
	if req.To != "" {
		out, left, err = r.ExportAll(ctx, r.Replicas, g, req.To, r.export())
	} else {
		for _, x := range r.Replicas {
			if g.Replicas[x.Name].Manifest == "" {
				left = append(left, x.Name)
				continue
			}
			var placed *history.Placed
			if placed, err = r.bring(ctx, x, "", g, "", req.Deleted); placed != nil {
				out = append(out, placed)
			}
			if err != nil {
				break
			}
		}
	}
	if err != nil { // which comes without the answer
		for _, x := range out {
			r.Say(fmt.Sprintf("%s: before that %d were placed and %d removed", x.Replica, x.Placed, x.Removed))
		}
	}
	for _, name := range left {
		r.Say(fmt.Sprintf("%s: left out: it is not in generation %d, or is kept as plain objects", name, g.Number))
	}
	return out, err
}

// export is how a generation is written to a directory of its own: exactly.
func (r Query) export() history.ExportOptions {
	return history.ExportOptions{Progress: func(name string) store.Progress { return remote.Progress(name, r.Say) }}
}

func (r Query) bring(ctx context.Context, x scope.Replica, path string, g store.Generation, to string, deleted bool) (*history.Placed, error) {
	if to != "" {
		return r.Export(ctx, x, path, g, to, r.export())
	}
	progress := remote.Progress(x.Name, r.Say)
	place := r.Place
	if deleted {
		place = r.Undelete
	}
	var placed *history.Placed
	err := r.Alone(ctx, x.Name, func(ctx context.Context) (err error) {
		placed, err = place(ctx, x, path, g, progress)
		return err
	})
	return placed, err
}

// verify looks whether all is there, and mends what can be.
func (r Query) verify(ctx context.Context, req control.VerifyRequest) ([]*history.Verdict, error) {
	if req.Repair && r.Repair == nil {
		return nil, hint.Wrap(errors.New("cannot repair: coltecd is not running"), "it is done with the lease held: start it, then verify --repair")
	}
	out := []*history.Verdict{}
	var errs []error
	for _, x := range r.Replicas {
		r.Say(fmt.Sprintf("%s: looking at what its generations refer to", x.Name))
		v, err := r.verifyOne(ctx, x, req)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			errs = append(errs, err)
			v.Failed = hint.Sentence(err)
		}
		out = append(out, v)
	}
	if len(errs) > 0 && len(errs) == len(r.Replicas) {
		return nil, errors.Join(errs...)
	}
	return out, nil
}

// verifyOne looks at one replica. The verdict has what was found, also beside an error.
func (r Query) verifyOne(ctx context.Context, x scope.Replica, req control.VerifyRequest) (*history.Verdict, error) {
	v, err := r.Verify(ctx, x, req.Deep)
	if err != nil {
		return &history.Verdict{Replica: x.Name}, fmt.Errorf("cannot verify replica %q: %w", x.Name, err)
	}
	if req.Repair && !v.OK() {
		if err := r.Repair(ctx, r.Reader, v); err != nil {
			return v, fmt.Errorf("cannot repair replica %q: %w", x.Name, err)
		}
	}
	if req.Wholes {
		if err := r.verifyWholes(ctx, x, req.At, v); err != nil {
			return v, fmt.Errorf("cannot verify replica %q: %w", x.Name, err)
		}
	}
	return v, nil
}

// verifyWholes opens what is only valid together, as a generation has it.
func (r Query) verifyWholes(ctx context.Context, x scope.Replica, at string, v *history.Verdict) error {
	g, err := r.At(ctx, at, r.Now)
	if err != nil {
		return err
	}
	return r.VerifyWholes(ctx, x, g, v, r.Say)
}
