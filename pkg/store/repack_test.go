package store

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/google/go-cmp/cmp"
)

func TestSparse(t *testing.T) {
	const mb = 1 << 20
	tests := map[string]struct {
		live, sizes map[string]int64
		want        []string
	}{
		"a quarter is not mostly dead":           {map[string]int64{"o/1": 4 * mb, "o/2": 4*mb - 1}, map[string]int64{"o/1": 16 * mb, "o/2": 16 * mb}, []string{"o/2"}},
		"small":                                  {map[string]int64{"o/1": 1}, map[string]int64{"o/1": mb - 1}, nil},
		"not there":                              {map[string]int64{"o/1": 1}, map[string]int64{}, nil},
		"nothing refers to it":                   {map[string]int64{}, map[string]int64{"o/1": 16 * mb}, nil},
		"shared so often that it counts as live": {map[string]int64{"o/1": 64 * mb}, map[string]int64{"o/1": 16 * mb}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Sparse(tt.live, tt.sizes, MostlyDead)); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("the deadest of many", func(t *testing.T) {
		live, sizes := map[string]int64{}, map[string]int64{}
		for i := range 100 {
			live[fmt.Sprintf("o/%02d", i)], sizes[fmt.Sprintf("o/%02d", i)] = int64(i), 16*mb
		}
		got := Sparse(live, sizes, MostlyDead)
		if len(got) != repackDead || got[0] != "o/00" || got[len(got)-1] != fmt.Sprintf("o/%02d", repackDead-1) {
			t.Errorf("got %q", got)
		}
	})
}

func TestScattered(t *testing.T) {
	const mb = 1 << 20
	objects := func(live, size int64, n int) func(live, sizes map[string]int64) {
		return func(lives, sizes map[string]int64) {
			for range n {
				key := fmt.Sprintf("o/%04d", len(lives))
				lives[key], sizes[key] = live, size
			}
		}
	}
	tests := map[string]struct {
		there []func(live, sizes map[string]int64)
		want  int // the first so many
	}{
		"few":                        {[]func(live, sizes map[string]int64){objects(10, 10, 15)}, 0},
		"enough":                     {[]func(live, sizes map[string]int64){objects(10, 10, 16)}, 16},
		"beside large ones":          {[]func(live, sizes map[string]int64){objects(10, 10, 16), objects(smallObject, smallObject, 9)}, 16},
		"as large as all before it":  {[]func(live, sizes map[string]int64){objects(10, 10, 16), objects(160, 160, 1)}, 17},
		"larger than all before it":  {[]func(live, sizes map[string]int64){objects(10, 10, 16), objects(161, 161, 1)}, 16},
		"two of those":               {[]func(live, sizes map[string]int64){objects(10, 10, 16), objects(161, 161, 2)}, 18},
		"it is what lives":           {[]func(live, sizes map[string]int64){objects(10, 10, 16), objects(160, 900, 1)}, 17},
		"shared bytes are not twice": {[]func(live, sizes map[string]int64){objects(10, 10, 15), objects(400, 150, 1)}, 16},
		"so many objects at a time":  {[]func(live, sizes map[string]int64){objects(10, 10, 3000)}, repackSmall},
		"so many bytes at a time":    {[]func(live, sizes map[string]int64){objects(2*mb, 2*mb, 100)}, shipSize / (2 * mb)},
		"each twice the one before":  {[]func(live, sizes map[string]int64){objects(1, 1, 1), objects(2, 2, 1), objects(4, 4, 1), objects(8, 8, 1)}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			live, sizes := map[string]int64{}, map[string]int64{}
			for _, add := range tt.there {
				add(live, sizes)
			}
			want := slices.Sorted(maps.Keys(live))[:tt.want]
			if got := Scattered(live, sizes, 16); !slices.Equal(got, want) {
				t.Errorf("%d are chosen, not %d: %q", len(got), tt.want, got)
			}
		})
	}
	if got := Scattered(map[string]int64{"o/1": 10}, map[string]int64{}, 1); got != nil {
		t.Errorf("what is not there is chosen: %q", got)
	}
}

// After years of saves of all sizes there are few objects, and each byte was
// copied a few times. A choice that takes all small ones each time copies far more.
func TestScatteredCopiesSeldom(t *testing.T) {
	all := func(live, sizes map[string]int64, few int) []string {
		return chosen(live, func(_ string, n int64) bool { return n < smallObject }, func(string) int64 { return 0 })
	}
	for name, tt := range map[string]struct {
		choose func(live, sizes map[string]int64, few int) []string
		seldom bool
	}{"as it is": {Scattered, true}, "all each time": {all, false}} {
		rnd := rand.New(rand.NewPCG(1, 1))
		live := map[string]int64{}
		var saved, copied int64
		for day := range 3000 {
			for i := range 20 {
				n := int64(100) << rnd.IntN(8)
				live[fmt.Sprintf("o/%d.%d", day, i)] = n
				saved += n
			}
			var together int64
			for _, key := range tt.choose(live, live, 16) {
				together += live[key]
				delete(live, key)
			}
			for copied += together; together > 0; together -= packSize {
				live[fmt.Sprintf("o/%d.%d", day, together)] = min(together, packSize)
			}
			if limit := 40 + int(saved/smallObject); len(live) > limit {
				t.Fatalf("%s: %d objects after %d days", name, len(live), day)
			}
		}
		if times := float64(copied) / float64(saved); (times < 10) != tt.seldom {
			t.Errorf("%s: each byte was copied %.1f times", name, times)
		}
	}
}

// What a few files still have in packs that others have left is brought together
// in one, as it was stored; trees that refer to the old ones stay readable.
func TestConformRepack(t *testing.T) {
	conform(t, func(t *testing.T, s *suite) {
		snapshot, ok := s.Layout.(*Snapshot)
		if !ok {
			return // a mirror has no packs
		}
		noise := s.noise(2 * packSize)
		items := []item{file("large", string(noise[:3*packSize/2])), file("small", "small"), file("text", fmt.Sprint(make([]int, 1000))), file("same", "small")}
		s.publish(items)
		before := s.ref
		var pieces []tree.Extent
		objects := map[string]bool{}
		for _, e := range s.entries() {
			if e.Path != "large" {
				pieces = append(pieces, e.Where...)
				objects[e.Where[0].Object] = true
			}
		}
		pieces = append(pieces, items[0].Where[1], items[0].Where[1])
		sizes, err := snapshot.Sizes(t.Context())
		s.must(err)
		moved, damaged, err := snapshot.Repack(t.Context(), s.tmp(), 8, pieces, sizes)
		s.must(err)
		if len(damaged) > 0 {
			t.Errorf("damaged: %q", damaged)
		}
		for i := range items {
			for j, x := range items[i].Where {
				if y, ok := moved[Spot{x.Object, x.Offset}]; ok {
					if y.Sum = x.Sum; objects[y.Object] || y.Size != x.Size || y.Stored != x.Stored || y.Codec != x.Codec {
						t.Errorf("%+v became %+v", x, y)
					}
					items[i].Where[j] = y
				}
			}
		}
		s.announce(s.tmp(), items)
		s.verify(items)
		if items[1].Where[0].Object != items[2].Where[0].Object || items[1].Where[0].Object != items[0].Where[1].Object {
			t.Errorf("they are not in one object: %v", items[1].Where)
		}
		s.ref = before
		s.verify(items)
	})
}

// Many small objects become one, in the order of the tree, fetched in one run.
// Those that are damaged, or gone, are left as they are, and keep nothing else
// from it.
func TestRepackOfMany(t *testing.T) {
	sample.Long(t)
	s := memorySuite(t)
	var items []item
	for i := range 30 {
		items = append(items, s.publish([]item{file(fmt.Sprintf("f%02d", 29-i), fmt.Sprint("content ", i))})[0])
	}
	slices.Reverse(items)
	damaged, gone := items[3].Where[0], items[7].Where[0]
	s.place.set(Dir+"/"+damaged.Object, []byte("other bytes"))
	s.place.drop(Dir + "/" + gone.Object)
	var pieces []tree.Extent
	for _, it := range items {
		pieces = append(pieces, it.Where...)
	}
	sizes, err := s.Layout.(*Snapshot).Sizes(t.Context())
	s.must(err)
	moved, bad, err := s.Layout.(*Snapshot).Repack(t.Context(), s.tmp(), 8, pieces, sizes)
	s.must(err)
	if want := []string{damaged.Object, gone.Object}; !cmp.Equal(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(bad))) {
		t.Errorf("damaged: %q, not %q", bad, want)
	}
	end := int64(0)
	objects := map[string]bool{}
	for _, x := range pieces {
		y, ok := moved[spotOf(x)]
		if ok != (x != damaged && x != gone) || ok && y.Offset != end {
			t.Errorf("%+v became %v %+v, after %d", x, ok, y, end)
		}
		if ok {
			end, objects[y.Object] = y.Offset+y.Stored, true
		}
	}
	if len(objects) != 1 {
		t.Errorf("they lie in %d objects", len(objects))
	}
}

// What is fetched at a time is bounded, and each object is fetched once.
func TestFetches(t *testing.T) {
	var pieces []tree.Extent
	sizes := map[string]int64{}
	for i := range 40 {
		key := fmt.Sprintf("o/%d", i*7%20)
		pieces, sizes[key] = append(pieces, tree.Extent{Object: key, Offset: int64(i)}), packSize/2
	}
	fetched, rounds := map[string]int{}, 0
	for objects := range fetches(pieces, sizes) {
		rounds++
		var bytes int64
		for key := range objects {
			fetched[key]++
			bytes += sizes[key]
		}
		if bytes > shipSize {
			t.Errorf("%d bytes at a time", bytes)
		}
	}
	if rounds != 3 || len(fetched) != 20 || slices.Max(slices.Collect(maps.Values(fetched))) != 1 {
		t.Errorf("in %d rounds: %v", rounds, fetched)
	}
}
