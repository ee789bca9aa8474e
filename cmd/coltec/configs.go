package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/coltec/coltec/pkg/graft"
	"github.com/coltec/coltec/pkg/hint"
)

// configs are the devcontainer.json files of a folder, the one that counts first.
func configs(folder string) ([]string, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return graft.Find(root)
}

// configAt is the devcontainer.json that counts in a workspace: the one that the dev container
// CLI takes by itself; else, of those that have names, the one that has the Feature. Where none
// is, the place of the one that coltec would write.
func configAt(folder string) (string, error) {
	found, err := configs(folder)
	if err != nil || len(found) == 0 {
		return configName, err
	}
	if graft.Plain(found[0]) {
		return found[0], nil
	}
	var ours []string
	for _, at := range found {
		text, err := optional(folder, at)
		if err != nil {
			continue // it is somebody's own
		}
		if has, err := graft.Has(at, text); err == nil && has {
			ours = append(ours, at)
		}
	}
	switch {
	case len(ours) == 1:
		return ours[0], nil
	case len(ours) == 0:
		return "", hint.Wrap(fmt.Errorf("no devcontainer.json of %s has Coltec in it: there are %s", folder, strings.Join(found, ", ")), "say which: coltec init --config %s %s", hint.Word(found[0]), hint.Word(folder))
	}
	return "", hint.Wrap(fmt.Errorf("%s has several devcontainer.json files with Coltec: %s", folder, strings.Join(ours, ", ")), "say which: coltec up %s -- --config %s", hint.Word(folder), hint.Word(filepath.Join(folder, ours[0])))
}

// foreign is a devcontainer.json in a folder that a new workspace would overwrite or hide; ""
// without one.
func foreign(folder string) string {
	found, err := configs(folder)
	if err != nil || len(found) == 0 {
		return ""
	}
	return found[0]
}

// ownAsFolder gives what root wrote, the devcontainer.json at a path and .devcontainer, to whom
// the folder belongs to: the container's user is to be able to write it.
func ownAsFolder(folder, at string) error {
	info, err := os.Stat(folder)
	if err != nil {
		return err
	}
	uid, gid, ok := ownerOf(info)
	if os.Getuid() != 0 || !ok || uid == 0 {
		return nil
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Lchown(at, uid, gid); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fs.WalkDir(root.FS(), ".devcontainer", func(name string, _ fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return root.Lchown(name, uid, gid)
	})
}
