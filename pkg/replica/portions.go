package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/store"
	"golang.org/x/sys/unix"
)

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
	return n, p.placeBatch(ctx, takes[:n], staged)
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

// A file that had no room is tried again when there is a good deal more of it, and after
// a while in any case: a quota may have been raised. Each try loads as much as there
// is room for.
const (
	refusedFor = 10 * time.Minute
	roomMore   = 16 // a part of what the file takes up
)

// crowded says why a file that comes is not even tried; "" when it is.
func (p *placement) crowded(d *plan.Decision, room int64) string {
	size := takesUp(d)
	was, refused := p.r.refused[d.Path]
	if !refused && p.full == 0 && size <= min(smallComes, room) {
		return "" // there may be many
	}
	room = min(room, freeAt(p.r.Path, d.Path)) // it may go to another file system
	refused = refused && was.sum == d.Entry.Sum && room < was.room+size/roomMore && time.Since(was.at) < refusedFor
	if refused || p.full > 0 && size >= p.full || leastRoom(d) > room {
		return crowdedWords(size, room, nil)
	}
	return ""
}

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
func (p *placement) placeBatch(ctx context.Context, takes []*plan.Decision, staged []string) error {
	p.askAgain(ctx)
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
		return p.r.emptyStage(p.r.root)
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

// retreat is for a batch that the disk had no room for: the stage is emptied, and less
// comes at a time, until one file is left that has none.
func (p *placement) retreat(takes []*plan.Decision, err error) (int, error) {
	kept := p.kept
	p.kept = false
	if err := p.r.emptyStage(p.r.root); err != nil {
		return 0, err
	}
	if len(takes) > 1 || kept {
		p.limit = max(p.pace.batch/2, 1)
		return 0, nil
	}
	d := takes[0]
	if !errors.Is(err, unix.EFBIG) {
		p.full = max(takesUp(d), 1)
	}
	p.forgo(d, p.refuse(d, err))
	return 1, nil
}
