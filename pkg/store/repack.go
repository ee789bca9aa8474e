package store

import (
	"cmp"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/coltec/coltec/pkg/tree"
)

// Repacking brings together what mostly dead objects still hold: the pieces that
// the tree refers to are copied, as they are stored, to new objects, to which the
// next generation refers. The old ones stay for as long as a kept generation
// needs them, like all garbage to be.

const (
	// repackObjects bounds what one collection fetches: 32 objects of up to
	// 18 MiB.
	repackObjects = 32
	// repackLeast is the size of objects that are worth it: a smaller one costs
	// little, and is one of few that a small change makes.
	repackLeast = 1 << 20
)

// MostlyDead says whether less than a quarter of an object's bytes are referred
// to, and it is worth a request.
func MostlyDead(live, size int64) bool { return size >= repackLeast && live < size/4 }

// Sparse chooses the objects to be repacked: those of which the least is live.
func Sparse(live, sizes map[string]int64, dead func(live, size int64) bool) map[string]bool {
	var keys []string
	for key, n := range live {
		if size, there := sizes[key]; there && dead(n, size) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(cmp.Compare(float64(live[a])/float64(sizes[a]), float64(live[b])/float64(sizes[b])), cmp.Compare(a, b))
	})
	sparse := map[string]bool{}
	for _, key := range keys[:min(len(keys), repackObjects)] {
		sparse[key] = true
	}
	return sparse
}

// Spot is where a piece is stored.
type Spot struct {
	Object string
	Offset int64
}

// Repack copies pieces to new objects and says where each is now. dir is an
// empty directory of its own.
func (s *Snapshot) Repack(ctx context.Context, dir string, epoch int64, pieces []tree.Extent) (map[Spot]tree.Extent, error) {
	defer os.RemoveAll(dir)
	pieces = slices.Clone(pieces)
	slices.SortFunc(pieces, func(a, b tree.Extent) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Offset, b.Offset))
	})
	pieces = slices.CompactFunc(pieces, func(a, b tree.Extent) bool { return a.Object == b.Object && a.Offset == b.Offset })
	copies := make([]tree.Entry, len(pieces))
	b := s.Begin(filepath.Join(dir, "out"), epoch, nil).(*snapshotBatch)
	defer b.Stop()
	in := filepath.Join(dir, "in")
	for from := 0; from < len(pieces); {
		to := from
		for to < len(pieces) && pieces[to].Object == pieces[from].Object {
			to++
		}
		if err := s.copyOut(ctx, b, in, pieces[from:to], copies[from:to]); err != nil {
			return nil, err
		}
		from = to
	}
	if err := b.Send(ctx); err != nil {
		return nil, err
	}
	moved := map[Spot]tree.Extent{}
	for i, x := range pieces {
		moved[Spot{x.Object, x.Offset}] = copies[i].Where[0]
	}
	return moved, nil
}

// copyOut adds the pieces of one object to a batch.
func (s *Snapshot) copyOut(ctx context.Context, b *snapshotBatch, dir string, pieces []tree.Extent, copies []tree.Entry) error {
	key := pieces[0].Object
	if err := s.download(ctx, []string{key}, dir, nil); err != nil {
		return err
	}
	file := filepath.Join(dir, Dir, key)
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer os.Remove(file)
	defer f.Close()
	for i, x := range pieces {
		stored := make([]byte, x.Stored)
		if _, err := io.ReadFull(io.NewSectionReader(f, x.Offset, x.Stored), stored); err != nil {
			return err
		}
		if _, err := b.put(ctx, &copies[i], stored, x); err != nil {
			return err
		}
	}
	return nil
}
