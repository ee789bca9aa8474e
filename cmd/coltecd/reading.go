package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/aymanbagabas/go-udiff"
	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/remote"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/gitstate"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/wholefile"
)

// What a reading is asked: control.ReadRequest.Ask.
const (
	askGenerations = "generations"
	askVersions    = "versions"
	askChanges     = "changes"
	askRestore     = "restore"
	askConflicts   = "conflicts"
	askConflict    = "conflict"
	askTake        = "take"
	askDrop        = "drop"
	askVerify      = "verify"
)

// alone runs something that writes into a replica's tree when no cycle runs.
type alone func(ctx context.Context, replica string, do func(ctx context.Context) error) error

// reading answers what is asked of the bucket and its past. The daemon answers
// for a client; without one a verb answers itself.
type reading struct {
	*history.Reader
	replicas []scope.Replica
	alone    alone
	repair   func(ctx context.Context, r *history.Reader, v *history.Verdict) error // nil: nobody is there to do it
	now      time.Time
	say      func(string)
}

// read answers one request with the remotes of a setting.
func (s setting) read(ctx context.Context, req control.ReadRequest, r reading) (any, error) {
	o, err := s.engineOptions()
	if err != nil {
		return nil, err
	}
	if len(o.Replicas) == 0 {
		return nil, hint.Wrap(fmt.Errorf("cannot read: %w", errNoReplicas), "enable persistence in the spec")
	}
	if r.Reader, err = history.NewReader(history.Options{Workspace: o.Workspace, Replicas: o.Replicas, Host: o.Self.Host, Connect: o.Connect}); err != nil {
		return nil, err
	}
	defer r.Close()
	r.replicas, r.now = o.Replicas, time.Now()
	return r.answer(ctx, req)
}

func (r reading) answer(ctx context.Context, req control.ReadRequest) (any, error) {
	if req.Replica != "" {
		if err := r.only(req.Replica); err != nil {
			return nil, err
		}
	}
	switch req.Ask {
	case askGenerations:
		gens, err := r.Log(ctx)
		return gens, err
	case askVersions:
		return r.versions(ctx, req)
	case askChanges:
		return r.changes(ctx, req)
	case askRestore:
		return r.restore(ctx, req)
	case askConflicts:
		return r.conflicts(ctx)
	case askConflict, askTake, askDrop:
		return r.conflict(ctx, req)
	case askVerify:
		return r.verify(ctx, req)
	}
	return nil, fmt.Errorf("internal error: cannot answer %q", req.Ask)
}

// only leaves one replica to look at.
func (r *reading) only(name string) error {
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

// versionsAnswer is how a path was in the kept generations.
type versionsAnswer struct {
	Replica  string            `json:"replica"`
	Path     string            `json:"path"` // within the replica
	Versions []history.Version `json:"versions"`
}

func (r reading) versions(ctx context.Context, req control.ReadRequest) (any, error) {
	x, path, err := r.Find(req.Path)
	if err != nil {
		return nil, err
	}
	list, err := r.Versions(ctx, x, path)
	return versionsAnswer{x.Name, path, list}, err
}

// changesAnswer is what a generation changed.
type changesAnswer struct {
	Generation store.Generation            `json:"generation"`
	Changes    map[string][]history.Change `json:"changes"` // by replica
	Older      map[string]*store.Older     `json:"older,omitempty"`
}

func (r reading) changes(ctx context.Context, req control.ReadRequest) (any, error) {
	g, err := r.At(ctx, req.At, r.now)
	if err != nil {
		return nil, err
	}
	out := changesAnswer{g, map[string][]history.Change{}, map[string]*store.Older{}}
	for _, x := range r.replicas {
		if g.Replicas[x.Name].Manifest == "" {
			continue // not in it yet, or kept as plain objects
		}
		var older *store.Older
		if out.Changes[x.Name], older, err = r.Show(ctx, x, g); err != nil {
			return nil, err
		}
		if older != nil {
			out.Older[x.Name] = older
		}
	}
	return out, nil
}

// restore brings a path, or the whole workspace, back as it was: into the tree,
// or to a directory of its own.
func (r reading) restore(ctx context.Context, req control.ReadRequest) (any, error) {
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
func (r reading) export() history.ExportOptions {
	return history.ExportOptions{Progress: func(name string) store.Progress { return remote.Progress(name, r.say) }}
}

func (r reading) bring(ctx context.Context, x scope.Replica, path string, g store.Generation, to string, deleted bool) (*history.Placed, error) {
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

// conflictAnswer is a local version that lost its name to a remote one.
type conflictAnswer struct {
	Replica string    `json:"replica"`
	ID      string    `json:"id"`
	Path    string    `json:"path"` // that it had, within the replica
	Time    time.Time `json:"time"`
	Host    string    `json:"host"`
	Size    int64     `json:"size"`
	Here    bool      `json:"here"` // on this machine; else in the bucket alone
	Diff    string    `json:"diff,omitempty"`
	Note    string    `json:"note,omitempty"` // why there is no diff
}

func answerOf(x scope.Replica, k replica.KeptAside) conflictAnswer {
	return conflictAnswer{Replica: x.Name, ID: k.ID, Path: k.Path, Time: k.Time, Host: k.Host, Size: k.Entry.Size, Here: k.Here}
}

func (r reading) conflicts(ctx context.Context) (any, error) {
	out := []conflictAnswer{}
	for _, x := range r.replicas {
		list, err := r.Aside(ctx, x)
		if err != nil {
			r.say(fmt.Sprintf("%s: only what is on this machine: %v", x.Name, err))
		}
		for _, k := range list {
			out = append(out, answerOf(x, k))
		}
		refs, err := gitstate.Kept(replica.Shadows(x.Path))
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
func refAnswer(x scope.Replica, k gitstate.KeptRef) conflictAnswer {
	return conflictAnswer{
		Replica: x.Name, ID: k.Ref, Path: k.Repository + "/" + k.Name, Time: k.Time, Host: k.Env, Here: true,
		Note: fmt.Sprintf("git --git-dir=%s log %s", filepath.Join(x.Path, k.Repository), k.Ref),
	}
}

// keptRef answers for a ref that keeps something; ok is false when name is none.
func (r reading) keptRef(ctx context.Context, req control.ReadRequest) (answer conflictAnswer, ok bool, err error) {
	for _, x := range r.replicas {
		refs, err := gitstate.Kept(replica.Shadows(x.Path))
		if err != nil {
			return answer, false, err
		}
		for _, k := range refs {
			if k.Ref != req.Path {
				continue
			}
			answer = refAnswer(x, k)
			gitDir := filepath.Join(x.Path, k.Repository)
			switch req.Ask {
			case askTake:
				err = hint.Wrap(fmt.Errorf("cannot take %q: what is checked out goes with a branch", k.Ref),
					"git --git-dir=%s branch NAME %s gives it a name of your choice; then drop it here", gitDir, k.Ref)
			case askDrop:
				err = r.alone(ctx, x.Name, func(context.Context) error { return gitstate.Drop(x.Path, k.Repository, k.Ref) })
			}
			return answer, true, err
		}
	}
	return answer, false, nil
}

// conflict shows, takes or drops one version that is kept aside.
func (r reading) conflict(ctx context.Context, req control.ReadRequest) (any, error) {
	if answer, ok, err := r.keptRef(ctx, req); ok || err != nil {
		return answer, err
	}
	x, k, err := r.findConflict(ctx, req.Path)
	if err != nil {
		return nil, err
	}
	answer := answerOf(x, k)
	switch req.Ask {
	case askTake:
		err = r.alone(ctx, x.Name, func(ctx context.Context) error { return r.TakeAside(ctx, x, k) })
	case askDrop:
		err = r.alone(ctx, x.Name, func(context.Context) error { return r.DropAside(x, k) })
	default:
		answer.Diff, answer.Note, err = r.diff(ctx, x, k)
	}
	return answer, err
}

// findConflict finds a version by its ID or path, in whichever replica it is.
func (r reading) findConflict(ctx context.Context, name string) (scope.Replica, replica.KeptAside, error) {
	if filepath.IsAbs(name) {
		x, path, err := r.Find(name)
		if err != nil {
			return x, replica.KeptAside{}, err
		}
		k, err := r.FindAside(ctx, x, path)
		return x, k, err
	}
	var first error
	for _, x := range r.replicas {
		k, err := r.FindAside(ctx, x, name)
		if err == nil {
			return x, k, nil
		}
		if first == nil {
			first = err
		}
	}
	return scope.Replica{}, replica.KeptAside{}, first
}

// diffMost bounds the size of what a diff is made of: a larger one helps nobody.
const diffMost = 1 << 20

// diff compares what has the name now with the version that is kept aside.
func (r reading) diff(ctx context.Context, x scope.Replica, k replica.KeptAside) (diff, note string, err error) {
	tmp, err := os.MkdirTemp("", "coltec-diff-")
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(tmp)
	file, err := r.AsideFile(ctx, x, k, tmp)
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
		return "", fmt.Errorf("too large to compare: %s", size(info.Size()))
	}
	b, err := wholefile.Read(file, diffMost)
	if bytes.IndexByte(b, 0) >= 0 {
		return "", errors.New("binary files differ")
	}
	return string(b), err
}

// verify looks whether all is there, and mends what can be.
func (r reading) verify(ctx context.Context, req control.ReadRequest) (any, error) {
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
		out = append(out, v)
	}
	return out, nil
}

// Read answers a client.
func (d *daemon) Read(ctx context.Context, req control.ReadRequest, say func(string)) (any, error) {
	if err := d.stopping(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	s := d.setting
	d.mu.Unlock()
	r := reading{say: say}
	if e := d.replicas.current(); e != nil {
		r.alone, r.repair = e.Alone, e.Repair
	} else {
		r.alone = atOnce
	}
	defer d.rest.Reset(restAfter)
	return s.read(ctx, req, r)
}

// atOnce is for when no cycle can run.
func atOnce(ctx context.Context, _ string, do func(ctx context.Context) error) error { return do(ctx) }

// ask has the running coltecd answer a request; without one it is answered
// here, with what this shell's environment has of credentials.
func (p *program) ask(c *cli.Context, req control.ReadRequest, answer any) error {
	path, err := p.findSpec(c)
	if err != nil {
		return err
	}
	say := func(line string) { p.say("%s", line) }
	i, running, err := control.Find(p.place(path, nil))
	if err != nil {
		return err
	}
	if running {
		return control.Dial(i.Socket).Read(c.Context, req, answer, say)
	}
	sp, err := loadSpec(path)
	if err != nil {
		return err
	}
	if err := sp.ApplyEnvironment(p.lookup); err != nil {
		return exit{Code: codeUsage, Cause: err}
	}
	if req.Ask == askTake || req.Ask == askDrop || req.Ask == askRestore && req.To == "" {
		seat, err := p.take(path, sp) // no coltecd may start meanwhile
		if err != nil {
			return err
		}
		defer seat.Leave()
	}
	s := setting{spec: sp, folder: workspaceFolder(path), environ: p.environ, log: slog.New(slog.DiscardHandler)}
	if s.logDir, err = p.logDir(path); err != nil {
		return err
	}
	out, err := s.read(c.Context, req, reading{alone: atOnce, say: say})
	if err != nil {
		return err
	}
	body, err := json.Marshal(out) // as it would come over the socket
	if err != nil {
		return err
	}
	return json.Unmarshal(body, answer)
}
