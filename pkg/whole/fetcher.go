package whole

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/area"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// Fetcher brings rows of shadows to a stage.
type Fetcher struct {
	Area     area.Dir // in which the stage is
	Progress store.Progress
}

// FetchError is the store's fault, and no whole's.
type FetchError struct{ error }

// Unwrap gives what the store said.
func (e *FetchError) Unwrap() error { return e.error }

// Fetch brings rows of a shadow to where they lie in it, below a directory. prefix is what
// their paths begin with; stage is a directory that it may use meanwhile. An error of the
// store is a [*FetchError]; another is of a row that lies where it cannot: below a link, most
// likely.
func (f Fetcher) Fetch(ctx context.Context, source store.Layout, prefix string, rows []tree.Entry, to, stage string) (err error) {
	var files []*tree.Entry
	for i := range rows {
		target := filepath.Join(to, strings.TrimPrefix(rows[i].Path, prefix))
		switch rows[i].Kind {
		case tree.File:
			files = append(files, &rows[i])
		case tree.Dir:
			err = f.Area.Mkdir(target)
		case tree.Link:
			err = f.Area.Link(rows[i].Link, target)
		}
		if err != nil {
			return cannotPlace(&rows[i], err)
		}
	}
	if len(files) == 0 {
		return nil
	}
	dir := filepath.Join(stage, "fetched")
	defer f.Area.RemoveAll(dir)
	if err := f.Area.Mkdir(dir); err != nil {
		return err
	}
	if err := source.Fetch(ctx, files, dir, nil, f.Progress); err != nil {
		return &FetchError{err}
	}
	for i, e := range files {
		if err := f.take(e, filepath.Join(dir, fmt.Sprint(i)), filepath.Join(to, strings.TrimPrefix(e.Path, prefix))); err != nil {
			return cannotPlace(e, err)
		}
	}
	return nil
}

// take gives a file that was fetched its mode, its time and its place.
func (f Fetcher) take(e *tree.Entry, staged, target string) error {
	err := f.Area.Do(staged, func(root *os.Root, path string) error {
		mode := os.FileMode(e.Mode & 0o777)
		if e.Mode == tree.NoMode {
			mode = 0o644
		}
		return errors.Join(root.Chmod(path, mode), root.Chtimes(path, time.Time{}, time.Unix(0, e.MTime)))
	})
	if err != nil {
		return err
	}
	return f.Area.Move(staged, target)
}

func cannotPlace(row *tree.Entry, err error) error {
	return fmt.Errorf("cannot place %q: %w", row.Path, err)
}
