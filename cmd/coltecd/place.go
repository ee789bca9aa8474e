package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/spec"
)

// specName is where a workspace has its spec, below its folder.
const specName = ".devcontainer/workspace-spec.yaml"

// findSpec gives the real path of the spec that a verb is about: --config, then
// COLTEC_CONFIG, then the nearest one from the current directory upwards.
func (p *program) findSpec(c *cli.Context) (string, error) {
	if path := c.String("config"); path != "" {
		return realPath(path, "--config")
	}
	if path := p.env("COLTEC_CONFIG"); path != "" {
		return realPath(path, "COLTEC_CONFIG")
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("cannot tell the current directory: %w", err)
	}
	var looked []string
	for {
		path := filepath.Join(dir, specName)
		if _, err := os.Stat(path); err == nil {
			return realPath(path, "")
		}
		looked = append(looked, dir)
		if dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return "", hint.Wrap(
		fmt.Errorf("cannot find %s: looked in %s", specName, strings.Join(looked, ", ")),
		"run this inside a workspace, or name the spec with --config FILE or COLTEC_CONFIG")
}

// realPath is the one name of a file: two ways to a spec are one workspace.
func realPath(path, by string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(abs)
	switch {
	case errors.Is(err, fs.ErrNotExist) && by != "":
		return "", hint.Wrap(fmt.Errorf("cannot find the spec %q: no such file", path), "%s names it", by)
	case err != nil:
		return "", fmt.Errorf("cannot find the spec %q: %w", path, err)
	}
	return real, nil
}

// workspaceFolder is the folder that the spec at path describes.
func workspaceFolder(path string) string {
	dir := filepath.Dir(path)
	if filepath.Base(dir) == ".devcontainer" {
		return filepath.Dir(dir)
	}
	return dir
}

// logDir is where the logs of the spec at path go.
func (p *program) logDir(path string) (string, error) {
	if dir := p.env("COLTEC_LOG_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	return filepath.Join(filepath.Dir(path), "logs"), nil
}

// loadSpec reads a spec. What is wrong in it is control.ErrInvalidSpec; a file
// that cannot be read is not.
func loadSpec(path string) (*spec.Spec, error) {
	sp, err := spec.Load(path)
	if spec.Problems(err) != nil {
		err = invalid{err}
	}
	return sp, err
}

// invalid marks an error of the spec without a word more.
type invalid struct{ error }

func (i invalid) Unwrap() []error { return []error{i.error, control.ErrInvalidSpec} }

// place is where the runtime files of the spec at path are. sp may be nil: a
// broken spec's coltecd is found too.
func (p *program) place(path string, sp *spec.Spec) control.Place {
	place := control.Place{Spec: path, XDG: p.env("XDG_RUNTIME_DIR"), Tmp: "/tmp", UID: os.Getuid()}
	if sp == nil {
		return place
	}
	place.Workspace = workspaceOf(sp).String()
	for _, s := range sp.Persistence.Sync {
		place.Avoid = append(place.Avoid, s.Path)
	}
	return place
}

// connect finds the running coltecd of the spec that a verb is about.
func (p *program) connect(c *cli.Context) (*control.Client, control.Instance, error) {
	path, err := p.findSpec(c)
	if err != nil {
		return nil, control.Instance{}, err
	}
	i, ok, err := control.Find(p.place(path, nil))
	if err != nil {
		return nil, i, err
	}
	if !ok {
		return nil, i, hint.Wrap(fmt.Errorf("coltecd is not running for %s", path), "start it: %s start", p.name)
	}
	return control.Dial(i.Socket), i, nil
}
