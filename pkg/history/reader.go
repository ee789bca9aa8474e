// Package history reads what a workspace's bucket holds: its generations, what is in
// them, and the versions that lost their name. It takes no lease, and so the host's
// program, which keeps no replica, has it too.
package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/databases"
	"github.com/coltec/coltec/pkg/datadirs"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/frozen"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/repositories"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

// Options say whose history is read.
type Options struct {
	Workspace status.Workspace
	Replicas  []scope.Replica // in order of priority
	Host      string          // in the names of what a restore keeps here
	// Connect opens a prefix.
	Connect func(ctx context.Context, t scope.Target) (scope.Remote, error)
}

// Reader reads what a workspace's bucket holds. It needs no lease and writes
// nothing there; it has remotes of its own, and may run beside an engine.
// One goroutine uses it.
type Reader struct {
	o       Options
	tmp     string
	head    scope.Remote
	remotes map[string]scope.Remote
	now     *store.Head
	log     *store.Log
}

// NewReader makes a reader of a workspace; Close it.
func NewReader(o Options) (*Reader, error) {
	tmp, err := os.MkdirTemp("", "coltec-read-")
	if err != nil {
		return nil, err
	}
	return &Reader{o: o, tmp: tmp, remotes: map[string]scope.Remote{}}, nil
}

// Close removes what the reader fetched.
func (r *Reader) Close() { os.RemoveAll(r.tmp) }

// Head reads the head, once.
func (r *Reader) Head(ctx context.Context) (*store.Head, error) {
	if r.now != nil {
		return r.now, nil
	}
	head, err := r.o.Connect(ctx, scope.Target{})
	if err != nil {
		return nil, err
	}
	h, err := store.ReadHead(ctx, head, r.o.Workspace.String())
	if errors.Is(err, rclone.ErrNotFound) {
		if left, err := r.leftovers(ctx); err != nil || left != "" {
			return nil, errors.Join(err, hint.Wrap(fmt.Errorf("cannot read the history of %s: %w, %s", r.o.Workspace, ErrHeadLost, left),
				"bring the workspace up, on any machine: coltecd makes a new head, takes the newest state that is left, merges it with what is there, and deletes nothing"))
		}
		return nil, hint.Wrap(fmt.Errorf("cannot read the history of %s: %w there", r.o.Workspace, ErrNothingCommitted),
			"check bucket, path_prefix and the name of the workspace")
	}
	if err != nil {
		return nil, err
	}
	r.head, r.now = head, h
	return h, nil
}

// Log reads the generations that are kept, oldest first. What is in it stays
// for 48 hours at least.
func (r *Reader) Log(ctx context.Context) ([]store.Generation, error) {
	h, err := r.Head(ctx)
	if err != nil {
		return nil, err
	}
	if r.log == nil {
		if r.log, err = store.ReadLog(ctx, r.head, h, r.tmp); err != nil {
			return nil, err
		}
	}
	if errors.Is(r.log.Cut, store.ErrImpossible) {
		return nil, r.log.Cut
	}
	return withCheckpoints(r.log.Generations, h.Checkpoints), nil
}

// withCheckpoints are generations with those that have a name and are in no log any more.
func withCheckpoints(gens []store.Generation, named []store.Checkpoint) []store.Generation {
	all := slices.Clone(gens)
	for _, c := range named {
		i, is := slices.BinarySearchFunc(all, c.Number, byNumber)
		if !is {
			all = slices.Insert(all, i, c.Generation)
		}
	}
	return all
}

func byNumber(g store.Generation, n int64) int { return cmp.Compare(g.Number, n) }

// Checkpoints are the generations that have a name, in the order in which they got it.
func (r *Reader) Checkpoints(ctx context.Context) ([]store.Checkpoint, error) {
	h, err := r.Head(ctx)
	if err != nil {
		return nil, err
	}
	return h.Checkpoints, nil
}

// ErrHeadLost is returned where a workspace has no head any more.
var ErrHeadLost = errors.New("its head is gone from the bucket")

// leftovers says what a lost head has left in the workspace's prefixes; "" when
// there never was one.
func (r *Reader) leftovers(ctx context.Context) (string, error) {
	for _, x := range r.o.Replicas {
		remote, err := r.remote(ctx, x)
		if err != nil {
			return "", err
		}
		claim, err := store.ReadClaim(ctx, remote)
		if errors.Is(err, rclone.ErrNotFound) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("cannot look whether a head was lost: %w", err)
		}
		if claim.Workspace == r.o.Workspace.String() {
			return fmt.Sprintf("and replica %q is still there", x.Name), nil
		}
	}
	return "", nil
}

// ErrNothingCommitted is returned where a workspace has no head.
var ErrNothingCommitted = errors.New("nothing was ever committed")

// ErrNoGeneration is returned where no kept generation is as old as was asked for.
var ErrNoGeneration = errors.New("there is no such generation")

// At finds a generation: by the name of a checkpoint, by number, or by a moment, whose state
// is the last one committed before it.
func (r *Reader) At(ctx context.Context, at string, now time.Time) (store.Generation, error) {
	gens, err := r.Log(ctx)
	if err != nil {
		return store.Generation{}, err
	}
	if len(gens) == 0 {
		return store.Generation{}, fmt.Errorf("cannot find generation %q: %w: nothing was ever committed", at, ErrNoGeneration)
	}
	if at == "" {
		return gens[len(gens)-1], nil
	}
	if c, is := r.now.Checkpoint(at); is {
		return c.Generation, nil
	}
	if n, err := strconv.ParseInt(at, 10, 64); err == nil {
		return numbered(gens, n)
	}
	t, err := parseMoment(at, now)
	if err != nil {
		return store.Generation{}, err
	}
	for _, g := range slices.Backward(gens) {
		if !g.Time.After(t) {
			return g, nil
		}
	}
	return store.Generation{}, hint.Wrap(fmt.Errorf("cannot find a generation at %s: %w", t.Format(time.RFC3339), ErrNoGeneration),
		"the oldest one is %d, of %s", gens[0].Number, gens[0].Time.Format(time.RFC3339))
}

func numbered(gens []store.Generation, n int64) (store.Generation, error) {
	i, ok := slices.BinarySearchFunc(gens, n, byNumber)
	if ok {
		return gens[i], nil
	}
	near := gens[min(max(i-1, 0), len(gens)-1)]
	return store.Generation{}, hint.Wrap(fmt.Errorf("cannot find generation %d: %w", n, ErrNoGeneration),
		"it is not kept any more, or was never made; the one before it is %d, of %s", near.Number, near.Time.Format(time.RFC3339))
}

// parseMoment reads a time: RFC 3339, a date, or how long ago (2h, 90m, 3d, "2h ago").
func parseMoment(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	ago := strings.ReplaceAll(strings.TrimSuffix(strings.TrimSpace(text), "ago"), " ", "")
	if days, ok := strings.CutSuffix(ago, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil && n >= 0 && n < daysMost {
			return now.Add(-time.Duration(n * 24 * float64(time.Hour))), nil
		}
	}
	if d, err := time.ParseDuration(ago); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, hint.Wrap(fmt.Errorf("there is no checkpoint %q, and it is neither a generation nor a time", text),
		"say the name of a checkpoint, a generation's number, how long ago (2h, 3d), or a time as 2006-01-02T15:04:05Z")
}

// daysMost is more days than a duration holds.
const daysMost = 100_000

// Replica finds a replica by its name.
func (r *Reader) Replica(name string) (scope.Replica, bool) {
	i := slices.IndexFunc(r.o.Replicas, func(x scope.Replica) bool { return x.Name == name })
	if i < 0 {
		return scope.Replica{}, false
	}
	return r.o.Replicas[i], true
}

// Find finds the replica that a path lies in, and the path within it. Relative
// paths are those of the first replica that is not of a home, in which nobody works, or of
// the first one; "." is all of it.
func (r *Reader) Find(path string) (scope.Replica, string, error) {
	if len(r.o.Replicas) == 0 {
		return scope.Replica{}, "", errors.New("this workspace has no replicas")
	}
	if !filepath.IsAbs(path) {
		first := max(slices.IndexFunc(r.o.Replicas, func(x scope.Replica) bool { return !x.Home }), 0)
		path = filepath.Join(r.o.Replicas[first].Path, path)
	}
	path = filepath.Clean(path)
	best := -1
	for i, x := range r.o.Replicas {
		if tree.Within(path, x.Path) && (best < 0 || len(x.Path) > len(r.o.Replicas[best].Path)) {
			best = i
		}
	}
	if best < 0 {
		var roots []string
		for _, x := range r.o.Replicas {
			roots = append(roots, x.Path)
		}
		return scope.Replica{}, "", hint.Wrap(fmt.Errorf("cannot find %q: it is in no replica", path), "replicas are at %s", strings.Join(roots, ", "))
	}
	x := r.o.Replicas[best]
	return x, strings.TrimPrefix(strings.TrimPrefix(path, x.Path), "/"), nil
}

// remote opens a replica's prefix, once.
func (r *Reader) remote(ctx context.Context, x scope.Replica) (scope.Remote, error) {
	remote, ok := r.remotes[x.Name]
	if !ok {
		var err error
		if remote, err = r.o.Connect(ctx, scope.Target{Replica: x.Name, Plain: x.Layout == "mirror"}); err != nil {
			return nil, err
		}
		r.remotes[x.Name] = remote
	}
	return remote, nil
}

// layout opens a replica's prefix for reading.
func (r *Reader) layout(ctx context.Context, x scope.Replica) (store.Layout, error) {
	remote, err := r.remote(ctx, x)
	if err != nil {
		return nil, err
	}
	if x.Layout == "mirror" {
		return store.NewMirror(remote), nil
	}
	return store.NewSnapshot(remote, filepath.Join(r.tmp, x.Name)), nil
}

// Tree reads a replica's tree at a generation, and where its content is to be
// fetched from. A mirror has the tree of now alone.
func (r *Reader) Tree(ctx context.Context, x scope.Replica, g store.Generation) (*store.Tree, store.Layout, error) {
	layout, err := r.layout(ctx, x)
	if err != nil {
		return nil, nil, err
	}
	ref := g.Replicas[x.Name]
	if x.Layout == "mirror" {
		if h, err := r.Head(ctx); err != nil || h.Generation != g.Number {
			return nil, nil, errors.Join(err, hint.Wrap(
				fmt.Errorf("cannot read generation %d of replica %q: it is kept as plain objects, without generations", g.Number, x.Name),
				"what was replaced there is under .coltec/history in its prefix"))
		}
	} else if ref.Manifest == "" {
		return nil, nil, fmt.Errorf("cannot read generation %d of replica %q: the replica was not in it yet: %w", g.Number, x.Name, ErrNoGeneration)
	}
	t, err := layout.Tree(ctx, ref.Manifest)
	return t, layout, err
}

// Placed is what a restore did.
type Placed struct {
	Replica    string   `json:"replica"`
	Dir        string   `json:"dir,omitempty"` // where it was exported to
	Generation int64    `json:"generation"`
	Placed     int      `json:"placed"`
	Removed    int      `json:"removed"` // that were not there then
	Problems   []string `json:"problems,omitempty"`
	// Older are those that the generation did not have in their newest state.
	Older *store.Older `json:"older,omitempty"`
}

func placedOf(x scope.Replica, g store.Generation, out *replica.Outcome, older *store.Older, left ...localfs.Unknown) *Placed {
	if out == nil {
		return nil
	}
	p := &Placed{Replica: x.Name, Generation: g.Number, Placed: out.Placed, Removed: out.Deleted, Older: older}
	for _, u := range append(out.Problems, left...) {
		p.Problems = append(p.Problems, fmt.Sprintf("%q: %s", u.Path, u.Reason))
	}
	return p
}

// kinds are those of all wholes that a generation may have, whatever the spec says now.
var kinds = whole.Kinds{repositories.Kind{}, databases.Kind{}, frozen.Kind{}}

// ErrNotThere is returned where a generation has nothing at a path.
var ErrNotThere = errors.New("there is nothing at that path in that generation")

// ExportOptions say how a generation is written to a directory of its own.
type ExportOptions struct {
	PlainModes bool // without setuid, setgid and sticky bits
	Progress   func(replica string) store.Progress
}

// Export writes a path of a generation ("" for all) to a directory that is
// empty or not there yet.
func (r *Reader) Export(ctx context.Context, x scope.Replica, path string, g store.Generation, dir string, o ExportOptions) (*Placed, error) {
	t, layout, err := r.Tree(ctx, x, g)
	if err != nil {
		return nil, err
	}
	older := t.Older.Within(path)
	t, left := kinds.Harmless(t)
	if !tree.Within(path, localfs.Dir) {
		t = laid(t, path)
	} else {
		t.Entries = below(t.Entries, path)
	}
	if path != "" && len(t.Entries) == 0 {
		return nil, fmt.Errorf("cannot restore %q of generation %d: %w", path, g.Number, ErrNotThere)
	}
	var progress store.Progress
	if o.Progress != nil {
		progress = o.Progress(x.Name)
	}
	out, err := replica.Export(ctx, dir, t, layout, o.PlainModes, progress)
	return placedOf(x, g, out, older, left...), err
}

// ExportAll writes a generation of several replicas to a directory, as [arrange] lays them
// out; each of placed says where it is. left are those that the generation has no tree of. A
// tree that has a link where another one lies leads that nowhere.
func (r *Reader) ExportAll(ctx context.Context, replicas []scope.Replica, g store.Generation, dir string, o ExportOptions) (placed []*Placed, left []string, err error) {
	if err := replica.Vacant(dir); err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, fmt.Errorf("cannot write to %q: %w", dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	for _, x := range arrange(replicas) {
		if g.Replicas[x.Name].Manifest == "" {
			left = append(left, x.Name)
			continue
		}
		if x.beside {
			x.rel = unused(root, x.rel)
		}
		if err := replica.MakeIn(root, x.rel); err != nil {
			return placed, left, fmt.Errorf("cannot export replica %q: %w", x.Name, err)
		}
		p, err := r.Export(ctx, x.Replica, "", g, filepath.Join(dir, x.rel), o)
		if err != nil {
			return placed, left, err
		}
		p.Dir = filepath.Join(dir, x.rel)
		placed = append(placed, p)
	}
	return placed, left, nil
}

// arranged is a replica, and where it lies in an export.
type arranged struct {
	scope.Replica
	rel    string // "." is the top
	beside bool   // it is not below the one at the top: rel is its name
}

// arrange says where replicas lie in an export, those first in which others lie. At the top is
// the first that is in no other, and is no part of a home directory (~); those below its path
// lie in it as on their machine, others by their name.
func arrange(replicas []scope.Replica) (list []arranged) {
	inOther := func(x scope.Replica) bool {
		return slices.ContainsFunc(replicas, func(y scope.Replica) bool {
			rel, err := filepath.Rel(y.Path, x.Path)
			return err == nil && rel != "." && filepath.IsLocal(rel)
		})
	}
	top := slices.IndexFunc(replicas, func(x scope.Replica) bool { return !strings.HasPrefix(x.Path, "~") && !inOther(x) })
	top = max(top, 0)
	for i, x := range replicas {
		rel, err := filepath.Rel(replicas[top].Path, x.Path)
		switch {
		case i == top:
			list = append(list, arranged{x, ".", false})
		case err == nil && rel != "." && filepath.IsLocal(rel):
			list = append(list, arranged{x, rel, false})
		default:
			list = append(list, arranged{x, x.Name, true})
		}
	}
	slices.SortStableFunc(list, func(a, b arranged) int {
		return cmp.Or(order(a.beside, b.beside), order(a.rel != ".", b.rel != "."), strings.Compare(a.rel, b.rel))
	})
	return list
}

// order puts false before true.
func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// unused is a name that the one at the top has not: a folder of it that is called as another
// replica is not mixed with that.
func unused(root *os.Root, name string) string {
	for {
		if _, err := root.Lstat(name); err != nil { // what cannot be made is said then
			return name
		}
		name += ".replica"
	}
}

// laid is what a tree has at and below a path ("" for all), with each whole where it belongs.
// What is beside the path and part of a whole at it comes along.
func laid(t *store.Tree, path string) *store.Tree {
	out := kinds.Laid(t)
	if path == "" {
		return out
	}
	beside := func(e tree.Entry) bool {
		return !tree.Within(e.Path, path) && kinds.Shadowed(t.Entries, e.Path) == path
	}
	var more []tree.Entry
	for _, e := range out.Entries {
		if beside(e) {
			more = append(more, below([]tree.Entry{e}, e.Path)...)
		}
	}
	out.Entries = append(below(out.Entries, path), more...)
	tree.Sort(out.Entries)
	return out
}

// below are the entries at and below a path, by the names that they have beside
// it. Content of a mirror lies by its name: such entries keep theirs.
func below(entries []tree.Entry, path string) []tree.Entry {
	var out []tree.Entry
	cut := strings.LastIndexByte(path, '/') + 1
	for _, e := range entries {
		if tree.Within(e.Path, path) {
			if e.Tag == "" {
				e.Path = e.Path[cut:]
			}
			out = append(out, e)
		}
	}
	return out
}

// Undelete brings back what a generation has at and below a path of the local tree ("" for
// all) where nothing is any more, and takes deletions back that wait here. Nobody else may
// place there meanwhile.
func (r *Reader) Undelete(ctx context.Context, x scope.Replica, path string, g store.Generation, progress store.Progress) (*Placed, error) {
	t, layout, err := r.Tree(ctx, x, g)
	if err != nil {
		return nil, err
	}
	head, err := r.Head(ctx)
	if err != nil {
		return nil, err
	}
	t, left := kinds.Harmless(t)
	here := r.local(x, layout)
	out, err := here.Undelete(ctx, path, t, layout, progress)
	if err == nil {
		err = r.bring(ctx, x, here, out, databases.Past{Entries: t.Entries, Source: layout, Under: path, Missing: true}, progress)
	}
	if err == nil {
		err = replica.Return(x.Path, x.Within, path, head.Generation)
	}
	left = slices.DeleteFunc(left, func(u localfs.Unknown) bool {
		_, err := os.Lstat(filepath.Join(x.Path, u.Path))
		return path != "" && !tree.Within(u.Path, path) || err == nil // nothing is missing there
	})
	return placedOf(x, g, out, t.Older.Within(path), left...), err
}

// Place makes a path of the local tree what it was in a generation. Nobody else
// may place there meanwhile.
func (r *Reader) Place(ctx context.Context, x scope.Replica, path string, g store.Generation, progress store.Progress) (*Placed, error) {
	t, layout, err := r.Tree(ctx, x, g)
	if err != nil {
		return nil, err
	}
	if path != "" && len(below(slices.Clone(t.Entries), path)) == 0 && kinds.Shadowed(t.Entries, path) != path {
		return nil, fmt.Errorf("cannot restore %q of generation %d: %w", path, g.Number, ErrNotThere)
	}
	here := r.local(x, layout)
	past := databases.Past{Entries: slices.Clone(t.Entries), Source: layout, Under: path}
	if x.Layout != "mirror" {
		past.Lying = databases.Lying(carrying(x, nil), here, t.Entries, path)
		t.Entries = append(t.Entries, past.Lying...)
		tree.Sort(t.Entries)
	}
	out, err := here.Restore(ctx, path, t, layout, progress)
	if err == nil {
		err = r.bring(ctx, x, here, out, past, progress)
	}
	return placedOf(x, g, out, t.Older.Within(path)), err
}

// bring brings databases back, and adds what came of it to what came of files.
func (r *Reader) bring(ctx context.Context, x scope.Replica, here *replica.Replica, out *replica.Outcome, past databases.Past, progress store.Progress) error {
	if x.Layout == "mirror" {
		return nil
	}
	if err := here.Open("", 0); err != nil {
		return err
	}
	defer here.Close()
	got, err := databases.Bring(ctx, carrying(x, progress), here, past)
	out.Placed += got.Placed
	out.Deleted += got.Removed
	out.Problems = append(out.Problems, got.Problems...)
	if err != nil {
		return anchor.Told(err)
	}
	placed, problems, err := frozen.Bring(ctx, carrying(x, progress), here, frozen.Past{Entries: past.Entries, Source: past.Source, Under: past.Under, Missing: past.Missing})
	out.Placed += placed
	out.Problems = append(out.Problems, problems...)
	return anchor.Told(err)
}

// carrying is a replica's tree to who works on its wholes for a person.
func carrying(x scope.Replica, progress store.Progress) whole.Options {
	return whole.Options{
		Replica: x.Name, Path: x.Path, Log: slog.New(slog.DiscardHandler), Now: time.Now, Progress: progress,
		Carries: func(path string) bool { return filterOf(x).Carries(path, false) }, Doing: func(string) {},
	}
}

// local is the tree of a replica as a restore has it.
func (r *Reader) local(x scope.Replica, layout store.Layout) *replica.Replica {
	return replica.New(replica.Options{
		Name: x.Name, Workspace: r.o.Workspace.String(), Path: x.Path, Within: x.Within, Host: r.o.Host, Filter: filterOf(x), Layout: layout, Wholes: kinds,
		Comes: datadirs.Comes(x.Path),
	})
}

// filterOf is what a replica leaves out: nothing where it has no filter.
func filterOf(x scope.Replica) *filter.Filter {
	if x.Filter == nil {
		return &filter.Filter{}
	}
	return x.Filter
}

// Change is how one path differs between two trees.
type Change struct {
	Path string `json:"path"`
	What string `json:"what"` // added, changed, mode, removed
	Size int64  `json:"size,omitempty"`
}

// Compare lists how a tree differs from the one before it.
func Compare(before, after []tree.Entry) []Change {
	var out []Change
	for i := range after {
		e := &after[i]
		was := tree.Find(before, e.Path)
		switch {
		case was == nil:
			out = append(out, Change{e.Path, "added", e.Size})
		case !was.SameContent(e):
			out = append(out, Change{e.Path, "changed", e.Size})
		case !was.SameMeta(e) && e.Kind != tree.Link:
			out = append(out, Change{e.Path, "mode or time", e.Size})
		}
	}
	for i := range before {
		if tree.Find(after, before[i].Path) == nil {
			out = append(out, Change{before[i].Path, "removed", before[i].Size})
		}
	}
	slices.SortStableFunc(out, func(a, b Change) int { return tree.Compare(a.Path, b.Path) })
	return out
}

// Show lists what a generation changed in a replica, against the kept one
// before it, and what it did not have in its newest state.
func (r *Reader) Show(ctx context.Context, x scope.Replica, g store.Generation) ([]Change, *store.Older, error) {
	gens, err := r.Log(ctx)
	if err != nil {
		return nil, nil, err
	}
	after, _, err := r.Tree(ctx, x, g)
	if err != nil {
		return nil, nil, err
	}
	before := &store.Tree{}
	i := slices.IndexFunc(gens, func(o store.Generation) bool { return o.Number == g.Number })
	if i > 0 && gens[i-1].Replicas[x.Name].Manifest != "" {
		if gens[i-1].Replicas[x.Name].Manifest == g.Replicas[x.Name].Manifest {
			return nil, after.Older, nil
		}
		if before, _, err = r.Tree(ctx, x, gens[i-1]); err != nil {
			return nil, nil, err
		}
	}
	return Compare(databases.AsFiles(before.Entries), databases.AsFiles(after.Entries)), after.Older, nil
}

// Version is one version of a path.
type Version struct {
	Generation int64     `json:"generation"` // the first kept one that has it
	Time       time.Time `json:"time"`
	Gone       bool      `json:"gone,omitempty"`
	Kind       string    `json:"kind,omitempty"` // file, directory, link, database
	Mode       string    `json:"mode,omitempty"`
	Size       int64     `json:"size"`
	SHA256     string    `json:"sha256,omitempty"` // of a database: of the hashes of what its state lies in
	Link       string    `json:"link,omitempty"`
}

// Versions lists how a path was in the kept generations, oldest first; each
// state once.
func (r *Reader) Versions(ctx context.Context, x scope.Replica, path string) ([]Version, error) {
	gens, err := r.Log(ctx)
	if err != nil {
		return nil, err
	}
	var out []Version
	last := ""
	for _, g := range gens {
		ref := g.Replicas[x.Name].Manifest
		if ref == "" || ref == last {
			continue
		}
		last = ref
		t, _, err := r.Tree(ctx, x, g)
		if err != nil {
			return nil, err
		}
		v := versionAt(t.Entries, path)
		v.Generation, v.Time = g.Number, g.Time
		if n := len(out); n == 0 && v.Gone || n > 0 && out[n-1].same(v) {
			continue
		}
		out = append(out, v)
	}
	if len(out) == 0 && path == "" {
		return nil, hint.Wrap(fmt.Errorf("cannot list the versions of all that replica %q has", x.Name), "name a file or a directory in it; history lists the generations, and history show what changed in one")
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("cannot find %q: no kept generation of replica %q has it: %w", path, x.Name, ErrNotThere)
	}
	return out, nil
}

// versionAt is what a tree has at a path: of a database its state, whatever that lies in.
func versionAt(entries []tree.Entry, path string) Version {
	if e := databases.State(entries, path); e != nil {
		v := versionOf(e)
		v.Kind = "database"
		return v
	}
	return versionOf(tree.Find(entries, path))
}

func versionOf(e *tree.Entry) Version {
	if e == nil {
		return Version{Gone: true}
	}
	kinds := map[tree.Kind]string{tree.File: "file", tree.Dir: "directory", tree.Link: "link"}
	return Version{Kind: kinds[e.Kind], Mode: fmt.Sprintf("%04o", e.Mode), Size: e.Size, SHA256: e.Sum.String(), Link: e.Link}
}

func (v Version) same(o Version) bool {
	v.Generation, v.Time = o.Generation, o.Time
	return v == o
}
