package replica

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// recovery brings back into a replica's tree what a tree of another time has.
type recovery struct {
	r        *Replica
	under    string // a path: what is at it and below; "" for all
	t        *store.Tree
	source   store.Layout
	progress store.Progress
}

// within reports whether a path is among what is brought back.
func (v recovery) within(path string) bool { return v.under == "" || tree.Within(path, v.under) }

// Restore makes what is at and below a path of the local tree ("" for all of
// it) what t has there: what is placed is an edit like any other, and is pushed
// as one. Local versions that it replaces are kept aside. It uses the stage, so
// that nobody else may place meanwhile, and leaves the tree's own base alone.
// The replica must be a fresh one.
func (r *Replica) Restore(ctx context.Context, under string, t *store.Tree, source store.Layout, progress store.Progress) (out *Outcome, err error) {
	defer r.Close()
	defer func() { err = anchor.Told(err) }()
	if err := r.Open("", 0); err != nil {
		return nil, err
	}
	dir := filepath.Join(r.StageDir(), "restore")
	defer os.RemoveAll(dir)
	r.base = base.New(dir, base.Header{})
	v := recovery{r, under, t, source, progress}
	covered, err := v.covered(ctx)
	if err != nil {
		return nil, err
	}
	within := func(path string) bool { return v.within(path) && !covered(path) }
	unread, err := v.asIs(ctx, within)
	if err != nil {
		return nil, err
	}
	part := &store.Tree{Filters: t.Filters}
	if under == "" || store.Capital(under) {
		part.Capitals = t.Capitals
	}
	for _, e := range t.Entries {
		if within(e.Path) && !tree.Within(e.Path, localfs.Dir) && !slices.ContainsFunc(unread, func(u localfs.Unknown) bool { return u.Path == e.Path }) {
			part.Entries = append(part.Entries, e)
		}
	}
	if err := r.Receive(part, "", 0, 0); err != nil {
		return nil, err
	}
	out, err = r.Settle(ctx, SettleOptions{Source: source, AllowDelete: true, Progress: progress})
	if out != nil {
		out.Problems = append(out.Problems, unread...)
	}
	return out, err
}

// covered tells the paths at which a tree, or what is here, has wholes that were found by
// their content: they are another's to bring back.
func (v recovery) covered(ctx context.Context) (func(path string) bool, error) {
	shadows, err := v.r.Wholes.Shadows(ctx, v.r.root)
	if err != nil {
		return nil, err
	}
	entries := slices.Clone(v.t.Entries)
	for i := range shadows.Seen {
		entries = append(entries, tree.Entry{Path: shadows.Seen[i].Path, Kind: shadows.Seen[i].Kind})
	}
	return v.r.Wholes.Covers(entries), nil
}

// Undelete brings back what t has at and below a path ("" for all of it) where nothing is
// here any more: files, and the wholes that went with the folders that they were in, but for
// those that are found by their content: they are another's to bring back.
// What is here stays as it is, newer or not. The replica must be a fresh one.
func (r *Replica) Undelete(ctx context.Context, under string, t *store.Tree, source store.Layout, progress store.Progress) (*Outcome, error) {
	out, err := recovery{r, under, t, source, progress}.missing(ctx)
	if err != nil {
		return out, err
	}
	covered := r.Wholes.Covers(t.Entries)
	wholes := r.Wholes.Laid(t)
	wholes.Entries = pick(wholes.Entries, func(e *tree.Entry) bool {
		whole := r.Wholes.Shadowed(t.Entries, e.Path)
		return whole != "" && !has(r.Path, whole) && !covered(e.Path)
	})
	if len(wholes.Entries) == 0 {
		return out, nil
	}
	all := New(Options{Path: r.Path, Within: r.Within, Host: r.Host, Filter: &filter.Filter{}, Layout: r.Layout})
	more, err := recovery{all, under, wholes, source, progress}.missing(ctx)
	if more != nil {
		out.Placed += more.Placed
		out.Problems = append(out.Problems, more.Problems...)
	}
	return out, err
}

// has reports whether something is at a path of the tree.
func has(root, path string) bool {
	_, err := os.Lstat(filepath.Join(root, path))
	return err == nil
}

// missing places what the filter carries and is not here.
func (v recovery) missing(ctx context.Context) (out *Outcome, err error) {
	r := v.r
	defer r.Close()
	defer func() { err = anchor.Told(err) }()
	if err := r.Open("", 0); err != nil {
		return nil, err
	}
	dir := filepath.Join(r.StageDir(), "restore")
	defer os.RemoveAll(dir)
	r.base = base.New(dir, base.Header{})
	seen, _, err := r.walk(ctx)
	if err != nil {
		return nil, err
	}
	// Both sides agree on what is here, whatever is in it: nothing is done about that.
	part := &store.Tree{Filters: v.t.Filters}
	for i := range seen {
		row := base.Row{Entry: base.EntryOf(&seen[i], nil), Seen: seen[i].Seen}
		r.base.Agree(row)
		part.Entries = append(part.Entries, row.Entry)
	}
	here, missing := part.Entries, []tree.Entry(nil)
	for _, e := range v.t.Entries {
		if v.within(e.Path) && !tree.Within(e.Path, localfs.Dir) && !has(r.Path, e.Path) && room(here, e.Path) {
			missing = append(missing, e)
		}
	}
	part.Entries = append(part.Entries, v.apart(ctx, missing)...)
	tree.Sort(part.Entries)
	if err := r.Receive(part, "", 0, 0); err != nil {
		return nil, err
	}
	return r.Settle(ctx, SettleOptions{Source: v.source, Progress: v.progress})
}

// apart are those of some entries that are missing here which lie in no directory that is here
// and whose files are only valid together: files of another moment would spoil it.
func (v recovery) apart(ctx context.Context, missing []tree.Entry) []tree.Entry {
	if v.r.Comes == nil || len(missing) == 0 {
		return missing
	}
	var paths []string
	for i := range missing {
		paths = append(paths, missing[i].Path)
	}
	occupied, together := v.r.Comes(ctx, v.r.root, paths)
	for _, u := range occupied {
		together = append(together, u.Path)
	}
	return pick(missing, func(e *tree.Entry) bool {
		return !slices.ContainsFunc(together, func(dir string) bool { return inside(e.Path, dir) })
	})
}

// asIs makes the base say that both sides agree on what is here now. Every file
// is read: one may be damaged that looks as it was. Those that cannot be read
// are given back.
func (v recovery) asIs(ctx context.Context, within func(string) bool) ([]localfs.Unknown, error) {
	seen, _, err := v.r.walk(ctx)
	if err != nil {
		return nil, err
	}
	files := v.r.reader()
	var unread []localfs.Unknown
	for i := range seen {
		s := &seen[i]
		if !within(s.Path) {
			continue
		}
		row := base.Row{Entry: base.EntryOf(s, nil), Seen: s.Seen}
		if s.Kind == tree.File {
			got, now, err := files.Read(s, localfs.Drain)
			if err != nil && ctx.Err() == nil && errors.As(err, new(localfs.FileError)) {
				unread = append(unread, localfs.Unknown{Path: s.Path, Reason: reason(err)})
				continue
			}
			if err != nil {
				return nil, err
			}
			row.Sum, row.Seen = got, now
		}
		v.r.base.Agree(row)
	}
	return unread, nil
}

// Export writes a tree to a directory that is empty or not there yet, and
// leaves nothing else in it. Shadows and versions that were kept aside are left out: of
// [whole.Kinds.Laid] each whole is in its place. plain leaves setuid, setgid and sticky bits out.
func Export(ctx context.Context, dir string, t *store.Tree, source store.Layout, plain bool, progress store.Progress) (*Outcome, error) {
	if err := Vacant(dir); err != nil {
		return nil, err
	}
	r := New(Options{Path: dir, Filter: &filter.Filter{}, Layout: source, PlainModes: plain})
	out, err := r.Restore(ctx, "", t, source, progress)
	return out, errors.Join(err, os.RemoveAll(filepath.Join(dir, localfs.Dir)))
}

// Vacant refuses a directory with something in it, and what is none: a link there may
// be somebody else's, and lead anywhere.
func Vacant(dir string) error {
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !info.IsDir() {
		err = errNoFolder
	}
	if err == nil {
		var entries []fs.DirEntry
		if entries, err = os.ReadDir(dir); err == nil && len(entries) == 0 {
			return nil
		}
	}
	if err == nil {
		err = errors.New("it is not empty")
	}
	return fmt.Errorf("cannot write to %q: %w", dir, err)
}

var errNoFolder = errors.New("it is a link or a file, and no folder")

// MakeIn makes a folder below one that is being written, and those above it. What was
// written before may be hostile: a link in the place of one of them is an error.
func MakeIn(root *os.Root, path string) error {
	for i := range len(path) + 1 {
		if i < len(path) && path[i] != '/' {
			continue
		}
		dir := path[:i]
		info, err := root.Lstat(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = root.Mkdir(dir, 0o755)
		case err == nil && !info.IsDir():
			err = errNoFolder
		}
		if err != nil {
			return fmt.Errorf("cannot write to %q: %w", dir, err)
		}
	}
	return nil
}
