package history

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/coltec/coltec/pkg/datadirs"
	"github.com/coltec/coltec/pkg/frozen"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/scope"
)

// wholeAround is the directory of a tree that a kept version was a part of, where its files are only
// valid together: one that the spec freezes, or the data directory of a database server, here or
// beside the version. ok is false for a version that stands alone.
func wholeAround(ctx context.Context, files localfs.FileSystem, x scope.Replica, k replica.ConflictCopy) (dir string, ok bool) {
	for _, kind := range x.Wholes {
		if f, is := kind.(frozen.Kind); is && f.Around(k.Path) != "" {
			if dir = f.Around(k.Path); dir == frozen.All {
				dir = ""
			}
			return dir, true
		}
	}
	aside := strings.TrimSuffix(k.Entry.Path, k.Path) // above what was kept at that time
	occupied, free := datadirs.Comes(x.Path)(ctx, files, []string{k.Path, k.Entry.Path})
	for _, u := range occupied {
		free = append(free, u.Path)
	}
	for _, dir := range free {
		dir = strings.TrimPrefix(dir+"/", aside)
		dir = strings.TrimSuffix(dir, "/")
		if dir == "" || strings.HasPrefix(k.Path, dir+"/") {
			return dir, true
		}
	}
	return "", false
}

// alone is the error of a version that is not to be taken alone: with one file of two states of a
// database there is none.
func alone(ctx context.Context, x scope.Replica, k replica.ConflictCopy) error {
	return localfs.WithOwn(x.Path, x.Within, 0, func(files *localfs.Root, _ string) error {
		dir, ok := wholeAround(ctx, files, x, k)
		if !ok {
			return nil
		}
		at := filepath.Join(x.Path, filepath.FromSlash(dir))
		err := fmt.Errorf("cannot take %q alone: the files of %s are only valid together", k.Word(), at)
		if !k.Here {
			return hint.Wrap(err, "it is on another machine: coltecd history restore %s --at GENERATION --to DIR, with the generation before that machine lost it", hint.Word(at))
		}
		aside := filepath.Join(x.Path, filepath.FromSlash(strings.TrimSuffix(k.Entry.Path, k.Path)+dir))
		if dir == "" {
			return hint.Wrap(err, "all of it: stop what uses it, and copy what is in %s over it", hint.Word(aside))
		}
		return hint.Wrap(err, "all of it, once what uses it is stopped: mv %s %s && cp -a %s %s", hint.Word(at), hint.Word(at+".before"), hint.Word(aside), hint.Word(at))
	})
}
