package supervisor

import (
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/unit"
)

// What a machine that slept, or whose clock was set, does to units. A timer fires
// late then, and now may be before what was; step must make neither a storm nor a
// stall of it.

// played drives one unit by events at times that no clock would show.
type played struct {
	unitState
	t      *testing.T
	starts int
	armed  time.Time // when the pending timer is due; zero: none
}

func (p *played) at(now time.Time, ev event) {
	p.t.Helper()
	u, actions := step(p.unitState, now, ev)
	p.unitState = u
	for _, a := range actions {
		switch a := a.(type) {
		case actStart:
			p.starts++
		case actArm:
			p.armed = a.at
		}
	}
}

// fire lets the pending timer fire, at a time that may be far from what it asked for.
func (p *played) fire(now time.Time) {
	p.t.Helper()
	if p.armed.IsZero() {
		p.t.Fatalf("%s at %v, and no timer", p.state, now)
	}
	p.armed = time.Time{}
	p.at(now, evTimer{p.timer})
	if p.state == Waiting && p.due {
		p.at(now, evRelease{})
	}
}

// run is a whole run of the child that ends after d.
func (p *played) run(now time.Time, d time.Duration, ok bool) time.Time {
	p.t.Helper()
	p.at(now, evStarted{p.unitState.run, 42})
	p.at(now.Add(d), evExited{p.unitState.run, "its end", ok, false})
	p.at(now.Add(d), evGone{p.unitState.run})
	return now.Add(d)
}

func playedUnit(t *testing.T, def unit.Unit, now time.Time) *played {
	def.Name, def.Argv = "unit", []string{"run"}
	p := &played{unitState: newUnit(def, now, 1), t: t}
	if p.due {
		p.at(now, evRelease{})
	}
	return p
}

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// A job that was due each minute of eight hours asleep runs once.
func TestFaultAJobOfAMachineThatSlept(t *testing.T) {
	p := playedUnit(t, unit.Unit{Kind: unit.Job, Schedule: unit.Schedule{Every: time.Minute}}, noon)
	now := p.run(noon, time.Second, true)
	now = now.Add(8 * time.Hour)
	p.fire(now)
	if now = p.run(now, time.Second, true); p.starts != 2 {
		t.Errorf("%d runs, want one before and one after", p.starts)
	}
	if wait := p.armed.Sub(now); wait != time.Minute || p.state != Waiting {
		t.Errorf("the next is in %v, %s", wait, p.state)
	}
}

// Eight hours asleep are not eight hours of failing, and not eight of being well
// for what had been started just before.
func TestFaultAFailingServiceOfAMachineThatSlept(t *testing.T) {
	p := playedUnit(t, unit.Unit{Kind: unit.Service}, noon)
	now := noon
	for range 3 {
		now = p.run(now, time.Millisecond, false)
		now = now.Add(8 * time.Hour)
		p.fire(now)
	}
	if p.starts != 4 || p.state != Starting {
		t.Errorf("%d starts, %s", p.starts, p.state)
	}
	if p.restarts != 3 || p.starts > p.restarts+1 {
		t.Errorf("%d restarts", p.restarts)
	}
}

func TestFaultAClockThatIsSet(t *testing.T) {
	for name, jump := range map[string]time.Duration{"an hour back": -time.Hour, "ten years back": -10 * 365 * 24 * time.Hour, "a day ahead": 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			limit := unit.StartLimit{Burst: 3, Window: time.Minute}
			p := playedUnit(t, unit.Unit{Kind: unit.Service, StartLimit: limit}, noon)
			now := p.run(noon, time.Millisecond, false)
			now = now.Add(jump)
			for range 10 { // it goes on as it would have: delays, then failed, then again
				if wait := p.armed.Sub(now.Add(-jump)); wait > time.Hour || wait < 0 {
					t.Fatalf("in %s for %v", p.state, wait)
				}
				jump = 0
				now = now.Add(time.Hour)
				p.fire(now)
				now = p.run(now, time.Millisecond, false)
			}
			if p.starts != 11 {
				t.Errorf("%d starts, want 11", p.starts)
			}
		})
	}
}

// A machine that fell asleep during a stop kills what does not end, once it wakes.
func TestFaultAStopOfAMachineThatSlept(t *testing.T) {
	p := playedUnit(t, unit.Unit{Kind: unit.Service}, noon)
	p.at(noon, evStarted{p.unitState.run, 42})
	p.at(noon, evHalt{wantDown})
	p.fire(noon.Add(8 * time.Hour))
	if p.state != Killing {
		t.Errorf("it is %s", p.state)
	}
}

// The real clock of a real timer: what is armed is a duration, so a clock that is
// set in between moves nothing (Go's timers are monotonic, and so is what time.Now
// tells step). The bubble's clock has no wall to set; what can be held is that
// step never strips the monotonic reading from what it arms.
func TestFaultDelaysAreMonotonic(t *testing.T) {
	now := time.Now()
	p := playedUnit(t, unit.Unit{Kind: unit.Service}, now)
	p.run(now, time.Millisecond, false)
	if p.armed == p.armed.Round(0) {
		t.Error("the delay is measured by the wall clock")
	}
}
