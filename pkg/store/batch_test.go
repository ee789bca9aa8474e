package store

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/coltec/coltec/pkg/tree"
)

// memorySuite is a snapshot in memory.
func memorySuite(t testing.TB) *suite {
	p := inMemory(t)
	s := &suite{t: t, place: p, dir: t.TempDir()}
	s.Layout = NewSnapshot(p.Bucket, filepath.Join(s.dir, "trees"))
	return s
}

// stored is the size of each object with content.
func (s *suite) stored() map[string]int {
	sizes := map[string]int{}
	for _, key := range s.place.keys() {
		if strings.HasPrefix(key, Dir+"/o/") {
			sizes[key] = len(s.place.body(key))
		}
	}
	return sizes
}

// sending says how many bytes f brings there.
func (s *suite) sending(f func()) int {
	before := s.stored()
	f()
	n := 0
	for key, size := range s.stored() {
		if _, ok := before[key]; !ok {
			n += size
		}
	}
	return n
}

// edits are what is done to large files. A change in one costs little more
// than what it touches: the parts before are the same, and so are those after,
// wherever they moved to.
var edits = map[string]func(b, more []byte, at int) []byte{
	"appended":    func(b, more []byte, _ int) []byte { return slices.Concat(b, more) },
	"prepended":   func(b, more []byte, _ int) []byte { return slices.Concat(more, b) },
	"inserted":    func(b, more []byte, at int) []byte { return slices.Concat(b[:at], more, b[at:]) },
	"overwritten": func(b, more []byte, at int) []byte { return slices.Concat(b[:at], more, b[at+len(more):]) },
	"cut out":     func(b, more []byte, at int) []byte { return slices.Concat(b[:at], b[at+len(more):]) },
	"cut short":   func(b, _ []byte, at int) []byte { return b[:at] },
	"doubled":     func(b, _ []byte, _ int) []byte { return slices.Concat(b, b) },
}

func TestPartsFollowAnEdit(t *testing.T) {
	sample.Long(t)
	for name, edit := range sample.Cases(t, 3, edits) {
		t.Run(name, func(t *testing.T) {
			s := memorySuite(t)
			big := s.publish([]item{file("big", string(s.noise(8<<20)))})[0]
			rnd := rand.New(rand.NewPCG(1, 2))
			for _, n := range []int{1, 1 << 20} {
				more := make([]byte, n)
				for i := range more {
					more[i] = byte(rnd.Uint32())
				}
				next := file("big", string(edit(big.content, more, 1<<20+rnd.IntN(5<<20))))
				sent := s.sending(func() {
					dir := s.tmp()
					batch := s.Begin(dir, 7, nil)
					batch.Reuse(big.Where)
					s.add(batch, &next)
					s.must(batch.Send(t.Context()))
					s.announce(dir, []item{next})
				})
				s.verify([]item{next})
				// What is touched, the parts at its two ends, the last one, and
				// those until both are cut alike again.
				if limit := n + 2*maxPart; sent > limit {
					t.Errorf("%d bytes were sent for a change of %d, more than %d", sent, n, limit)
				}
			}
		})
	}
}

// A file that changed while it was read leaves the others as they are, however
// many packs it went through, and nothing of its own where it can be helped.
func TestUndoThroughPacks(t *testing.T) {
	sample.Long(t)
	for size, firsts := range map[int][]int{
		smallFile + 1: {0, packSize - 10, packSize}, packSize + maxPart: {0, 10, packSize - 10}, shipSize + 2*packSize: {10},
	} {
		for _, first := range sample.Some(t, 1, firsts) {
			t.Run(fmt.Sprintf("%d after %d", size, first), func(t *testing.T) {
				s := memorySuite(t)
				dir := s.tmp()
				batch := s.Begin(dir, 7, nil)
				noise := string(s.noise(size + first + 10))
				items := []item{file("first", noise[:first]), file("again", noise[first:first+size]), file("last", noise[first+size:])}
				s.add(batch, &items[0])
				staged := batch.Staged()
				s.must(s.add(batch, &items[1])())
				if batch.Staged() != staged {
					t.Errorf("%d bytes are staged, %d were", batch.Staged(), staged)
				}
				s.add(batch, &items[2])
				items = []item{items[0], items[2]}
				s.must(batch.Send(t.Context()))
				s.announce(dir, items)
				s.verify(items)
				total := 0
				for _, n := range s.stored() {
					total += n
				}
				if limit := first + 10 + packSize + maxPart; size <= shipSize && total > limit {
					t.Errorf("%d bytes were sent", total)
				}
				again := file("again", noise[first:first+size])
				batch = s.Begin(dir, 7, nil)
				s.add(batch, &again)
				s.must(batch.Send(t.Context()))
				items = append(items, again)
				s.announce(dir, items)
				s.verify(items)
			})
		}
	}
}

// What has the same parts in one batch is sent once, taken out or not.
func TestPartsOfOneBatch(t *testing.T) {
	sample.Long(t)
	s := memorySuite(t)
	noise := s.noise(8 << 20)
	sent := s.sending(func() {
		dir := s.tmp()
		batch := s.Begin(dir, 7, nil)
		a, b, c := file("a", string(noise)), file("b", string(noise)+"more"), file("c", string(noise))
		s.must(s.add(batch, &a)()) // nothing may refer to it now
		s.add(batch, &b)
		s.must(s.add(batch, &c)())
		s.add(batch, &a)
		s.must(batch.Send(t.Context()))
		s.announce(dir, []item{a, b})
		s.verify([]item{a, b})
	})
	if sent > len(noise)+maxPart+1000 {
		t.Errorf("%d bytes were sent for %d", sent, len(noise))
	}
}

// An upload that fails while the next packs are staged fails the batch, and
// nothing is lost when it is sent again.
func TestShipmentFails(t *testing.T) {
	sample.Long(t)
	for _, kind := range sample.Some(t, 1, []storetest.Kind{storetest.Before, storetest.After, storetest.Halfway}) {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			b := storetest.New()
			s := &suite{t: t, dir: t.TempDir(), Layout: NewSnapshot(b, t.TempDir())}
			b.Inject(storetest.Fault{Op: storetest.Upload, Kind: kind})
			it := file("f", string(s.noise(shipSize+2*packSize)))
			dir := s.tmp()
			batch := s.Begin(dir, 7, nil)
			s.add(batch, &it)
			if err := batch.Send(t.Context()); err == nil {
				t.Fatal("a failed upload was taken for one that went well")
			}
			s.must(batch.Send(t.Context()))
			s.announce(dir, []item{it})
			s.verify([]item{it})
		})
	}
}

// Where a file is cut is part of the format: with other cuts the next edit of
// each large file would send it whole.
func TestCutsStay(t *testing.T) {
	s := memorySuite(t)
	it := file("f", string(bytes.Repeat(s.noise(3<<20), 2)))
	s.publish([]item{it})
	var sizes []int64
	for _, x := range s.entries()[0].Where {
		sizes = append(sizes, x.Size)
	}
	if want := []int64{568814, 732914, 536064, 776664, 234337, 668917, 584420, 595041, 286349, 776664, 234337, 296935}; !slices.Equal(want, sizes) {
		t.Errorf("cut into %v, was %v", sizes, want)
	}
}

// The sum of a part is that of its content.
func TestSumsOfParts(t *testing.T) {
	s := memorySuite(t)
	content := s.noise(5 << 20)
	s.publish([]item{file("f", string(content)), file("one", string(content[:smallFile+5]))})
	at := int64(0)
	for _, x := range tree.Find(must(s.Tree(t.Context(), s.ref)).Entries, "f").Where {
		if sum := sha256.Sum256(content[at : at+x.Size]); x.Sum != string(sum[:]) {
			t.Errorf("the part at %d has sum %x", at, x.Sum)
		}
		at += x.Size
	}
	if x := tree.Find(must(s.Tree(t.Context(), s.ref)).Entries, "one").Where[0]; x.Sum != "" {
		t.Error("the sum of a single part is told twice")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
