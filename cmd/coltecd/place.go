package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/daemon"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/spec"
)

// findSpec gives the real path of the spec that a verb is about: --config, then
// COLTEC_CONFIG, then the nearest one from the current directory upwards. One that is gone
// at the moment, as with a branch of git that does not have it, is that of the coltecd that
// still runs by it.
func (p *program) findSpec(c *cli.Context) (string, error) { return p.specNear(c.String("config")) }

// specNear is findSpec with what --config says, "" for nothing.
func (p *program) specNear(path string) (string, error) {
	if path != "" {
		return p.realPath(path, "--config")
	}
	if path := p.env("COLTEC_CONFIG"); path != "" {
		return p.realPath(path, "COLTEC_CONFIG")
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("cannot tell the current directory: %w", err)
	}
	var looked []string
	for {
		path := filepath.Join(dir, daemon.SpecName)
		if _, err := os.Stat(path); err == nil {
			return p.realPath(path, "")
		}
		looked = append(looked, dir)
		if dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	for _, dir := range looked {
		if path, ok := p.runsBy(filepath.Join(dir, daemon.SpecName)); ok {
			return path, nil
		}
	}
	return "", hint.Wrap(
		fmt.Errorf("cannot find %s: looked in %s", daemon.SpecName, strings.Join(looked, ", ")),
		"run this inside a workspace, or name the spec with --config FILE or COLTEC_CONFIG")
}

// realPath is the one name of a file: two ways to a spec are one workspace.
func (p *program) realPath(path, by string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(abs)
	if errors.Is(err, fs.ErrNotExist) {
		if gone, ok := p.runsBy(abs); ok {
			return gone, nil
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && by != "":
		return "", hint.Wrap(fmt.Errorf("cannot find the spec %q: no such file", path), "%s names it", by)
	case err != nil:
		return "", fmt.Errorf("cannot find the spec %q: %w", path, err)
	}
	return real, nil
}

// runsBy gives the real path of a spec that is gone, where a coltecd runs by it.
func (p *program) runsBy(path string) (real string, ok bool) {
	rest := ""
	for dir := path; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if there, err := filepath.EvalSymlinks(dir); err == nil {
			_, ok, err := p.find(filepath.Join(there, rest))
			return filepath.Join(there, rest), ok && err == nil
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
	return "", false
}

// options are this call, about the spec at path. sp may be nil: a broken spec's coltecd
// is found too.
func (p *program) options(path string, sp *spec.Spec) daemon.Options {
	return daemon.Options{Name: p.name, Version: release(), Environ: p.environ, Err: p.err, Path: path, Spec: sp}
}

// find looks for the coltecd of the spec at path.
func (p *program) find(path string) (control.Instance, bool, error) {
	return control.Find(p.options(path, nil).Runtime())
}

// connect finds the running coltecd of the spec that a verb is about.
func (p *program) connect(c *cli.Context) (*control.Client, control.Instance, error) {
	path, err := p.findSpec(c)
	if err != nil {
		return nil, control.Instance{}, err
	}
	i, ok, err := p.find(path)
	if err != nil {
		return nil, i, err
	}
	if !ok {
		return nil, i, hint.Wrap(fmt.Errorf("coltecd is not running for %s", path), "start it: %s start", p.name)
	}
	return control.Dial(i.Socket), i, nil
}
