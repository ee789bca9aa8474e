package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/store"
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

// bringAll brings decisions batch by batch. What was settled before an error
// is recorded.
func (p *placement) bringAll(ctx context.Context, takes []*plan.Decision) error {
	for len(takes) > 0 {
		n, err := p.batch(ctx, takes)
		if err != nil {
			return errors.Join(err, p.record())
		}
		p.consumed(takes[:n])
		takes = takes[n:]
	}
	return nil
}

// batch fetches and places the next decisions, and says how many had their turn.
func (p *placement) batch(ctx context.Context, takes []*plan.Decision) (int, error) {
	n := p.portion(takes)
	if n == 0 { // the first one is not tried
		return 1, nil
	}
	staged, err := p.stage(ctx, takes[:n])
	if noRoom(err) {
		return p.retreat(takes[:n], err)
	}
	if err != nil {
		return 0, err
	}
	p.limit = min(p.r.stageBytes, 2*p.limit)
	return n, p.placeBatch(takes[:n], staged)
}

// portion counts the decisions that come next, together: some that need no content, or
// as much as there is room for. None: the first one has no room, and is noted.
func (p *placement) portion(takes []*plan.Decision) int {
	if !takes[0].Fetches() {
		n := slices.IndexFunc(takes, (*plan.Decision).Fetches)
		p.pace.batch = 0
		return cmp.Or(max(n, 0), len(takes))
	}
	room := freeAt(p.r.Path, "")
	if why := p.crowded(takes[0], room); why != "" {
		p.forgo(takes[0], why)
		return 0
	}
	// What comes is there twice for a while: in objects, and in files.
	limit := min(p.limit, room/2)
	n, cost := 0, int64(0)
	for p.pace.batch = 0; n < len(takes) && takes[n].Fetches(); n++ {
		d := takes[n]
		cost += d.Entry.Size + fileCost
		if n > 0 && (cost > limit || p.crowded(d, room) != "") {
			break
		}
		p.pace.batch += d.Entry.Size
	}
	return n
}

// fileCost is what an empty file takes.
const fileCost = 4096

// stage gets the content of decisions into the stage and onto the disk, and names the
// staged files.
func (p *placement) stage(ctx context.Context, takes []*plan.Decision) ([]string, error) {
	staged := make([]string, len(takes))
	if !takes[0].Fetches() {
		return staged, nil
	}
	dir := p.r.incoming()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the stage: %w", err)
	}
	fetch := p.gather(takes, staged, dir)
	later := func(object string) bool { return p.needs(object, len(takes)) }
	if err := p.fetch(ctx, fetch, dir, later); err != nil {
		return nil, err
	}
	pointFetched.Reach()
	// What is renamed into place must not be empty after a power loss.
	return staged, p.sync(flushed(staged)...)
}

// placeBatch gives what is staged its places, and records that.
func (p *placement) placeBatch(takes []*plan.Decision, staged []string) error {
	if err := p.bringEach(takes, staged); err != nil {
		return err
	}
	if takes[0].Fetches() {
		p.pace.placed(len(takes))
	}
	pointPlaced.Reach()
	if takes[0].Fetches() { // what is not on the disk yet need not get there
		if err := p.tidy(len(takes)); err != nil {
			return err
		}
	}
	// Nor must the base say that something was placed which was not.
	if len(p.changes) > 0 {
		if err := p.sync(); err != nil {
			return err
		}
		if err := p.record(); err != nil {
			return err
		}
	}
	pointRecorded.Reach()
	return nil
}

// tidy empties the stage, but for the objects that decisions after the next n need,
// where the disk has room for them beside all that comes.
func (p *placement) tidy(n int) error {
	p.kept = false
	if freeAt(p.r.Path, "") < 2*p.rest {
		return p.r.emptyStage()
	}
	dir := p.r.incoming()
	if err := removeEach(dir, func(name string) bool { return name != store.Dir }); err != nil {
		return err
	}
	return removeEach(filepath.Join(dir, store.Dir, "o"), func(name string) bool {
		needed := p.needs("o/"+name, n)
		p.kept = p.kept || needed
		return !needed
	})
}

// Leave removes what is staged at an end. What a placement that was cut off goes on
// with stays, unless it keeps the disk full.
func (r *Replica) Leave() {
	if r.root == nil {
		return
	}
	full := freeAt(r.Path, "") < r.stageBytes
	_ = removeEach(r.Stage(), func(name string) bool { return full || name != "in" }) // it is tried again at the next start
}
