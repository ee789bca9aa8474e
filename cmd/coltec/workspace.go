package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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
	folder string // absolute, without links: as the CLI names it
	spec   *spec.Spec
}

var errNoWorkspace = errors.New("no workspace")

// hasBucket tells whether anything of the workspace is kept in a bucket.
func (w *workspace) hasBucket() bool {
	return w.spec.Persistence.Enabled && w.spec.HeadRemote() != ""
}

// open finds the workspace in dir; "" is here.
func open(dir string) (*workspace, error) {
	if dir == "" {
		dir = "."
	}
	folder, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, hint.Wrap(fmt.Errorf("%w in %s: there is no such folder", errNoWorkspace, dir), "make one: coltec new %s --data org=… --data project=… --data env=…", dir)
	case err != nil:
		return nil, fmt.Errorf("cannot open the workspace: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("%w in %s: it is not a folder", errNoWorkspace, dir)
	}
	path := filepath.Join(folder, specName)
	sp, err := spec.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hint.Wrap(fmt.Errorf("%w in %s: there is no %s", errNoWorkspace, dir, specName), "make one: coltec new %s --data org=… --data project=… --data env=…", dir)
	}
	if err != nil {
		return nil, err
	}
	return &workspace{folder, sp}, nil
}
