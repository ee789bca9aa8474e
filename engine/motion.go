package engine

import (
	"time"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/replica"
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

// motionTries is how often a sync or a stop looks again at files that changed while
// they were read.
const motionTries = 3

// motion follows which files of a replica change all the time.
type motion struct {
	steps map[string]int // in how many steps a file was without a break
	began time.Time      // the last step
	bytes int64          // of the files in it
}

// putOff is until when a step of what was found is put off; zero: it is not. It is where a
// watch brought it forward, there is nothing in it but what changes all the time, and the
// last one was a moment ago. A replica that gathers changes for a while puts off every step
// that a watch brought forward, whatever is in it.
func (o *motion) putOff(found *replica.Changes, watched bool, now time.Time, gather time.Duration) (until time.Time) {
	if due := o.gathers(gather); watched && now.Before(due) {
		return due
	}
	due := o.began.Add(o.pace())
	if !watched || !now.Before(due) || len(found.Edited) == 0 || len(found.Gone)+len(found.Forgotten) > 0 {
		return time.Time{}
	}
	for i := range found.Edited {
		if path := found.Edited[i].Path; o.steps[path] < motionSteps || base.ShadowRow(path) { // of a shadow what was added is sent
			return time.Time{}
		}
	}
	return due
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

// gathers is until when a replica that gathers changes for so long does so; zero: it does not.
func (o *motion) gathers(gather time.Duration) time.Time {
	if gather == 0 || o.began.IsZero() {
		return time.Time{}
	}
	return o.began.Add(gather)
}

// pace is how long after the last step began the next one does.
func (o *motion) pace() time.Duration {
	return max(motionPace, time.Duration(o.bytes/(motionRate/1000))*time.Millisecond)
}
