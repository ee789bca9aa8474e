package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// ConflictCopy is a local version that lost its name to a remote one.
type ConflictCopy struct {
	ID    string    // STAMP-HOST/PATH, below the directory of conflicts
	Path  string    // that it had
	Time  time.Time // when it lost it
	Host  string    // where
	Entry tree.Entry
	Here  bool // on this machine; else in the bucket alone
}

// Word is the ID as a command line and JSON can have it, whatever bytes the name is made of.
func (k ConflictCopy) Word() string { return tree.Escape(k.ID) }

// Called reports whether a name means the version itself, or the path that it had: as they
// are, or as [ConflictCopy.Word] writes them.
func (k ConflictCopy) Called(name string) (itself, path bool) {
	return k.ID == name || k.Word() == name, k.Path == name || tree.Escape(k.Path) == name
}

// conflictsPath is where a kept version lies in the tree.
func conflictsPath(id string) string { return localfs.Dir + "/" + conflictsDir + "/" + id }

// conflictOf reads what the name of a kept version says; ok is false for other
// paths.
func conflictOf(path string) (k ConflictCopy, ok bool) {
	id, ok := strings.CutPrefix(path, localfs.Dir+"/"+conflictsDir+"/")
	if !ok {
		return k, false
	}
	first, rest, ok := strings.Cut(id, "/")
	if !ok {
		return k, false
	}
	stamp, host, ok := strings.Cut(first, "-")
	t, err := time.Parse(stampLayout, stamp)
	return ConflictCopy{ID: id, Path: rest, Time: t, Host: host}, ok && err == nil
}

// ErrConflicts says that the versions kept aside in a tree on this machine cannot be read.
var ErrConflicts = errors.New("cannot read the conflicts")

// ListConflicts lists the versions kept aside in the tree at path and in its remote
// counterpart, oldest first. A path of "" is of a tree that is not on this machine. No link below
// within ("" for none) leads to the tree. With [ErrConflicts] come those of the remote side.
func ListConflicts(root, within string, remote []tree.Entry) ([]ConflictCopy, error) {
	known := map[string]ConflictCopy{}
	own, err := (*os.File)(nil), fs.ErrNotExist
	if root != "" {
		own, err = localfs.ReadOwn(root, within, 0)
	}
	var dropped map[string]bool
	if err == nil {
		defer own.Close()
		dropped = droppedIn(anchor.At(own))
	}
	for _, e := range remote {
		if k, ok := conflictOf(e.Path); ok && !dropped[e.Path] {
			k.Entry = e
			known[k.ID] = k
		}
	}
	if err == nil {
		err = conflictsIn(anchor.At(own), known)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", ErrConflicts, err)
	} else {
		err = nil
	}
	var out []ConflictCopy
	for _, k := range known {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b ConflictCopy) int { return strings.Compare(a.ID, b.ID) })
	return out, err
}

// conflictsIn adds the versions that an own directory has. One that somebody decides about
// meanwhile hides no other.
func conflictsIn(own string, known map[string]ConflictCopy) error {
	return filepath.WalkDir(filepath.Join(own, conflictsDir), func(file string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(own, file)
		if err != nil {
			return err
		}
		rel = filepath.Join(localfs.Dir, rel)
		k, ok := conflictOf(rel)
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) || !ok {
			return nil
		}
		if err != nil {
			return err
		}
		k.Entry, k.Here = known[k.ID].Entry, true
		k.Entry.Path, k.Entry.Size, k.Entry.Kind = rel, info.Size(), tree.File
		if d.Type()&fs.ModeSymlink != 0 {
			k.Entry.Kind = tree.Link
			if k.Entry.Link, err = os.Readlink(file); errors.Is(err, fs.ErrNotExist) {
				return nil
			}
		}
		known[k.ID] = k
		return err
	})
}

// Kept versions are never read as gone: those of other machines are not here.
// One that a person drops is therefore written down, until the remote side has
// it no more.
const droppedFile = "dropped"

func droppedIn(dir string) map[string]bool {
	f, err := localfs.OpenOwnFile(filepath.Join(dir, droppedFile), os.O_RDONLY)
	if err != nil {
		return nil // there is none
	}
	defer f.Close()
	body, err := io.ReadAll(f)
	if err != nil {
		return nil
	}
	out := map[string]bool{}
	for line := range strings.Lines(string(body)) {
		if path, err := tree.Unescape(strings.TrimSuffix(line, "\n")); err == nil {
			out[path] = true
		}
	}
	return out
}

// PutConflict keeps a file of the stage as the version that a path lost at a moment.
func (r *Replica) PutConflict(staged string, t time.Time, host, path string) error {
	r.root.Forget() // the stage is made anew each time
	to := localfs.Join(conflictsOf(t, host), path)
	if err := r.root.MkdirAll(parentOf(to), 0o700); err != nil {
		return err
	}
	return r.root.Rename(localfs.Dir+"/stage/"+staged, to, true)
}

// retire puts away a kept version that was dropped on another machine: it would
// be pushed again.
func retire(root localfs.FileSystem, path string) {
	aside := fmt.Sprintf("%s/%s/%s/%s", localfs.Dir, replacedDir, stampOf(time.Now()), strings.TrimPrefix(path, localfs.Dir+"/"))
	if now, err := root.Lstat(path); err != nil || now == nil {
		return
	}
	if root.MkdirAll(parentOf(aside), 0o755) == nil {
		_ = root.Rename(path, aside, false) // it stays, and is pushed again: too much is better than too little
	}
}

// trimDropped forgets what the remote side has no more.
func (r *Replica) trimDropped() error {
	was := droppedIn(r.Dir())
	if len(was) == 0 {
		return nil
	}
	if err := r.base.Load(); err != nil {
		return err
	}
	remote := r.base.Remote()
	var lines strings.Builder
	for path := range was {
		if tree.Find(remote, path) != nil {
			lines.WriteString(tree.Escape(path) + "\n")
		}
	}
	file := filepath.Join(r.Dir(), droppedFile)
	if lines.Len() == 0 {
		return os.Remove(file)
	}
	return localfs.WriteOwnFile(file, []byte(lines.String()))
}

// walkConflicts lists the local versions that are kept aside: they are pushed
// like any file, and never read as gone.
func walkConflicts(ctx context.Context, root localfs.FileSystem) ([]localfs.Entry, error) {
	seen, _, err := root.Walk(ctx, localfs.Dir+"/"+conflictsDir, localfs.Everything{})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the conflicts: %w", err)
	}
	seen = slices.DeleteFunc(seen, func(s localfs.Entry) bool { return s.Kind == tree.Dir })
	for i := range seen {
		seen[i].Path = localfs.Join(localfs.Dir+"/"+conflictsDir, seen[i].Path)
	}
	return seen, nil
}
