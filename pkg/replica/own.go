package replica

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/coltec/coltec/pkg/localfs"
)

// ownDir is the replica's own directory in its tree.
type ownDir struct{ own *localfs.OwnDir }

// Dir is where the replica's own directory is reached, by this process and by a program
// that gets the directory from it.
func (d ownDir) Dir() string { return d.own.Path() }

// StageDir is the directory for content on its way.
func (d ownDir) StageDir() string { return filepath.Join(d.Dir(), "stage") }

// incoming is where content that comes is staged.
func (d ownDir) incoming() string { return filepath.Join(d.StageDir(), "in") }

// ReplacedDir is where what a take or a delete replaces at a moment is kept.
func (d ownDir) ReplacedDir(t time.Time) string {
	return filepath.Join(d.Dir(), replacedDir, stampOf(t))
}

// prepare makes the directory below an open tree at a path.
func (d ownDir) prepare(root localfs.FileSystem, path string) error {
	if err := d.own.Hold(root, localfs.OpenOwn, 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(d.StageDir(), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	err := removeEach(d.Dir(), func(name string) bool { ok, _ := filepath.Match(localfs.OwnTemp, name); return ok })
	if err != nil {
		return err
	}
	return localfs.Shelter(d.Dir(), path)
}

// emptyStage removes what came and has no place yet. root is the open tree; nil: it is not
// open.
func (d ownDir) emptyStage(root localfs.FileSystem) error {
	if root != nil {
		root.Forget() // the directory of that name will be another one
	}
	return os.RemoveAll(d.incoming())
}

// removeEach removes the entries of a directory that are to go.
func removeEach(dir string, goes func(name string) bool) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		if goes(e.Name()) {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}
