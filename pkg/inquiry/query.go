package inquiry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/aymanbagabas/go-udiff"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/internal/remote"
	"github.com/coltec/coltec/pkg/agents"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/gitstate"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/repositories"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/wholefile"
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

func (r Query) answerOf(x scope.Replica, k replica.ConflictCopy) control.Conflict {
	c := control.Conflict{Replica: x.Name, ID: k.ID, Path: k.Path, Time: k.Time, Host: k.Host, Size: k.Entry.Size, Here: k.Here}
	if rel, err := filepath.Rel(r.Home, filepath.Join(x.Path, k.Path)); err == nil && filepath.IsLocal(rel) {
		c.Agent, c.Talk = agents.Of(r.Agents, filepath.ToSlash(rel))
	}
	return c
}

// here is a replica with its tree, where that is on this machine.
func (r Query) here(x scope.Replica) scope.Replica {
	if r.Alone == nil {
		x.Path, x.Within = "", ""
	}
	return x
}

// kept are the refs that keep what lost its name, in the repositories of a tree.
func (r Query) kept(x scope.Replica) ([]gitstate.KeptRef, error) {
	if r.Alone == nil {
		return nil, nil
	}
	return gitstate.Kept(repositories.Shadows(x.Path))
}

// conflicts are those of all replicas. One that cannot be looked at is the error, and hides no
// other.
func (r Query) conflicts(ctx context.Context) ([]control.Conflict, error) {
	out := []control.Conflict{}
	var failed []error
	for _, x := range r.Replicas {
		list, err := r.Conflicts(ctx, r.here(x))
		for _, k := range list {
			out = append(out, r.answerOf(x, k))
		}
		if err != nil && r.Alone != nil && !errors.Is(err, replica.ErrConflicts) {
			r.Say(fmt.Sprintf("%s: only what is on this machine: %v", x.Name, err))
			err = nil
		}
		if err == nil { // one reason is enough
			var refs []gitstate.KeptRef
			refs, err = r.kept(x)
			for _, k := range refs {
				out = append(out, refAnswer(x, k))
			}
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("replica %s: %w", x.Name, err))
		}
	}
	return out, errors.Join(failed...)
}

// refAnswer says of a ref that keeps what lost its name, in a repository, how to
// look at it.
func refAnswer(x scope.Replica, k gitstate.KeptRef) control.Conflict {
	return control.Conflict{
		Replica: x.Name, ID: k.Ref, Path: k.Repository + "/" + k.Name, Time: k.Time, Host: k.Env, Here: true,
		Note: fmt.Sprintf("git --git-dir=%s log %s", hint.Word(filepath.Join(x.Path, k.Repository)), hint.Word(k.Ref)),
	}
}

// keptRef answers for a ref that keeps something; ok is false when name is none that could be
// looked at.
func (r Query) keptRef(ctx context.Context, ask control.Ask, name string) (answer control.Conflict, ok bool, err error) {
	var failed []error
	for _, x := range r.Replicas {
		refs, err := r.kept(x)
		if err != nil {
			failed = append(failed, fmt.Errorf("replica %s: %w", x.Name, err))
		}
		for _, k := range refs {
			if k.Ref != name {
				continue
			}
			answer = refAnswer(x, k)
			gitDir := filepath.Join(x.Path, k.Repository)
			switch ask {
			case control.AskTake:
				err = hint.Wrap(fmt.Errorf("cannot take %q: what is checked out goes with a branch", k.Ref),
					"git --git-dir=%s branch NAME %s gives it a name of your choice; then drop it here", hint.Word(gitDir), hint.Word(k.Ref))
			case control.AskDrop:
				err = r.Alone(ctx, x.Name, func(context.Context) error { return gitstate.Drop(x.Path, k.Repository, k.Ref) })
			}
			return answer, true, err
		}
	}
	return answer, false, errors.Join(failed...)
}

// conflict shows, takes or drops one version that is kept aside.
func (r Query) conflict(ctx context.Context, ask control.Ask, name string) (control.Conflict, error) {
	answer, ok, unread := r.keptRef(ctx, ask, name)
	if ok {
		return answer, unread
	}
	x, k, err := r.findConflict(ctx, name)
	if err != nil {
		return control.Conflict{}, errors.Join(err, unread)
	}
	answer = r.answerOf(x, k)
	if r.Alone == nil && ask != control.AskConflict {
		return answer, fmt.Errorf("cannot decide about %q: %w", k.ID, errNoTree)
	}
	switch ask {
	case control.AskTake:
		err = r.Alone(ctx, x.Name, func(ctx context.Context) error { return r.TakeConflict(ctx, x, k) })
	case control.AskDrop:
		err = r.Alone(ctx, x.Name, func(context.Context) error { return r.DropConflict(x, k) })
	default:
		answer.Diff, answer.Note, err = r.diff(ctx, x, k)
	}
	return answer, err
}

// findConflict finds a version by its ID or path, in whichever replica it is.
func (r Query) findConflict(ctx context.Context, name string) (scope.Replica, replica.ConflictCopy, error) {
	if filepath.IsAbs(name) {
		x, path, err := r.find(name)
		if err != nil {
			return x, replica.ConflictCopy{}, err
		}
		k, err := r.FindConflict(ctx, r.here(x), path)
		return x, k, err
	}
	var first error
	for _, x := range r.Replicas {
		k, err := r.FindConflict(ctx, r.here(x), name)
		if err == nil {
			return x, k, nil
		}
		if first == nil {
			first = err
		}
	}
	return scope.Replica{}, replica.ConflictCopy{}, first
}

// diffMost bounds the size of what a diff is made of: a larger one helps nobody.
const diffMost = 1 << 20

// diff compares what has the name now with the version that is kept aside.
func (r Query) diff(ctx context.Context, x scope.Replica, k replica.ConflictCopy) (diff, note string, err error) {
	if r.Alone == nil {
		return "", errNoTree.Error() + ", so there is nothing to compare it with", nil
	}
	tmp, err := os.MkdirTemp("", "coltec-diff-")
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(tmp)
	file, err := r.ConflictFile(ctx, x, k, tmp)
	if err != nil {
		return "", "", err
	}
	kept, err := textOf(file)
	if err != nil {
		return "", err.Error(), nil
	}
	now, err := textOf(filepath.Join(x.Path, filepath.FromSlash(k.Path)))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err.Error(), nil
	}
	return udiff.Unified(k.Path+" (now)", k.Path+" (kept aside, of "+k.Host+")", now, kept), "", nil
}

// textOf reads a text or the target of a link; the error says why it is none.
func textOf(file string) (string, error) {
	info, err := os.Lstat(file)
	switch {
	case err != nil:
		return "", err
	case info.Mode().Type() == os.ModeSymlink:
		return os.Readlink(file)
	case info.Size() > diffMost:
		return "", fmt.Errorf("too large to compare: %s", cmdline.Size(info.Size()))
	}
	b, err := wholefile.Read(file, diffMost)
	if bytes.IndexByte(b, 0) >= 0 {
		return "", errors.New("binary files differ")
	}
	return string(b), err
}

// verify looks whether all is there, and mends what can be.
func (r Query) verify(ctx context.Context, req control.VerifyRequest) ([]*history.Verdict, error) {
	if req.Repair && r.Repair == nil {
		return nil, hint.Wrap(errors.New("cannot repair: coltecd is not running"), "it is done with the lease held: start it, then verify --repair")
	}
	out := []*history.Verdict{}
	for _, x := range r.Replicas {
		r.Say(fmt.Sprintf("%s: looking at what its generations refer to", x.Name))
		v, err := r.Verify(ctx, x, req.Deep)
		if err != nil {
			return nil, fmt.Errorf("cannot verify replica %q: %w", x.Name, err)
		}
		if req.Repair && !v.OK() {
			if err := r.Repair(ctx, r.Reader, v); err != nil {
				return nil, fmt.Errorf("cannot repair replica %q: %w", x.Name, err)
			}
		}
		if req.Wholes {
			if err := r.verifyWholes(ctx, x, req.At, v); err != nil {
				return nil, fmt.Errorf("cannot verify replica %q: %w", x.Name, err)
			}
		}
		out = append(out, v)
	}
	return out, nil
}

// verifyWholes opens what is only valid together, as a generation has it.
func (r Query) verifyWholes(ctx context.Context, x scope.Replica, at string, v *history.Verdict) error {
	g, err := r.At(ctx, at, r.Now)
	if err != nil {
		return err
	}
	return r.VerifyWholes(ctx, x, g, v, r.Say)
}
