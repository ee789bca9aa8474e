// Package livestore recognizes the data directories of database servers by what lies in
// them, and tells whether a server has one open. It takes no lock, and changes nothing: who
// starts a server meanwhile is not disturbed.
package livestore

import (
	"context"
	"io"
	"path/filepath"
	"strings"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// Kind is whose data directory it is, as people call it. Each is one whole: its files are of
// one moment, or of no use.
type Kind string

// The kinds that are known.
const (
	PostgreSQL Kind = "PostgreSQL"
	MySQL      Kind = "MySQL or MariaDB"
	LevelDB    Kind = "LevelDB"
	RocksDB    Kind = "RocksDB"
)

// Find says whose data directory lies at a path of a tree, "" for its root. What only has a name
// in common with one is none: "".
//
// PostgreSQL: initdb makes global and pg_wal (pg_xlog before 10) before PG_VERSION, and a
// directory below base has the latter alone. MySQL: InnoDB's system tablespace, or the
// dictionary's (8.0), beside what only a server makes. LevelDB and RocksDB: CURRENT names the
// manifest, in one line.
func Find(files localfs.FileSystem, dir string) Kind {
	is := func(kind tree.Kind, names ...string) bool {
		for _, name := range names {
			if e, err := files.Lstat(localfs.Join(dir, name)); err == nil && e != nil && (e.Kind == kind || kind == tree.Dir && e.Kind == tree.Link) {
				return true
			}
		}
		return false
	}
	switch {
	case is(tree.File, "PG_VERSION") && is(tree.Dir, "global") && is(tree.Dir, "pg_wal", "pg_xlog"):
		return PostgreSQL
	case is(tree.File, "ibdata1", "mysql.ibd") && (is(tree.Dir, "mysql", "#innodb_redo") || is(tree.File, "ib_logfile0", "auto.cnf", "aria_log_control")):
		return MySQL
	case is(tree.File, "CURRENT") && is(tree.File, manifestOf(files, dir)):
		if is(tree.File, "IDENTITY") {
			return RocksDB
		}
		return LevelDB
	}
	return ""
}

// manifestOf is the manifest that CURRENT names; a name that nothing has where it names none.
func manifestOf(files localfs.FileSystem, dir string) string {
	name, whole := strings.CutSuffix(string(head(files, localfs.Join(dir, "CURRENT"), 64)), "\n")
	number, is := strings.CutPrefix(name, "MANIFEST-")
	if !whole || !is || len(number) < 6 || len(number) > 20 || strings.Trim(number, "0123456789") != "" {
		return "MANIFEST-"
	}
	return name
}

// head reads the first bytes of a file; none where it cannot be read.
func head(files localfs.FileSystem, path string, most int64) []byte {
	f, err := files.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return nil
	}
	return b
}

// Elsewhere lists what belongs to a data directory at dir and lies in other places of the
// tree at root: tablespaces, and the log where initdb put it elsewhere. Each is a path of the
// tree.
func Elsewhere(ctx context.Context, files localfs.FileSystem, root, dir string, kind Kind) (paths []string) {
	if kind != PostgreSQL {
		return nil
	}
	links, _, _ := files.Walk(ctx, localfs.Join(dir, "pg_tblspc"), localfs.Everything{}) // none where it cannot be read: what it has nobody could carry
	for _, name := range []string{"pg_wal", "pg_xlog"} {
		if e, err := files.Lstat(localfs.Join(dir, name)); err == nil && e != nil {
			links = append(links, *e)
		}
	}
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil
	}
	for _, l := range links {
		if l.Kind != tree.Link || !filepath.IsAbs(l.Link) {
			continue
		}
		target, err := filepath.EvalSymlinks(l.Link)
		if err != nil {
			continue
		}
		if rel, err := filepath.Rel(real, target); err == nil && filepath.IsLocal(rel) && rel != "." && !tree.Within(rel, dir) {
			paths = append(paths, rel)
		}
	}
	return paths
}
