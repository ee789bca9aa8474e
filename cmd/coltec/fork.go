//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/scaffold"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/trigger"
)

// fork is a new workspace that begins with the files of another one. It is made
// beside its folder and moved there as a whole: a workspace that has only a part of
// its files would be pushed like that.
type fork struct {
	source *spec.Spec      // of the other one, as the template would have made it
	folder string          // of the new one
	stage  string          // beside it
	found  []trigger.Found // what runs by itself in the files that came
}

// newFork finds out what of the template's answers is the other workspace, org/project/env.
func newFork(of, folder string, t *scaffold.Template, answers scaffold.Answers) (*fork, error) {
	parts := strings.Split(of, "/")
	if len(parts) != 3 || slices.Contains(parts, "") {
		return nil, cmdline.Usage("--fork takes org/project/env, not %q", of)
	}
	other := maps.Clone(answers)
	other["org"], other["project"], other["env"] = parts[0], parts[1], parts[2]
	tree, err := t.Render(other)
	if err != nil {
		return nil, err
	}
	sp, err := spec.Parse(of, tree[specName].Data)
	if err != nil {
		return nil, err
	}
	if sp.ID() != of {
		return nil, fmt.Errorf("cannot fork %s: template %s does not name a workspace by org, project and env", of, t.Name())
	}
	return &fork{source: sp, folder: folder}, nil
}

// make puts the workspace together and moves it to its place, which must not be
// there yet. Nothing is left of it after an error.
func (f *fork) make(fill func() error) error {
	if _, err := os.Lstat(f.folder); err == nil {
		return hint.Wrap(fmt.Errorf("cannot fork into %s: it already exists", f.folder), "name a folder that does not exist yet")
	}
	parent := filepath.Dir(f.folder)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("cannot make the workspace: %w", err)
	}
	var err error
	if f.stage, err = os.MkdirTemp(parent, ".coltec-fork-*"); err != nil {
		return fmt.Errorf("cannot make the workspace: %w", err)
	}
	defer os.RemoveAll(f.stage)
	if err := fill(); err != nil {
		return err
	}
	return os.Rename(f.workspace(), f.folder)
}

// workspace is the folder of the new workspace while it is put together.
func (f *fork) workspace() string { return filepath.Join(f.stage, newName) }

const newName = "new"

// fill brings the files of the other workspace's newest generation into the new one.
// The other one is only read; its .devcontainer stays out: that names it.
func (p *program) fill(c *cli.Context, f *fork) error {
	values, err := p.collectMade(c, f.folder, f.source)
	if err != nil {
		return err
	}
	r, replicas, err := p.reader(f.source, values)
	if err != nil {
		return err
	}
	defer r.Close()
	g, err := r.At(c.Context, "", time.Now())
	if err != nil {
		return err
	}
	p.say("%s: from generation %d of %s, %s", filepath.Base(f.folder), g.Number, f.source.ID(), g.Time.Local().Format(time.DateTime))
	slices.SortFunc(replicas, func(a, b scope.Replica) int { return cmp.Compare(len(a.Path), len(b.Path)) }) // a tree before those in it
	root, err := os.OpenRoot(f.stage)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, x := range replicas {
		rel, err := filepath.Rel(f.source.Devcontainer.WorkspaceFolder, x.Path)
		switch {
		case err != nil || !filepath.IsLocal(rel):
			p.say("note: %s is left out: %s is not in the workspace's folder", x.Name, x.Path)
			continue
		case g.Replicas[x.Name].Manifest == "":
			p.say("note: %s is left out: it is not in that generation, or is kept as plain objects", x.Name)
			continue
		}
		from := filepath.Join("from", x.Name)
		placed, err := r.Export(c.Context, x, "", g, filepath.Join(f.stage, from), p.exportOptions(c))
		if err == nil && len(placed.Problems) > 0 {
			err = fmt.Errorf("cannot fork %s: %s", f.source.ID(), strings.Join(placed.Problems, "; "))
		}
		if err == nil && rel == "." {
			err = leaveOwn(root, from)
		}
		if err != nil {
			return err
		}
		f.found = append(f.found, trigger.At(filepath.Join(f.stage, from), rel)...)
		if err := into(c.Context, root, from, filepath.Join(newName, rel)); err != nil {
			return fmt.Errorf("cannot fork replica %q: %w", x.Name, err)
		}
		p.say("%s: %d files and directories", x.Name, placed.Placed)
	}
	return nil
}

// leaveOwn removes what a workspace has for itself from its tree, however a file system
// may spell it: what names it, and what says what is in the bucket of it.
func leaveOwn(root *os.Root, dir string) error {
	names, err := namesIn(root, dir)
	for _, name := range names {
		if trigger.Folds(name, ".devcontainer") || trigger.Folds(name, ".coltec") {
			err = errors.Join(err, root.RemoveAll(filepath.Join(dir, name)))
		}
	}
	return err
}

// namesIn lists a folder. Package fs knows no names that are not UTF-8.
func namesIn(root *os.Root, dir string) ([]string, error) {
	f, err := root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// into moves a tree into a workspace that was just rendered: what has a name there
// already gives way to it. Both are below root, and a link on the way is not followed:
// an earlier tree may have put it there.
func into(ctx context.Context, root *os.Root, from, to string) error {
	if err := replica.MakeIn(root, to); err != nil {
		return err
	}
	return merge(ctx, root, from, to)
}

func merge(ctx context.Context, root *os.Root, from, to string) error {
	names, err := namesIn(root, from)
	if err != nil {
		return err
	}
	for _, name := range names {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		src, dst := filepath.Join(from, name), filepath.Join(to, name)
		comes, err := root.Lstat(src)
		if err != nil {
			return err
		}
		there, err := root.Lstat(dst)
		if err == nil && there.IsDir() && comes.IsDir() {
			err = merge(ctx, root, src, dst)
		} else {
			err = errors.Join(root.RemoveAll(dst), root.Rename(src, dst))
		}
		if err != nil {
			return err
		}
	}
	info, err := root.Lstat(from)
	if err == nil {
		err = root.Chmod(to, info.Mode()&^fs.ModeType)
	}
	return err
}
