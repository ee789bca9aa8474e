package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// alone runs something that writes into a replica's tree when no cycle runs.
type alone func(ctx context.Context, replica string, do func(ctx context.Context) error) error

// query is the bucket and its past, opened for one question.
type query struct {
	*history.Reader
	replicas []scope.Replica
	alone    alone
	home     string                                                                 // "" where it is not known
	agents   []agents.Agent                                                         // that the spec lists
	repair   func(ctx context.Context, r *history.Reader, v *history.Verdict) error // nil: nobody is there to do it
	now      time.Time
	say      func(string)
}

// open opens the remotes of a setting. Whoever asks closes it.
func (s setting) open(r *query) error {
	o, err := s.engineOptions()
	if err != nil {
		return err
	}
	if len(o.Replicas) == 0 {
		return hint.Wrap(fmt.Errorf("cannot read: %w", errNoReplicas), "enable persistence in the spec")
	}
	r.replicas, r.now = o.Replicas, time.Now()
	r.home, r.agents = s.home(), s.spec.Carried()
	r.Reader, err = history.NewReader(history.Options{Workspace: o.Workspace, Replicas: o.Replicas, Host: o.Self.Host, Connect: o.Connect})
	return err
}

// only leaves one replica to look at.
func (r *query) only(name string) error {
	if name == "" {
		return nil
	}
	x, ok := r.Replica(name)
	if !ok {
		var known []string
		for _, x := range r.replicas {
			known = append(known, x.Name)
		}
		return control.NotFound(name, known)
	}
	r.replicas = []scope.Replica{x}
	return nil
}

func (r query) versions(ctx context.Context, req control.VersionsRequest) (control.Versions, error) {
	x, path, err := r.Find(req.Path)
	if err != nil {
		return control.Versions{}, err
	}
	list, err := r.Versions(ctx, x, path)
	return control.Versions{Replica: x.Name, Path: path, Versions: each(list, toVersion)}, err
}

func (r query) changes(ctx context.Context, req control.ChangesRequest) (control.Changes, error) {
	g, err := r.At(ctx, req.At, r.now)
	if err != nil {
		return control.Changes{}, err
	}
	out := control.Changes{Generation: toGeneration(g), Changes: map[string][]control.Change{}, Older: map[string]*control.Older{}}
	for _, x := range r.replicas {
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
func (r query) restore(ctx context.Context, req control.RestoreRequest) ([]*history.Placed, error) {
	g, err := r.At(ctx, req.At, r.now)
	if err != nil {
		return nil, err
	}
	if req.Path != "" {
		x, path, err := r.Find(req.Path)
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
		out, left, err = r.ExportAll(ctx, r.replicas, g, req.To, r.export())
	} else {
		for _, x := range r.replicas {
			if g.Replicas[x.Name].Manifest == "" {
				left = append(left, x.Name)
				continue
			}
			var placed *history.Placed
			if placed, err = r.bring(ctx, x, "", g, "", req.Deleted); err != nil {
				break
			}
			out = append(out, placed)
		}
	}
	for _, name := range left {
		r.say(fmt.Sprintf("%s: left out: it is not in generation %d, or is kept as plain objects", name, g.Number))
	}
	return out, err
}

// export is how a generation is written to a directory of its own: exactly.
func (r query) export() history.ExportOptions {
	return history.ExportOptions{Progress: func(name string) store.Progress { return remote.Progress(name, r.say) }}
}

func (r query) bring(ctx context.Context, x scope.Replica, path string, g store.Generation, to string, deleted bool) (*history.Placed, error) {
	if to != "" {
		return r.Export(ctx, x, path, g, to, r.export())
	}
	progress := remote.Progress(x.Name, r.say)
	place := r.Place
	if deleted {
		place = r.Undelete
	}
	var placed *history.Placed
	err := r.alone(ctx, x.Name, func(ctx context.Context) (err error) {
		placed, err = place(ctx, x, path, g, progress)
		return err
	})
	return placed, err
}

func (r query) answerOf(x scope.Replica, k replica.ConflictCopy) control.Conflict {
	c := control.Conflict{Replica: x.Name, ID: k.ID, Path: k.Path, Time: k.Time, Host: k.Host, Size: k.Entry.Size, Here: k.Here}
	if rel, err := filepath.Rel(r.home, filepath.Join(x.Path, k.Path)); err == nil && filepath.IsLocal(rel) {
		c.Agent, c.Talk = agents.Of(r.agents, filepath.ToSlash(rel))
	}
	return c
}

func (r query) conflicts(ctx context.Context) ([]control.Conflict, error) {
	out := []control.Conflict{}
	for _, x := range r.replicas {
		list, err := r.Conflicts(ctx, x)
		if err != nil {
			r.say(fmt.Sprintf("%s: only what is on this machine: %v", x.Name, err))
		}
		for _, k := range list {
			out = append(out, r.answerOf(x, k))
		}
		refs, err := gitstate.Kept(repositories.Shadows(x.Path))
		if err != nil {
			return nil, err
		}
		for _, k := range refs {
			out = append(out, refAnswer(x, k))
		}
	}
	return out, nil
}

// refAnswer says of a ref that keeps what lost its name, in a repository, how to
// look at it.
func refAnswer(x scope.Replica, k gitstate.KeptRef) control.Conflict {
	return control.Conflict{
		Replica: x.Name, ID: k.Ref, Path: k.Repository + "/" + k.Name, Time: k.Time, Host: k.Env, Here: true,
		Note: fmt.Sprintf("git --git-dir=%s log %s", hint.Word(filepath.Join(x.Path, k.Repository)), hint.Word(k.Ref)),
	}
}

// keptRef answers for a ref that keeps something; ok is false when name is none.
func (r query) keptRef(ctx context.Context, ask control.Ask, name string) (answer control.Conflict, ok bool, err error) {
	for _, x := range r.replicas {
		refs, err := gitstate.Kept(repositories.Shadows(x.Path))
		if err != nil {
			return answer, false, err
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
				err = r.alone(ctx, x.Name, func(context.Context) error { return gitstate.Drop(x.Path, k.Repository, k.Ref) })
			}
			return answer, true, err
		}
	}
	return answer, false, nil
}

// conflict shows, takes or drops one version that is kept aside.
func (r query) conflict(ctx context.Context, ask control.Ask, name string) (control.Conflict, error) {
	if answer, ok, err := r.keptRef(ctx, ask, name); ok || err != nil {
		return answer, err
	}
	x, k, err := r.findConflict(ctx, name)
	if err != nil {
		return control.Conflict{}, err
	}
	answer := r.answerOf(x, k)
	switch ask {
	case control.AskTake:
		err = r.alone(ctx, x.Name, func(ctx context.Context) error { return r.TakeConflict(ctx, x, k) })
	case control.AskDrop:
		err = r.alone(ctx, x.Name, func(context.Context) error { return r.DropConflict(x, k) })
	default:
		answer.Diff, answer.Note, err = r.diff(ctx, x, k)
	}
	return answer, err
}

// findConflict finds a version by its ID or path, in whichever replica it is.
func (r query) findConflict(ctx context.Context, name string) (scope.Replica, replica.ConflictCopy, error) {
	if filepath.IsAbs(name) {
		x, path, err := r.Find(name)
		if err != nil {
			return x, replica.ConflictCopy{}, err
		}
		k, err := r.FindConflict(ctx, x, path)
		return x, k, err
	}
	var first error
	for _, x := range r.replicas {
		k, err := r.FindConflict(ctx, x, name)
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
func (r query) diff(ctx context.Context, x scope.Replica, k replica.ConflictCopy) (diff, note string, err error) {
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
func (r query) verify(ctx context.Context, req control.VerifyRequest) ([]*history.Verdict, error) {
	if req.Repair && r.repair == nil {
		return nil, hint.Wrap(errors.New("cannot repair: coltecd is not running"), "it is done with the lease held: start it, then verify --repair")
	}
	out := []*history.Verdict{}
	for _, x := range r.replicas {
		r.say(fmt.Sprintf("%s: looking at what its generations refer to", x.Name))
		v, err := r.Verify(ctx, x, req.Deep)
		if err != nil {
			return nil, fmt.Errorf("cannot verify replica %q: %w", x.Name, err)
		}
		if req.Repair && !v.OK() {
			if err := r.repair(ctx, r.Reader, v); err != nil {
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
func (r query) verifyWholes(ctx context.Context, x scope.Replica, at string, v *history.Verdict) error {
	g, err := r.At(ctx, at, r.now)
	if err != nil {
		return err
	}
	return r.VerifyWholes(ctx, x, g, v, r.say)
}
