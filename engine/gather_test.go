package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/replica/replicatest"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/watch"
)

// home is a machine whose only replica gathers changes, with a count of the walks of its tree.
type home struct {
	*box
	walks *int
}

func newHome(t *testing.T, gather time.Duration) home {
	h := home{newYard(t, 1).box("a"), new(int)}
	h.e.members[0].Gather, h.e.members[0].Interval = gather, time.Minute
	h.e.clock.files = replicatest.Shape{Before: func(op, path string) {
		if op == "walk" && path == "" {
			*h.walks++
		}
	}}.Open
	h.add(0)
	if err := h.do(false); err != nil {
		t.Fatal(err)
	}
	return h
}

// add has somebody append to the conversation.
func (h home) add(at int) {
	h.y.t.Helper()
	file := filepath.Join(h.dir, "talk.txt")
	must := func(err error) {
		if err != nil {
			h.y.t.Fatal(err)
		}
	}
	must(os.MkdirAll(h.dir, 0o755))
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	must(err)
	_, err = fmt.Fprintln(f, "a line", at)
	must(err)
	must(f.Close())
}

// tell is what the watch does when it has seen that.
func (h home) tell() {
	m := h.e.members[0]
	m.watch.hints.add(watch.Touched{"": false})
	h.e.stepMember(m, evTouched{})
}

// pass lets time pass second by second. The loop wakes up at each.
func (h home) pass(seconds int, each func(second int)) {
	for i := range seconds {
		h.y.advance(time.Second)
		each(i)
		h.e.round(h.y.t.Context())
	}
}

func (h home) generation() int64 { return h.e.lease.Head().Generation }

func (h home) status() status.Replica {
	_, replicas, _ := h.e.Status()
	return replicas[0]
}

// While a home gathered changes each word of the watch, one every three seconds, walked its
// tree, captured its databases and put the step off: four walks for a save.
func TestGatheringWalksOnce(t *testing.T) {
	for _, every := range []int{1, 2, 3, 5, 9} {
		t.Run(fmt.Sprintf("every %d s", every), func(t *testing.T) {
			h := newHome(t, 10*time.Second)
			const minutes = 10
			began := h.generation()
			*h.walks = 0
			h.pass(minutes*60, func(i int) {
				if i%every == 0 {
					h.add(i)
					h.tell()
				}
			})
			saves := int(h.generation() - began)
			t.Logf("%d walks for %d saves", *h.walks, saves)
			if saves < minutes*4 || saves > minutes*6+1 {
				t.Errorf("%d saves in %d minutes, want some six in each", saves, minutes)
			}
			if *h.walks > saves+minutes { // one of the whole tree in each minute may find nothing
				t.Errorf("%d walks for %d saves", *h.walks, saves)
			}
		})
	}
}

// A change that comes first does not wait, and what comes behind it waits no longer than a
// gathering lasts.
func TestGatheringEnds(t *testing.T) {
	h := newHome(t, 10*time.Second)
	h.pass(30, func(int) {}) // the step of the beginning is long ago
	first := h.generation()
	h.pass(1, func(i int) { h.add(i); h.tell() })
	if h.generation() != first+1 {
		t.Fatal("the first change waits")
	}
	h.pass(1, func(i int) { h.add(i); h.tell() })
	if got := h.status(); got.State != status.ReplicaSyncing || got.Pending != 1 || len(got.OnlyHere) != 1 {
		t.Errorf("with a change that waits the status says %s, %d", got.State, got.Pending)
	}
	h.pass(7, func(int) {})
	if h.generation() != first+1 {
		t.Error("the second change did not wait")
	}
	h.pass(3, func(int) {})
	if h.generation() != first+2 {
		t.Error("the second change waits longer than changes are gathered")
	}
	if got := h.status(); got.State != status.ReplicaSynced || got.Pending != 0 {
		t.Errorf("the status says %s, %d at the end", got.State, got.Pending)
	}
}

// Who asks does not wait, whatever the watch tells meanwhile.
func TestAskedWhileGathering(t *testing.T) {
	for name, ask := range map[string]event{"a sync": evSoon{}, "a checkpoint": evNow{}} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t, 10*time.Second)
			h.pass(30, func(int) {})
			h.pass(1, func(i int) { h.add(i); h.tell() })
			before := h.generation()
			h.pass(1, func(i int) {
				h.add(i)
				h.tell()
				h.e.stepMember(h.e.members[0], ask)
				h.tell()
			})
			if h.generation() != before+1 {
				t.Error("it waits")
			}
		})
	}
}

// A replica that gathers nothing saves what the watch tells of at once.
func TestNothingGathered(t *testing.T) {
	h := newHome(t, 0)
	h.pass(30, func(int) {})
	before := h.generation()
	h.pass(1, func(i int) { h.add(i); h.tell() })
	h.pass(1, func(i int) { h.add(i); h.tell() })
	if h.generation() != before+2 {
		t.Errorf("%d saves of two", h.generation()-before)
	}
}

// What is touched and is as it was is told of no longer than a gathering lasts.
func TestGatheredNothing(t *testing.T) {
	h := newHome(t, 10*time.Second)
	h.pass(30, func(int) {})
	h.pass(1, func(i int) { h.add(i); h.tell() })
	h.pass(1, func(int) { h.tell() })
	if got := h.status(); got.Pending != 1 {
		t.Errorf("what was told of is not in the account: %d", got.Pending)
	}
	h.pass(10, func(int) {})
	if got := h.status(); got.State != status.ReplicaSynced || got.Pending != 0 {
		t.Errorf("the status says %s, %d: %+v", got.State, got.Pending, got.OnlyHere)
	}
}

// A word of the watch while changes are gathered woke the engine for a round of nothing.
func TestGatheringSleeps(t *testing.T) {
	h := newHome(t, 10*time.Second)
	h.pass(30, func(int) {})
	h.pass(1, func(i int) { h.add(i); h.tell() })
	m := h.e.members[0]
	due, rest := time.NewTimer(time.Hour), make(chan time.Time, 1)
	defer due.Stop()
	h.y.advance(time.Second)
	h.e.nudge(m)
	rested := make(chan bool, 1)
	go func() { rested <- h.e.asleep(t.Context(), due, rest) }()
	for m.watch.nudged.Load() { // until it was told
		runtime.Gosched()
	}
	rest <- time.Now()
	if !<-rested {
		t.Error("it was woken")
	}
	h.y.advance(10 * time.Second)
	h.e.nudge(m)
	if h.e.asleep(t.Context(), due, rest) {
		t.Error("it sleeps though the gathering is over")
	}
}
