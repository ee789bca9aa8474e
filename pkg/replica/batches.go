package replica

import (
	"cmp"
	"slices"

	"github.com/coltec/coltec/pkg/plan"
)

// batches divide what comes into portions that the stage has room for. An object that
// several portions need is fetched by the first of them, and stays until the last.
type batches struct {
	limit int64          // bytes that may come at a time, or one file
	last  map[string]int // by object: the last decision that needs it
	turn  int            // how many decisions had theirs
	rest  int64          // bytes that are still to come
	kept  bool           // the stage has objects that are needed again
	full  int64          // files of so many bytes or more have no room; 0: not known
}

// What comes first: what needs no content, then what is soon there, in the order of the
// objects that it lies in, then large files, the smallest first.
const (
	smallComes  = 64 << 10 // as much as is one piece
	middleComes = 16 << 20 // as much as is about one object
)

// inTurn sorts decisions into the order in which they are carried out.
func inTurn(takes []*plan.Decision) []*plan.Decision {
	type place struct {
		d          *plan.Decision
		class, key int64
	}
	ranks := map[string]int64{}
	places := make([]place, 0, len(takes))
	for _, d := range takes {
		p := place{d: d}
		if d.Fetches() {
			p.class = classOf(d.Entry.Size)
		}
		if p.class == 3 {
			p.key = takesUp(d)
		} else if p.class > 0 && len(d.Entry.Where) > 0 {
			object := d.Entry.Where[0].Object
			if _, known := ranks[object]; !known {
				ranks[object] = int64(len(ranks) + 1)
			}
			p.key = ranks[object]
		}
		places = append(places, p)
	}
	slices.SortStableFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.key, b.key))
	})
	out := make([]*plan.Decision, len(places))
	for i := range places {
		out[i] = places[i].d
	}
	return out
}

func classOf(size int64) int64 {
	switch {
	case size <= smallComes:
		return 1
	case size <= middleComes:
		return 2
	}
	return 3
}

// expect notes which decision is the last to need an object. A part that comes again
// is found in the file that had it first.
func (b *batches) expect(takes []*plan.Decision) {
	b.last = map[string]int{}
	parts := map[string]bool{}
	for i, d := range takes {
		if !d.Fetches() {
			continue
		}
		b.rest += takesUp(d)
		for j := range d.Entry.Where {
			x := &d.Entry.Where[j]
			if x.Sum == "" || !parts[x.Sum] {
				b.last[x.Object] = i
			}
			if x.Sum != "" {
				parts[x.Sum] = true
			}
		}
	}
}

// needs reports whether a decision after the next n needs an object.
func (b *batches) needs(object string, n int) bool {
	last, known := b.last[object]
	return known && last >= b.turn+n
}

// consumed notes that decisions had their turn.
func (b *batches) consumed(takes []*plan.Decision) {
	b.turn += len(takes)
	for _, d := range takes {
		if d.Fetches() {
			b.rest -= takesUp(d)
		}
	}
}
