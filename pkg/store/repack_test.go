package store

import (
	"fmt"
	"maps"
	"slices"
	"testing"

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
			if diff := cmp.Diff(tt.want, slices.Sorted(maps.Keys(Sparse(tt.live, tt.sizes, MostlyDead)))); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("the deadest of many", func(t *testing.T) {
		live, sizes := map[string]int64{}, map[string]int64{}
		for i := range 100 {
			live[fmt.Sprintf("o/%02d", i)], sizes[fmt.Sprintf("o/%02d", i)] = int64(i), 16*mb
		}
		got := slices.Sorted(maps.Keys(Sparse(live, sizes, MostlyDead)))
		if len(got) != repackObjects || got[0] != "o/00" || got[len(got)-1] != fmt.Sprintf("o/%02d", repackObjects-1) {
			t.Errorf("got %q", got)
		}
	})
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
		moved, err := snapshot.Repack(t.Context(), s.tmp(), 8, pieces)
		s.must(err)
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

// An object that is damaged is not copied.
func TestRepackOfDamage(t *testing.T) {
	s := memorySuite(t)
	it := s.publish([]item{file("f", string(s.noise(1000)))})[0]
	key := Dir + "/" + it.Where[0].Object
	body := slices.Clone(s.place.body(key))
	body[0]++
	s.place.set(key, body)
	if moved, err := s.Layout.(*Snapshot).Repack(t.Context(), s.tmp(), 8, it.Where); err == nil {
		t.Errorf("it is at %v now", moved)
	}
}
