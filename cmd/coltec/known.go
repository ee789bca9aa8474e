package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/devcontainer"
	"github.com/coltec/coltec/pkg/fleet"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/spec"
)

// known is a workspace of this host.
type known struct {
	id     string // org/project/env
	folder string
}

// folders are the workspaces that this host knows without asking Docker or a bucket: those
// that the user agreed to, which every one is that was made or brought up here, and those in
// and beside the current folder.
func (v environment) folders() (list []known) {
	store, err := v.records()
	var dirs []string
	if err == nil {
		dirs = store.Folders()
	}
	if here, err := filepath.Abs(above()); err == nil {
		dirs = append(dirs, here)
		for _, around := range []string{here, filepath.Dir(here)} {
			found, _ := filepath.Glob(filepath.Join(escape(around), "*", specName)) // the pattern is escaped
			for _, name := range found {
				dirs = append(dirs, filepath.Dir(filepath.Dir(name)))
			}
		}
	}
	seen := map[string]bool{}
	for _, dir := range dirs {
		real, err := realPath(dir)
		if err != nil || seen[real] {
			continue
		}
		seen[real] = true
		if sp, err := spec.Load(filepath.Join(dir, specName)); err == nil {
			list = append(list, known{sp.ID(), dir})
		}
	}
	return list
}

// containerPatience is how long Docker may take to say what there is: one that hangs is one that
// cannot be asked.
const containerPatience = 10 * time.Second

// unaskedError says why nobody could say which containers there are.
type unaskedError struct{ error }

func (e unaskedError) Unwrap() error { return e.error }

// notAsked is err of asking which containers there are, where something else is told, or refused, for
// want of them; nil of none.
func notAsked(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("the containers of this host could not be asked: %w", err)
}

// inTime is for how long Docker is asked what there is.
func inTime(ctx context.Context, tools devcontainer.Tools) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, containerPatience, fmt.Errorf("%s did not answer within %s", tools.Client(), containerPatience))
}

// containers are those of dev containers here, one for each folder.
func (v environment) containers(ctx context.Context) ([]devcontainer.Container, error) {
	tools, err := devcontainer.Docker(v.environ)
	if err != nil {
		return nil, err
	}
	ctx, cancel := inTime(ctx, tools)
	defer cancel()
	all, err := tools.List(ctx, devcontainer.LabelFolder)
	if err != nil {
		return nil, err
	}
	return devcontainer.OnePerFolder(all), nil
}

// workspaceOf is the workspace that a container is of, by its labels, or by the spec in its
// folder where it was made without them; "" for none.
func (v environment) workspaceOf(ct devcontainer.Container) string {
	if ct.Labels[devcontainer.LabelOrg] != "" {
		return strings.Join([]string{ct.Labels[devcontainer.LabelOrg], ct.Labels[devcontainer.LabelProject], ct.Labels[devcontainer.LabelEnv]}, "/")
	}
	if sp, err := spec.Load(filepath.Join(ct.Folder(), specName)); err == nil {
		return sp.ID()
	}
	return ""
}

// dockerPatience is how long Docker may take to say which workspaces have a container, where
// that is only to find one by its name.
const dockerPatience = 3 * time.Second

// allKnown are the workspaces that a name may mean.
func (v environment) allKnown(ctx context.Context) []known {
	ctx, cancel := context.WithTimeout(ctx, dockerPatience)
	defer cancel()
	containers, _ := v.containers(ctx) // what cannot be asked knows none
	var list []known
	for _, ct := range containers { // by the folder that Docker knows: others are ways to it
		if id := v.workspaceOf(ct); id != "" {
			list = append(list, known{id, ct.Folder()})
		}
	}
	for _, k := range v.folders() {
		if !slices.ContainsFunc(list, func(l known) bool { return same(l.folder, k.folder) }) {
			list = append(list, k)
		}
	}
	return list
}

// same reports whether two paths lead to one folder.
func same(a, b string) bool {
	absA, errA := filepath.Abs(a)
	absB, errB := filepath.Abs(b)
	if errors.Join(errA, errB) != nil || absA == absB {
		return a == b || absA == absB
	}
	realA, errA := realPath(absA)
	realB, errB := realPath(absB)
	return errors.Join(errA, errB) == nil && realA == realB
}

// open finds the workspace that a person names: by its folder, or one in it; by
// org/project/env, or a part of that which only one on this host has. "" is here, or above.
func (v environment) open(ctx context.Context, name string) (*workspace, error) {
	w, err := open(name)
	if err == nil || name == "" || !errors.Is(err, errNoWorkspace) {
		return w, err
	}
	up, below := upwards(name)
	if strings.HasPrefix(name, ".") || filepath.IsAbs(name) || strings.HasPrefix(name, "~") {
		if below {
			return open(up)
		}
		return nil, err
	}
	list := v.allKnown(ctx)
	found := matching(name, list, isFolder(name))
	if below && !slices.ContainsFunc(found, func(k known) bool { return same(k.folder, up) }) {
		if sp, err := spec.Load(filepath.Join(up, specName)); err == nil {
			found = append(found, known{sp.ID(), up}) // a folder in a workspace, of another's name perhaps
		}
	}
	switch len(found) {
	case 0:
		return nil, unknown(err, name, list)
	case 1:
		return open(found[0].folder)
	}
	var words []string
	for _, k := range found {
		words = append(words, fmt.Sprintf("%s in %s", k.id, k.folder))
	}
	slices.Sort(words)
	return nil, hint.Wrap(cmdline.Usage("%q may be any of: %s", name, strings.Join(words, "; ")), "name more of it, or its folder")
}

// matching are the known workspaces that a name means. One that is also a folder's, which is no
// workspace, means none by its beginning alone.
func matching(name string, list []known, whole bool) (found []known) {
	ids := make([]string, len(list))
	for i, k := range list {
		ids[i] = k.id
	}
	for _, i := range fleet.Match(name, ids, whole) {
		found = append(found, list[i])
	}
	return found
}

func isFolder(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// upwards is the nearest folder with a spec above a folder that has none.
func upwards(name string) (string, bool) {
	dir, err := filepath.Abs(name)
	if err != nil {
		return "", false
	}
	if !isFolder(dir) {
		return "", false
	}
	for dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
		if info, err := os.Stat(filepath.Join(dir, specName)); err == nil && info.Mode().IsRegular() {
			return dir, true
		}
	}
	return "", false
}

// unknown is the error of a name that no folder and no workspace here has.
func unknown(err error, name string, list []known) error {
	if len(list) == 0 {
		return err
	}
	words := map[string]string{} // a name, or a part of it: the whole
	for _, k := range list {
		words[k.id] = k.id
		for part := range strings.SplitSeq(k.id, "/") {
			words[part] = k.id
		}
	}
	if near := cmdline.Nearest(name, words); near != "" {
		return hint.Wrap(err, "did you mean %s? coltec ls shows the workspaces of this host", near)
	}
	return hint.Wrap(err, "coltec ls shows the workspaces of this host: a folder or a part of a name finds one")
}
