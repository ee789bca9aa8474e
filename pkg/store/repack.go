package store

import (
	"cmp"
	"context"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/tree"
)

// Repacking brings together what lies apart: what mostly dead objects still hold,
// and what many saves made, each an object of its own. The pieces that the tree
// refers to are copied, as they are stored, to new objects, to which the next
// generation refers. The old ones stay for as long as a kept generation needs
// them, like all garbage to be.

const (
	// repackDead bounds the mostly dead objects that one run fetches: 32 objects
	// of up to 18 MiB.
	repackDead = 32
	// repackLeast is the size from which an object that is mostly dead is worth a
	// request for its space alone.
	repackLeast = 1 << 20
	// repackSmall bounds the small objects that one run fetches, and shipSize
	// their bytes: who saves meanwhile waits for it.
	repackSmall = 1000
	// smallObject is the size below which an object is one of those that small
	// saves make: to fetch it costs more for the request than for the bytes.
	smallObject = packSize / 4
)

// The step of a repacking at which a crash test kills the process.
var pointRepacked = killpoint.New("collect:repacked")

// MostlyDead reports whether less than a quarter of an object's bytes are referred
// to, and it is worth a request.
func MostlyDead(live, size int64) bool { return size >= repackLeast && live < size/4 }

// Sparse chooses the objects of which the least is live.
func Sparse(live, sizes map[string]int64, dead func(live, size int64) bool) []string {
	keys := chosen(live, func(key string, n int64) bool {
		size, there := sizes[key]
		return there && dead(n, size)
	}, func(key string) float64 { return float64(live[key]) / float64(sizes[key]) })
	return keys[:min(len(keys), repackDead)]
}

// Small says how many objects may be small ones; what is dead in them is not
// known.
func Small(live map[string]int64) (n int) {
	for _, bytes := range live {
		if bytes < smallObject {
			n++
		}
	}
	return n
}

// Scattered chooses small objects that are to become few, if there are at least
// so many. They are taken in the order of their size, up to the last that is no
// larger than those before it together: what is copied comes to lie in at least
// twice what it lay in, so no byte is copied more often than an object can double
// before it is none of the small ones, however many saves there are.
func Scattered(live, sizes map[string]int64, few int) []string {
	own := func(key string) int64 { return min(live[key], sizes[key]) } // shared bytes count once
	keys := chosen(live, func(key string, _ int64) bool {
		size, there := sizes[key]
		return there && size < smallObject
	}, own)
	n, together, fetched := 0, int64(0), int64(0)
	for i, key := range keys[:min(len(keys), repackSmall)] {
		if fetched += sizes[key]; fetched > shipSize {
			break
		}
		if own(key) <= together {
			n = i + 1
		}
		together += own(key)
	}
	if n < few {
		return nil
	}
	return keys[:n]
}

// chosen are the keys that are wanted, those of the lowest rank first.
func chosen[R cmp.Ordered](live map[string]int64, wanted func(key string, live int64) bool, rank func(key string) R) []string {
	var keys []string
	for key, n := range live {
		if wanted(key, n) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) })
	return keys
}

// Sizes lists the objects.
func (s *Snapshot) Sizes(ctx context.Context) (map[string]int64, error) {
	sizes := map[string]int64{}
	err := s.bucket.ListEach(ctx, path.Join(Dir, "o"), rclone.ListOptions{}, func(o rclone.Object) error {
		sizes["o/"+o.Key] = o.Size
		return nil
	})
	return sizes, err
}

// Spot is where a piece is stored.
type Spot struct {
	Object string
	Offset int64
}

// spotOf is where an extent begins.
func spotOf(x tree.Extent) Spot { return Spot{x.Object, x.Offset} }

// Repack copies pieces of objects to new ones, neighbours in the order of pieces
// together, and says where each is now. sizes are those of the objects. Damaged
// objects are named, and nothing of them is copied. dir is an empty directory of
// its own.
func (s *Snapshot) Repack(ctx context.Context, dir string, epoch int64, pieces []tree.Extent, sizes map[string]int64) (moved map[Spot]tree.Extent, damaged []string, err error) {
	defer os.RemoveAll(dir)
	b := s.Begin(filepath.Join(dir, "out"), epoch, nil).(*snapshotBatch)
	defer b.Stop()
	copies := map[Spot]*tree.Entry{}
	for objects := range fetches(pieces, sizes) {
		bad, err := s.copyOut(ctx, b, filepath.Join(dir, "in"), objects, pieces, copies)
		if err != nil {
			return nil, nil, err
		}
		damaged = append(damaged, bad...)
	}
	if err := b.Send(ctx); err != nil {
		return nil, nil, err
	}
	pointRepacked.Reach()
	moved = map[Spot]tree.Extent{}
	for from, c := range copies {
		moved[from] = c.Where[0]
	}
	return moved, damaged, nil
}

// fetches parts the objects of pieces into those that are fetched, and lie on the
// disk, at a time.
func fetches(pieces []tree.Extent, sizes map[string]int64) func(yield func(objects map[string]bool) bool) {
	return func(yield func(map[string]bool) bool) {
		seen, next, bytes := map[string]bool{}, map[string]bool{}, int64(0)
		for _, x := range pieces {
			if seen[x.Object] {
				continue
			}
			if len(next) > 0 && bytes+sizes[x.Object] > shipSize {
				if !yield(next) {
					return
				}
				next, bytes = map[string]bool{}, 0
			}
			seen[x.Object], next[x.Object] = true, true
			bytes += sizes[x.Object]
		}
		if len(next) > 0 {
			yield(next)
		}
	}
}

// copyOut adds the pieces of some objects to a batch, each once.
func (s *Snapshot) copyOut(ctx context.Context, b *snapshotBatch, dir string, objects map[string]bool, pieces []tree.Extent, copies map[Spot]*tree.Entry) (damaged []string, err error) {
	defer os.RemoveAll(dir)
	damaged, err = s.fetchWhole(ctx, slices.Sorted(maps.Keys(objects)), dir)
	if err != nil {
		return nil, err
	}
	for _, x := range pieces {
		if !objects[x.Object] || copies[spotOf(x)] != nil || slices.Contains(damaged, x.Object) {
			continue
		}
		stored, err := readPiece(filepath.Join(dir, Dir, x.Object), x)
		if err != nil {
			return nil, err
		}
		c := &tree.Entry{}
		if _, err := b.put(ctx, c, stored, x); err != nil {
			return nil, err
		}
		copies[spotOf(x)] = c
	}
	return damaged, nil
}

// readPiece reads an extent, as it is stored, from its object's file.
func readPiece(file string, x tree.Extent) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	stored := make([]byte, x.Stored)
	_, err = io.ReadFull(io.NewSectionReader(f, x.Offset, x.Stored), stored)
	return stored, err
}
