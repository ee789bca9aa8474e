package datadirs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/livestore"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

// Directories are the data directories of one tree. The replica's worker owns it, but for the
// account and the notes, which are read between its runs.
type Directories struct {
	o    whole.Options
	open map[string]*directory // those that are withheld, by path
}

var _ whole.Guard = (*Directories)(nil)

// directory is one that a server has open.
type directory struct {
	kind      livestore.Kind
	use       livestore.Use
	since     time.Time // when it was found so first
	bytes     int64     // of its files, when they were counted
	counted   time.Time
	elsewhere []string // what belongs to it at other paths
}

// lockFile is what a PostgreSQL that was killed leaves. The number in it is of a process here;
// elsewhere it may be anybody's, and then PostgreSQL does not start.
const lockFile = "postmaster.pid"

// recount is how old the size of a directory may be that is told.
const recount = 5 * time.Minute

// Serve needs nothing of a replica.
func (*Directories) Serve(whole.Replica) {}

// Capture finds the data directories around what was edited or went. Those that a server has
// open are given back; of the others the files are to be of one moment. One that is open, and
// in which nothing changed, is in the bucket.
func (d *Directories) Capture(ctx context.Context, m whole.Met) ([]localfs.Unknown, error) {
	var programs livestore.Programs
	open := map[string]*directory{}
	var withheld []localfs.Unknown
	within := func(path string) bool {
		for dir := range open {
			if inside(path, dir) {
				return true
			}
		}
		return false
	}
	for _, dir := range around(m) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if within(dir) {
			continue
		}
		kind := livestore.Find(m.Root, dir)
		if kind == "" {
			continue
		}
		use := livestore.UseOf(m.Root, d.o.Path, dir, kind, &programs)
		if !use.Open {
			if m.Still != nil {
				m.Still(dir)
			}
			if kind == livestore.PostgreSQL {
				withheld = append(withheld, localfs.Unknown{Path: localfs.Join(dir, lockFile), Quiet: true})
			}
			continue
		}
		open[dir] = d.opened(ctx, m.Root, dir, kind, use)
	}
	d.tell(open)
	d.open = open
	for _, dir := range slices.Sorted(maps.Keys(open)) {
		for _, path := range append([]string{dir}, open[dir].elsewhere...) {
			withheld = append(withheld, localfs.Unknown{Path: path, Quiet: true})
		}
	}
	return withheld, nil
}

// around lists the directories in which what changed lies, each after those that it lies in.
func around(m whole.Met) []string {
	dirs := map[string]bool{}
	add := func(path string) {
		for dir := range tree.Parents(path) {
			dirs[dir] = true
		}
	}
	for i := range m.Edited {
		if m.Edited[i].Kind == tree.Dir {
			dirs[m.Edited[i].Path] = true
		}
		add(m.Edited[i].Path)
	}
	for i := range m.Gone {
		add(m.Gone[i].Path)
	}
	if len(m.Edited)+len(m.Gone) > 0 {
		dirs[""] = true
	}
	return slices.SortedFunc(maps.Keys(dirs), tree.Compare)
}

// inside reports whether a path is a directory or lies in it; "" is the root.
func inside(path, dir string) bool { return dir == "" || tree.Within(path, dir) }

// opened notes a directory that is open: since when, and how large it is.
func (d *Directories) opened(ctx context.Context, files localfs.FileSystem, dir string, kind livestore.Kind, use livestore.Use) *directory {
	now := d.o.Now()
	is := &directory{kind: kind, use: use, since: now}
	if was := d.open[dir]; was != nil && was.kind == kind {
		is.since, is.bytes, is.counted = was.since, was.bytes, was.counted
	}
	if now.Sub(is.counted) > recount {
		is.bytes, is.counted = sizeOf(ctx, files, dir), now
	}
	is.elsewhere = livestore.Elsewhere(ctx, files, d.o.Path, dir, kind)
	return is
}

// sizeOf is how large the files below a directory are, as far as they can be seen.
func sizeOf(ctx context.Context, files localfs.FileSystem, dir string) (bytes int64) {
	seen, _, err := files.Walk(ctx, dir, localfs.Everything{})
	if err != nil {
		return 0
	}
	for i := range seen {
		if dir != "" || !tree.Within(seen[i].Path, localfs.Dir) {
			bytes += seen[i].Size
		}
	}
	return bytes
}

// tell says in the log what is withheld now, and what is not any more.
func (d *Directories) tell(open map[string]*directory) {
	for _, dir := range slices.Sorted(maps.Keys(open)) {
		if d.open[dir] == nil {
			d.o.Log.Info("data directory withheld: its server runs", "replica", d.o.Replica, "directory", name(dir), "of", open[dir].kind, "pid", open[dir].use.PID)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(d.open)) {
		if open[dir] == nil {
			d.o.Log.Info("data directory not withheld any more", "replica", d.o.Replica, "directory", name(dir))
		}
	}
}

// name is a directory for people.
func name(dir string) string {
	if dir == "" {
		return "."
	}
	return dir
}

// Comes is [Comes], for the tree.
func (d *Directories) Comes(ctx context.Context, files localfs.FileSystem, paths []string) (occupied []localfs.Unknown, together []string) {
	return Comes(d.o.Path)(ctx, files, paths)
}

// Comes gives, for the tree at a path, the data directories around what is to come: those that
// a server has open, which stay as they are, and the others. See [whole.Guard].
func Comes(root string) func(ctx context.Context, files localfs.FileSystem, paths []string) (occupied []localfs.Unknown, together []string) {
	return func(ctx context.Context, files localfs.FileSystem, paths []string) (occupied []localfs.Unknown, together []string) {
		var programs livestore.Programs
		met := whole.Met{}
		for _, path := range paths {
			met.Gone = append(met.Gone, tree.Entry{Path: path})
		}
		for _, dir := range around(met) {
			if slices.ContainsFunc(occupied, func(u localfs.Unknown) bool { return inside(dir, u.Path) }) {
				continue
			}
			kind := livestore.Find(files, dir)
			if kind == "" {
				continue
			}
			use := livestore.UseOf(files, root, dir, kind, &programs)
			if !use.Open {
				together = append(together, dir)
				continue
			}
			is := directory{kind: kind, use: use}
			for _, path := range append([]string{dir}, livestore.Elsewhere(ctx, files, root, dir, kind)...) {
				occupied = append(occupied, localfs.Unknown{Path: path, Reason: is.server() + " runs on it; what is to come is placed once that has stopped"})
			}
		}
		return occupied, together
	}
}

// Settle does nothing: files are placed like any.
func (*Directories) Settle(context.Context, store.Layout) error { return nil }

// Removal is nothing: who removes a database is asked like anybody.
func (*Directories) Removal(context.Context, []tree.Entry, func(string, map[string]bool) (int, error)) (whole.Removal, error) {
	return whole.Removal{}, nil
}

// Account adds those that are withheld.
func (d *Directories) Account(a *account.Account) {
	for _, dir := range slices.Sorted(maps.Keys(d.open)) {
		is := d.open[dir]
		a.Add(account.Uncaptured, name(dir), is.bytes, is.server()+" runs on it")
	}
}

// server says whose it is, and which process.
func (is *directory) server() string {
	if is.use.PID == 0 {
		return string(is.kind)
	}
	return fmt.Sprintf("%s (process %d)", is.kind, is.use.PID)
}

// Notes say what is withheld, since when, and what a person can do.
func (d *Directories) Notes() []string {
	return d.withheld()
}

// named is how many directories of a kind are told one by one: editors and browsers have many.
const named = 3

// withheld says what is withheld, for each kind.
func (d *Directories) withheld() (out []string) {
	byKind := map[livestore.Kind][]string{}
	for _, dir := range slices.Sorted(maps.Keys(d.open)) {
		byKind[d.open[dir].kind] = append(byKind[d.open[dir].kind], dir)
	}
	for _, kind := range slices.Sorted(maps.Keys(byKind)) {
		dirs := byKind[kind]
		var bytes int64
		var names []string
		since := d.open[dirs[0]].since
		for i, dir := range dirs {
			is := d.open[dir]
			bytes += is.bytes
			if is.since.Before(since) {
				since = is.since
			}
			if i < named {
				names = append(names, fmt.Sprintf("%q", name(dir)))
			}
		}
		if len(dirs) > named {
			names = append(names, fmt.Sprintf("and %d more", len(dirs)-named))
		}
		out = append(out, fmt.Sprintf("replica %s: %s runs on %s (%s), withheld since %s: the bucket keeps what it had of that. It goes when it is stopped; %s",
			d.o.Replica, kind, strings.Join(names, ", "), size(bytes), since.UTC().Format("2006-01-02 15:04 MST"), lines(dirs[0])))
	}
	return out
}

// lines are those of the spec that carry a directory while its server runs.
func lines(dir string) string {
	if dir == "" {
		return "while it runs with the line \"consistency: freeze\" (or hook) in the spec of the replica"
	}
	return fmt.Sprintf("while it runs with two lines in the spec of the replica: \"consistency:\" and \"  - {path: %s, by: freeze}\" (or hook)", dir)
}

// size writes bytes as people read them.
func size(bytes int64) string {
	if bytes < 1<<20 {
		return fmt.Sprintf("%d KB", (bytes+1023)>>10)
	}
	return fmt.Sprintf("%.1f MB", float64(bytes)/(1<<20))
}
