package databases

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/sqlite"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

// Kind are databases of SQLite, each named by its file, which is where a whole is.
type Kind struct{}

var (
	_ whole.Kind     = Kind{}
	_ whole.Verifier = Kind{}
)

// Layout is how shadows lie: each is a directory with a database and its log.
func (Kind) Layout() whole.Layout { return layout }

// Leads reports that no name leads to one: they are found by their content.
func (Kind) Leads(string) bool { return false }

// Around is the database that a path may be, or belong to.
func (Kind) Around(p string) string {
	if database, _, ok := sqlite.Companion(p); ok {
		return database
	}
	return p
}

// Of is the database whose shadow a path is in.
func (Kind) Of(p string) string {
	return path.Dir(strings.TrimPrefix(p, layout.Dir+"/"))
}

// Place is where a path of a shadow belongs: its log is that of the database.
func (Kind) Place(below string) (string, bool) {
	switch path.Base(below) {
	case main:
		return path.Dir(below), true
	case log:
		return path.Dir(below) + string(sqlite.Log), true
	}
	return "", false
}

// AsFiles finds none: what a tree has as files is carried as files until it is written here.
func (Kind) AsFiles([]tree.Entry, func(path string, dir bool) bool) map[string][]tree.Entry {
	return nil
}

// Misleads says which entries nobody captured: a database is a file, and not where git looks.
func (Kind) Misleads(e *tree.Entry) (at, why string) {
	below, ok := strings.CutPrefix(e.Path, layout.Dir+"/")
	switch {
	case !ok:
		return "", ""
	case e.Kind == tree.Link:
		return path.Dir(below), "it is a link in the place of a database: left out"
	case elsewhere(path.Dir(below)):
		return path.Dir(below), "no database is carried there: left out"
	}
	return "", ""
}

// Watched leaves out what shows only that a database is used.
func (Kind) Watched(m localfs.Matcher) localfs.Matcher { return watched{m} }

type watched struct{ localfs.Matcher }

// File reports whether a file is watched. An index of a log is made anew by whoever reads.
func (w watched) File(p string) bool {
	_, role, ok := sqlite.Companion(p)
	return w.Matcher.File(p) && !(ok && role == sqlite.Index)
}

// Carry makes what carries the databases of a tree.
func (Kind) Carry(o whole.Options) whole.Carrier { return newDatabases(o) }

// Verify looks at the copy of a database with its log, without SQLite.
func (Kind) Verify(ctx context.Context, dir, _ string) ([]string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return sqlite.Check(ctx, root, main)
}

// Tables counts the rows of each table of a database whose shadow, and nothing else, lies in a
// directory.
func Tables(ctx context.Context, dir string) (map[string]int64, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return sqlite.Tables(ctx, root, main)
}

// IsDatabase reports whether a file that begins so is a database of SQLite.
func IsDatabase(begin []byte) bool { return sqlite.IsDatabase(begin) }

// TablesOf counts the rows of each table of a database where it lies, below within, to which
// no link leads ("" is none), in a copy of it: others may have it open. scratch is an empty
// directory of the caller's.
func TablesOf(ctx context.Context, file, within, scratch string) (map[string]int64, error) {
	dir, err := anchor.OpenRoot(filepath.Dir(file), within, 0)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	to, err := os.OpenRoot(scratch)
	if err != nil {
		return nil, err
	}
	defer to.Close()
	name := filepath.Base(file)
	got, err := sqlite.Capture(ctx, dir, name, to, sqlite.Options{Patience: patience})
	if err == nil && got.Outcome != sqlite.Captured {
		err = errors.New(got.Reason)
	}
	if err == nil {
		err = sqlite.Settle(to, name)
	}
	if err != nil {
		return nil, err
	}
	return sqlite.Tables(ctx, to, name)
}
