package adoption

import (
	"context"
	"os"
	"path/filepath"
	"strconv"

	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// Source fetches listed entries from the plain prefix and all others from
// the replica's own layout.
type Source struct {
	store.Layout
	Plain *store.Mirror
}

// Fetch asks each side for its own. Both name files by their place in the
// list, so each gets a directory of its own.
func (o Source) Fetch(ctx context.Context, entries []*tree.Entry, dir string, here *store.Here, progress store.Progress) error {
	var own, plain []*tree.Entry
	for _, e := range entries {
		if e.Tag != "" {
			plain = append(plain, e)
		} else {
			own = append(own, e)
		}
	}
	if len(plain) == 0 {
		return o.Layout.Fetch(ctx, own, dir, here, progress)
	}
	dirs := map[bool]string{false: filepath.Join(dir, "own"), true: filepath.Join(dir, "plain")}
	for listed, part := range map[bool][]*tree.Entry{false: own, true: plain} {
		if err := os.MkdirAll(dirs[listed], 0o700); err != nil {
			return err
		}
		source := o.Layout
		if listed {
			source = o.Plain
		}
		if err := source.Fetch(ctx, part, dirs[listed], here, progress); err != nil {
			return err
		}
	}
	next := map[bool]int{}
	for i, e := range entries {
		listed := e.Tag != ""
		from := filepath.Join(dirs[listed], strconv.Itoa(next[listed]))
		next[listed]++
		if err := os.Rename(from, filepath.Join(dir, strconv.Itoa(i))); err != nil {
			return err
		}
	}
	return nil
}
