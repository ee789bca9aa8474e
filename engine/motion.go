package engine

import (
	"maps"
	"path"
	"time"

	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/watch"
)

// Files in continuous motion: logs, sessions of agents, what a program writes all the
// time. They are pushed at a pace: docs/decisions/014.
const (
	// motionPace is how far apart steps are that hold nothing else, from the beginning
	// of one to that of the next: with what a step takes on a slow line what is in the
	// bucket is not older than ten seconds.
	motionPace = 6 * time.Second
	// motionRate is how many bytes of such files are read in a second on average: reading
	// a large one again and again is a few parts in a hundred of the time.
	motionRate = 20_000_000
	// motionSteps is in how many steps one after the other a file was before it counts
	// as in motion. A person who saves twice waits for neither.
	motionSteps = 2
	// motionBreak is how long, beyond the pace, nothing of a file ends its motion.
	motionBreak = 10 * time.Second
	// motionMost bounds how many files are followed: a step that holds more of them is
	// something else.
	motionMost = 1000
)

// motion follows which files of a member change all the time. Its worker owns it, but
// for waits and watched, which belong to the loop, between its runs.
type motion struct {
	steps   map[string]int // in how many steps a file was without a break
	began   time.Time      // the last step
	bytes   int64          // of the files in it
	watched bool           // what is due is so because the watch saw something
	waits   time.Time      // until when a step of nothing else is put off; zero: it is not
}

// puts reports whether a step of what was found is put off: a watch brought it forward,
// there is nothing in it but what changes all the time, and the last one was a moment
// ago.
func (o *motion) puts(found *replica.Changes, now time.Time) bool {
	o.waits = time.Time{}
	due := o.began.Add(o.pace())
	if !o.watched || !now.Before(due) || len(found.Edited) == 0 || len(found.Gone)+len(found.Forgotten) > 0 {
		return false
	}
	for i := range found.Edited {
		if o.steps[found.Edited[i].Path] < motionSteps {
			return false
		}
	}
	o.waits = due
	return true
}

// step notes what a step that began at a time has tried to bring into the bucket.
func (o *motion) step(found *replica.Changes, began time.Time) {
	steps, bytes := map[string]int{}, int64(0)
	for i := range found.Edited {
		if len(found.Edited) > motionMost {
			break
		}
		path := found.Edited[i].Path
		steps[path] = 1
		if began.Sub(o.began) < motionBreak+o.pace() {
			steps[path] += o.steps[path]
		}
		bytes += found.Edited[i].Size
	}
	o.steps, o.began, o.bytes = steps, began, bytes
}

// pace is how long after the last step began the next one does.
func (o *motion) pace() time.Duration {
	return max(motionPace, time.Duration(o.bytes/(motionRate/1000))*time.Millisecond)
}

// waited says when the next step is due, at the end of a cycle.
func (o *motion) waited(next *time.Time) {
	if !o.waits.IsZero() && o.waits.Before(*next) {
		*next = o.waits
	}
	o.watched, o.waits = false, time.Time{}
}

// put has the next walk look at what was walked, and at what was found there, again.
func (h *hints) put(walked map[string]bool, found *replica.Changes) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if walked == nil {
		h.dirs = nil
		return
	}
	dirs := watch.Touched(maps.Clone(walked))
	for i := range found.Edited {
		dir := path.Dir(found.Edited[i].Path)
		if dir == "." {
			dir = ""
		}
		dirs[dir] = dirs[dir] || false
	}
	h.dirs = h.dirs.Join(dirs)
}
