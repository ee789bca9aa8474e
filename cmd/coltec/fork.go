package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/engine"
	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/internal/remote"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/scaffold"
	"github.com/coltec/coltec/pkg/spec"
)

// fork is a new workspace that begins with the files of another one. It is made
// beside its folder and moved there as a whole: a workspace that has only a part of
// its files would be pushed like that.
type fork struct {
	source *spec.Spec // of the other one, as the template would have made it
	folder string     // of the new one
	stage  string     // beside it
}

// newFork finds out what of the template's answers is the other workspace, org/project/env.
func newFork(of, folder string, t *scaffold.Template, answers scaffold.Answers) (*fork, error) {
	words := strings.Split(of, "/")
	if len(words) != 3 || slices.Contains(words, "") {
		return nil, cmdline.Usage("--fork takes org/project/env, not %q", of)
	}
	other := maps.Clone(answers)
	other["org"], other["project"], other["env"] = words[0], words[1], words[2]
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
		return hint.Wrap(fmt.Errorf("cannot fork into %s: it is there already", f.folder), "name a folder that is not there yet")
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
func (f *fork) workspace() string { return filepath.Join(f.stage, "new") }

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
	slices.SortFunc(replicas, func(a, b engine.Replica) int { return cmp.Compare(len(a.Path), len(b.Path)) }) // a tree before those in it
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
		dir := filepath.Join(f.stage, "from", x.Name)
		placed, err := r.Export(c.Context, x, "", g, dir, remote.Progress(x.Name, func(line string) { p.say("%s", line) }))
		if err == nil && len(placed.Problems) > 0 {
			err = fmt.Errorf("cannot fork %s: %s", f.source.ID(), strings.Join(placed.Problems, "; "))
		}
		if err == nil && rel == "." {
			err = os.RemoveAll(filepath.Join(dir, ".devcontainer"))
		}
		if err == nil {
			err = into(c.Context, dir, f.workspace(), rel)
		}
		if err != nil {
			return err
		}
		p.say("%s: %d files and directories", x.Name, placed.Placed)
	}
	return nil
}

// into moves the tree in dir to rel in a workspace that was just rendered: what has
// a name there already gives way to it. A link on the way is not followed.
func into(ctx context.Context, dir, workspace, rel string) error {
	root, err := os.OpenRoot(workspace)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.MkdirAll(rel, 0o755); err != nil {
		return err
	}
	if info, err := root.Lstat(rel); err != nil || !info.IsDir() {
		return errors.Join(fmt.Errorf("cannot put files into %s: not a directory", rel), err)
	}
	return merge(ctx, dir, filepath.Join(workspace, rel))
}

func merge(ctx context.Context, from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		src, dst := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		there, err := os.Lstat(dst)
		if err == nil && there.IsDir() && e.IsDir() {
			err = merge(ctx, src, dst)
		} else {
			err = errors.Join(os.RemoveAll(dst), os.Rename(src, dst))
		}
		if err != nil {
			return err
		}
	}
	info, err := os.Stat(from)
	if err == nil {
		err = os.Chmod(to, info.Mode().Perm())
	}
	return err
}
