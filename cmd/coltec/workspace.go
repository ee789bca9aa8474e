package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/spec"
)

// Files of a workspace, below its folder.
const (
	specName   = ".devcontainer/workspace-spec.yaml"
	configName = ".devcontainer/devcontainer.json"
	logsName   = ".devcontainer/logs"
)

// workspace is a folder on this host with its spec.
type workspace struct {
	folder string // absolute, as it was named: the CLI's label of the container has it, too
	spec   *spec.Spec
}

var errNoWorkspace = errors.New("no workspace")

// destination is the absolute path of a folder that files of a workspace are to be
// written to. A link in another workspace, which its container may have put there,
// leads nowhere; other links on the way are the person's own.
func (g agreements) destination(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	at := string(filepath.Separator)
	for name := range strings.SplitSeq(strings.TrimPrefix(abs, at), at) {
		next := filepath.Join(at, name)
		info, err := os.Lstat(next)
		if err != nil {
			break // what is not there is made
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			if g.inWorkspace(at) {
				return "", hint.Wrap(fmt.Errorf("cannot write to %s: %s is a link in a workspace", abs, next), "name the folder that is meant")
			}
			if next, err = filepath.EvalSymlinks(next); err != nil {
				break
			}
		}
		at = next
	}
	return abs, nil
}

// mayBeOne is the error of a folder that cannot be a workspace: all of the machine, or of the user,
// would be in its container, what was agreed to among it.
func (g agreements) mayBeOne(folder string) error {
	real, err := realPath(folder)
	if err != nil {
		return err
	}
	what := "your home directory"
	if filepath.Dir(real) == real {
		what = "this machine"
	} else if has, err := holdsHome(real); err != nil || !has {
		return err
	}
	return hint.Wrap(fmt.Errorf("cannot make a workspace of %s: all of %s would be in its container", folder, what), "name a folder for it alone")
}

// holdsHome reports whether a folder, a path without links, is the home directory or has it below.
func holdsHome(real string) (bool, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return false, nil // nobody's
	}
	if home, err = realPath(home); err != nil {
		return false, fmt.Errorf("cannot see whether the home directory is in %s: %w", real, err)
	}
	rel, err := filepath.Rel(real, home)
	return err == nil && filepath.IsLocal(rel), nil
}

// inWorkspace reports whether a folder is a workspace's, or below one: it has a spec, or was
// agreed to. The spec alone is the container's to take away.
func (g agreements) inWorkspace(dir string) bool {
	store, err := g.records()
	kept := err == nil
	for {
		if _, err := os.Lstat(filepath.Join(dir, specName)); err == nil || kept && store.Has(dir) {
			return true
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return false
		}
		dir = parent
	}
}

// hasBucket reports whether anything of the workspace is kept in a bucket.
func (w *workspace) hasBucket() bool {
	return w.spec.Persistence.Enabled && w.spec.HeadRemote() != ""
}

// above is the nearest folder with a spec, from here upwards; here if there is none.
func above() string {
	here, err := filepath.Abs(".")
	if err != nil {
		return "."
	}
	for dir := here; ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(filepath.Join(dir, specName)); err == nil && info.Mode().IsRegular() {
			if dir == here {
				return "."
			}
			return dir
		}
		if dir == filepath.Dir(dir) {
			return "."
		}
	}
}

// open finds the workspace in dir; "" is here, or above.
func open(dir string) (*workspace, error) {
	if dir == "" {
		dir = above()
	}
	folder, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, hint.Wrap(fmt.Errorf("%w in %s: there is no such folder", errNoWorkspace, dir), "make one: coltec new %s --data org=… --data project=… --data env=…", hint.Word(dir))
	case err != nil:
		return nil, hint.Wrap(fmt.Errorf("cannot open the workspace: %w", err), "name a folder that this user can read")
	case !info.IsDir():
		err := fmt.Errorf("%w in %s: it is not a folder", errNoWorkspace, dir)
		if of, is := strings.CutSuffix(filepath.ToSlash(dir), "/"+specName); is {
			return nil, hint.Wrap(err, "name its folder: %s", hint.Word(of))
		}
		return nil, hint.Wrap(err, "name the folder of a workspace, in which there is %s", specName)
	}
	path := filepath.Join(folder, specName)
	sp, err := spec.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hint.Wrap(fmt.Errorf("%w in %s: there is no %s", errNoWorkspace, dir, specName), "bring Coltec into the project: coltec init %s", hint.Word(dir))
	}
	if err != nil {
		return nil, err
	}
	return &workspace{folder, sp}, nil
}
