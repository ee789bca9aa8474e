package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/backoff"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// at is an instant whose chance is half.
func at(now time.Time) instant {
	return instant{now: now, chance: func() float64 { return 0.5 }, policy: backoff.Policy{Base: time.Second, Max: time.Minute, Factor: 2, Jitter: 0.2}}
}

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// each row is one kind of event on a course that it matters for.
func TestCourse(t *testing.T) {
	broken := errors.New("broken")
	later := noon.Add(time.Minute)
	for name, tt := range map[string]struct {
		from course
		ev   event
		want course
		did  []action
	}{
		"touched while it is pushed":     {from: course{phase: ready, next: later, whole: later}, ev: evTouched{}, want: course{phase: ready, whole: later, watched: true}},
		"touched while it is placed":     {from: course{phase: received, next: later}, ev: evTouched{}, want: course{phase: received, next: later}},
		"touched after a failure":        {from: course{phase: ready, err: broken, next: later}, ev: evTouched{}, want: course{phase: ready, err: broken, next: later}},
		"touched while it gathers":       {from: course{phase: ready, next: later, whole: later, gathers: noon.Add(time.Second)}, ev: evTouched{}, want: course{phase: ready, next: noon.Add(time.Second), whole: later, watched: true, gathers: noon.Add(time.Second)}, did: []action{actGather}},
		"touched when it has gathered":   {from: course{phase: ready, next: later, whole: later, gathers: noon}, ev: evTouched{}, want: course{phase: ready, whole: later, watched: true, gathers: noon}},
		"touched, asked for, gathers":    {from: course{phase: ready, whole: later, gathers: later}, ev: evTouched{}, want: course{phase: ready, whole: later, gathers: later}},
		"touched while it is paused":     {from: course{phase: ready, paused: true, next: later, gathers: later}, ev: evTouched{}, want: course{phase: ready, paused: true, watched: true, gathers: later}},
		"soon":                           {from: course{phase: ready, next: later, whole: later, watched: true}, ev: evSoon{}, want: course{phase: ready}},
		"it is ours":                     {ev: evPhase{phase: claimed}, want: course{phase: claimed}},
		"it may be pushed":               {from: course{phase: received}, ev: evPhase{ready, 7}, want: course{phase: ready, epoch: 7}, did: []action{actOpenWatch}},
		"compare again":                  {from: course{phase: ready, epoch: 7, next: later}, ev: evDemoted{}, want: course{epoch: 7, next: later}},
		"went":                           {from: course{err: broken, failures: 3, watched: true, again: true}, ev: evWent{interval: time.Minute}, want: course{synced: noon, next: noon.Add(63 * time.Second), whole: noon.Add(63 * time.Second)}, did: []action{actPublish}},
		"went over what was touched":     {from: course{whole: later}, ev: evWent{walk{hinted: true}, time.Minute}, want: course{synced: noon, next: later, whole: later}, did: []action{actPublish}},
		"went, and left something":       {from: course{whole: later}, ev: evWent{walk{hinted: true, leftOver: true}, time.Minute}, want: course{synced: noon, next: later}, did: []action{actPublish}},
		"went, and was put off":          {from: course{synced: noon.Add(-time.Hour)}, ev: evWent{walk{putOff: noon.Add(time.Second)}, time.Minute}, want: course{synced: noon.Add(-time.Hour), next: noon.Add(time.Second), whole: noon.Add(63 * time.Second)}, did: []action{actPublish}},
		"went, and left out a line":      {from: course{whole: later}, ev: evWent{walk{hinted: true, again: noon.Add(time.Second)}, time.Minute}, want: course{synced: noon, next: noon.Add(time.Second), whole: later}, did: []action{actPublish}},
		"went, gathers, left out a line": {from: course{whole: later}, ev: evWent{walk{hinted: true, again: noon.Add(time.Second), gathers: noon.Add(2 * time.Second)}, time.Minute}, want: course{synced: noon, next: noon.Add(2 * time.Second), whole: later, gathers: noon.Add(2 * time.Second)}, did: []action{actPublish}},
		"put off beyond the next walk":   {from: course{}, ev: evWent{walk{putOff: noon.Add(time.Hour)}, time.Minute}, want: course{next: noon.Add(63 * time.Second), whole: noon.Add(63 * time.Second)}, did: []action{actPublish}},
		"failed for the first time":      {from: course{phase: ready, whole: later, again: true}, ev: evFailed{broken, broken}, want: course{phase: ready, err: broken, failures: 1, next: noon.Add(at(noon).delay(1))}, did: []action{actFail, actPublish}},
		"failed again":                   {from: course{err: broken, failures: 1}, ev: evFailed{broken, broken}, want: course{err: broken, failures: 2, next: noon.Add(at(noon).delay(2))}, did: []action{actPublish}},
		"paused":                         {from: course{next: later}, ev: evPaused{true}, want: course{paused: true, next: later}, did: []action{actPublish}},
		"resumed":                        {from: course{paused: true, next: later}, ev: evPaused{false}, want: course{}, did: []action{actPublish}},
		"tried again":                    {from: course{err: broken, failures: 3, next: later}, ev: evRetried{}, want: course{}},
		"nothing to try again":           {from: course{next: later}, ev: evRetried{}, want: course{next: later}},
		"placed again":                   {from: course{next: later}, ev: evRetried{unplaced: true}, want: course{again: true}},
		"asked for":                      {from: course{failures: 3, survey: later}, ev: evAsked{true}, want: course{allowed: true}},
		"answered":                       {from: course{allowed: true}, ev: evAnswered{}, want: course{}},
		"now":                            {from: course{phase: ready, next: later, whole: later, watched: true}, ev: evNow{}, want: course{phase: ready, whole: later}},
		"surveyed":                       {ev: evSurveyed{time.Minute}, want: course{survey: later}},
		"to be surveyed":                 {from: course{survey: later}, ev: evUnsurveyed{}, want: course{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, did := tt.from.step(tt.ev, at(noon))
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(course{}), cmpopts.EquateErrors()); diff != "" {
				t.Error(diff)
			}
			if !slices.Equal(did, tt.did) {
				t.Errorf("it asks for %v, want %v", did, tt.did)
			}
		})
	}
}

// TestCourseKeeps: what holds after any history of events.
func TestCourseKeeps(t *testing.T) {
	const interval = time.Minute
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		c, now, walked := course{}, noon, noon
		var history []string
		for range 60 {
			now = now.Add(time.Duration(rnd.IntN(20)) * time.Second)
			before, ev := c, anyEvent(rnd, now)
			history = append(history, fmt.Sprintf("%s %T%+v", now.Format("04:05"), ev, ev))
			var did []action
			c, did = c.step(ev, instant{now, rnd.Float64, at(now).policy})
			if wrong := kept(before, c, ev, did, now); wrong != "" {
				t.Fatalf("seed %d: %s after %q", seed, wrong, history)
			}
			if went, ok := ev.(evWent); ok && !went.walk.hinted {
				walked = now
			}
			if c.err == nil && c.whole.Sub(walked) > interval+interval/10 {
				t.Fatalf("seed %d: the whole tree is walked after %v only: %q", seed, c.whole.Sub(walked), history)
			}
		}
	}
}

// kept says what a step broke; "" for nothing.
func kept(before, c course, ev event, did []action, now time.Time) string {
	_, phase := ev.(evPhase)
	_, failed := ev.(evFailed)
	_, asked := ev.(evAsked)
	_, retried := ev.(evRetried)
	_, went := ev.(evWent)
	_, touched := ev.(evTouched)
	switch {
	case c.phase > before.phase && !phase:
		return "it came further without having been there"
	case c.phase == ready && before.phase != ready && !slices.Contains(did, actOpenWatch):
		return "it is ready, and its watch does not begin"
	case failed && !c.next.After(now):
		return "what failed is tried again at once"
	case failed != slices.Contains(did, actFail) && before.err == nil:
		return "the first failure is not told, or something else is told as one"
	case !failed && c.err != nil && before.err == nil:
		return "it fails for no reason"
	case c.err == nil && before.err != nil && !went && !retried:
		return "it is mended by itself"
	case c.allowed && !before.allowed && !asked:
		return "deletions are allowed that nobody allowed"
	case went && c.next.After(c.whole) && !c.whole.IsZero():
		return "the walk of the whole tree is overdue before the next cycle"
	case touched && before.next.IsZero() && !c.next.IsZero():
		return "what was asked for is put off, for a change"
	case touched && c.phase == ready && c.err == nil && !c.paused && c.next.After(now) && c.next.After(c.gathers):
		return "a change waits for longer than it is gathered"
	case c.paused && c.due(now.Add(24*time.Hour)):
		return "it is due while it is paused"
	}
	return ""
}

func anyEvent(rnd *rand.Rand, now time.Time) event {
	walked := walk{hinted: rnd.IntN(2) == 0, leftOver: rnd.IntN(3) == 0}
	if rnd.IntN(4) == 0 {
		walked.putOff = now.Add(time.Duration(rnd.IntN(90)) * time.Second)
	}
	if rnd.IntN(3) == 0 {
		walked.gathers = now.Add(time.Duration(rnd.IntN(15)) * time.Second)
	}
	broken := errors.New("broken")
	events := []event{
		evSoon{}, evTouched{}, evTouched{}, evPhase{phase(rnd.IntN(4)), 1}, evDemoted{}, evWent{walked, time.Minute}, evWent{walked, time.Minute},
		evFailed{broken, broken}, evPaused{rnd.IntN(2) == 0}, evRetried{rnd.IntN(2) == 0}, evAsked{rnd.IntN(2) == 0}, evAnswered{}, evSurveyed{time.Minute}, evUnsurveyed{},
	}
	return events[rnd.IntN(len(events))]
}
