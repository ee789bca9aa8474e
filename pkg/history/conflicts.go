package history

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/databases"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// Conflicts lists the local versions of a replica that lost their name to a remote
// one: those of this machine, and those of others that the bucket has. Where
// the bucket cannot be read, those of this machine come with the error.
func (r *Reader) Conflicts(ctx context.Context, x scope.Replica) ([]replica.ConflictCopy, error) {
	var remote []tree.Entry
	g, err := r.At(ctx, "", time.Time{})
	if err == nil {
		var t *store.Tree
		if t, _, err = r.Tree(ctx, x, g); err == nil {
			remote = t.Entries
		}
	}
	if errors.Is(err, ErrNoGeneration) || errors.Is(err, ErrNothingCommitted) || errors.Is(err, ErrHeadLost) {
		err = nil
	}
	list, local := replica.ListConflicts(x.Path, x.Within, remote)
	return list, errors.Join(err, local)
}

// FindConflicts finds the kept version of a replica that has an ID, or else those of a path. Those of a
// replica of which not all can be read come without the error.
func (r *Reader) FindConflicts(ctx context.Context, x scope.Replica, name string) ([]replica.ConflictCopy, error) {
	list, err := r.Conflicts(ctx, x)
	// As it is listed it is unique; as it is, it may be what another one is listed as.
	i := slices.IndexFunc(list, func(k replica.ConflictCopy) bool { return k.Word() == name })
	if i < 0 {
		i = slices.IndexFunc(list, func(k replica.ConflictCopy) bool { itself, _ := k.Called(name); return itself })
	}
	if i >= 0 {
		return list[i : i+1], nil
	}
	var found []replica.ConflictCopy
	for _, k := range list {
		if _, path := k.Called(name); path {
			found = append(found, k)
		}
	}
	if len(found) > 0 {
		err = nil
	}
	return found, err
}

// ConflictFile gives a file with the content of a kept version: its own where it
// is on this machine, else one that is fetched to a directory of the caller's.
func (r *Reader) ConflictFile(ctx context.Context, x scope.Replica, k replica.ConflictCopy, dir string) (string, error) {
	if k.Here {
		return filepath.Join(x.Path, filepath.FromSlash(k.Entry.Path)), nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("cannot fetch %q: %w", k.ID, err)
	}
	layout, err := r.layout(ctx, x)
	if err != nil {
		return "", err
	}
	if k.Entry.Kind == tree.Link && k.Entry.Tag == "" {
		file := filepath.Join(dir, "link")
		return file, os.Symlink(k.Entry.Link, file)
	}
	if err := layout.Fetch(ctx, []*tree.Entry{&k.Entry}, dir, nil, nil); err != nil {
		return "", fmt.Errorf("cannot fetch %q: %w", k.ID, err)
	}
	return filepath.Join(dir, "0"), nil
}

// TakeConflict gives a kept version its name back; what has the name now is kept with
// what was replaced, at the path in the tree that is given back. Nobody else may place there
// meanwhile. With seen, of [Reader.CompareConflict], it is refused where one of both is another
// by now: [replica.ErrOther]. One file of a directory whose files are only valid together is not taken.
func (r *Reader) TakeConflict(ctx context.Context, x scope.Replica, k replica.ConflictCopy, seen string) (replaced string, err error) {
	if err := alone(ctx, x, k); err != nil {
		return "", err
	}
	here := r.local(x, nil)
	if err := here.Open("", 0); err != nil {
		return "", err
	}
	defer here.Close()
	return replica.TakeConflict(x.Path, x.Within, k, replica.Decision{
		Seen:    seen,
		GiveWay: func() (string, error) { return giveWay(x, here, k.Path) },
		Fetch: func(dir string) (string, error) {
			file, err := r.ConflictFile(ctx, x, k, dir)
			if err == nil && k.Entry.Kind == tree.File {
				err = errors.Join(os.Chmod(file, os.FileMode(k.Entry.Mode&0o777)), os.Chtimes(file, time.Time{}, time.Unix(0, k.Entry.MTime)))
			}
			return file, err
		},
	})
}

// DropConflict removes a kept version here, and from the next generation. What was here is
// kept with what was replaced, at the path in the tree that is given back. Seen is that of
// [Reader.TakeConflict].
func (r *Reader) DropConflict(x scope.Replica, k replica.ConflictCopy, seen string) (replaced string, err error) {
	return replica.DropConflict(x.Path, x.Within, k, replica.Decision{Seen: seen})
}

// giveWay has a database that has the name of a kept version move aside whole, and gives the
// path in the tree where it is.
func giveWay(x scope.Replica, here *replica.Replica, at string) (replaced string, err error) {
	o, now := carrying(x, nil), time.Now()
	o.Now = func() time.Time { return now }
	moved, err := databases.GiveWay(o, here, at)
	if err != nil || !moved {
		return "", anchor.Told(err)
	}
	stamp := here.ReplacedDir(now)
	return path.Join(localfs.Dir, filepath.Base(filepath.Dir(stamp)), filepath.Base(stamp), at), nil
}
