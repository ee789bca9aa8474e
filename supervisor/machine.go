package supervisor

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/unit"
)

// machine is all units together: what step does not see, because it lies between
// units: dependencies, the order of a stop, reloads, calls that wait. Like step
// it does no I/O and reads no clock.
type machine struct {
	units   map[string]*unitState
	order   []string // as defined; the order of status
	reached map[string]bool
	waiters []waiter
	halting bool // the supervisor ends
	seed    uint64
	past    map[string]past // what an earlier supervisor knew; each is used once

	// step is step; tests put mutants here, to see their invariants catch them.
	step func(unitState, time.Time, event) (unitState, []action)

	actions []action // of the present turn
}

// waiter is a call of Do that wants to know how it went.
type waiter struct {
	id         uint64
	unit, verb string
}

func newMachine(seed uint64) *machine {
	return &machine{units: map[string]*unitState{}, reached: map[string]bool{}, seed: seed, step: step}
}

// tell gives one unit an event, then lets the others react.
func (m *machine) tell(name string, now time.Time, ev event) []action {
	if m.units[name] != nil { // a removed unit's last words reach nobody
		m.turn(name, now, ev)
	}
	return m.finish(now)
}

// turn is one step of one unit.
func (m *machine) turn(name string, now time.Time, ev event) {
	u, actions := m.step(*m.units[name], now, ev)
	*m.units[name] = u
	m.actions = append(m.actions, actions...)
}

// finish does what follows from the states as they are, and hands over all
// actions of the turn.
func (m *machine) finish(now time.Time) []action {
	for changed := true; changed; {
		changed = false
		for _, name := range slices.Clone(m.order) {
			changed = m.advance(name, now) || changed
		}
	}
	m.answer()
	actions := m.actions
	m.actions = nil
	return actions
}

// advance moves one unit whose reason to wait is gone. It reports whether it did.
func (m *machine) advance(name string, now time.Time) bool {
	u := m.units[name]
	switch {
	case m.halting && u.want != wantDown && u.want != wantRemoved && !m.needed(name):
		m.turn(name, now, evHalt{wantDown})
	case u.want == wantRemoved && u.up() && !m.needed(name):
		m.turn(name, now, evHalt{wantRemoved})
	case u.want == wantRemoved && !u.up() && !u.ending() && !u.alive:
		m.remove(name)
	case !m.halting && u.state == Waiting && u.due && !u.alive && u.want == wantUp && m.waitsFor(u) == "":
		m.turn(name, now, evRelease{})
	default:
		return false
	}
	return true
}

// needed reports whether a unit that comes after name, and is to end too, still has a
// child: units stop in the reverse order of their start.
func (m *machine) needed(name string) bool {
	for _, other := range m.units {
		if other.alive && (m.halting || other.want == wantRemoved) && slices.Contains(other.def.After, name) {
			return true
		}
	}
	return false
}

// waitsFor names the first dependency that is not met, or nothing.
func (m *machine) waitsFor(u *unitState) string {
	for _, name := range u.def.After {
		if dep := m.units[name]; dep != nil && dep.want != wantRemoved {
			if !dep.satisfied() {
				return name
			}
		} else if !m.reached[name] {
			return name
		}
	}
	return ""
}

func (m *machine) remove(name string) {
	delete(m.units, name)
	m.order = slices.DeleteFunc(m.order, func(n string) bool { return n == name })
	m.actions = append(m.actions, actForget{name})
}

// set makes units the ones to supervise. Unchanged ones are left alone.
func (m *machine) set(units []unit.Unit, now time.Time) []action {
	if m.halting {
		return nil
	}
	wanted := map[string]bool{}
	order := make([]string, 0, len(units))
	for _, def := range units {
		wanted[def.Name] = true
		order = append(order, def.Name)
		m.define(def, now)
	}
	for _, name := range m.order {
		if !wanted[name] {
			order = append(order, name)
			m.drop(name, now)
		}
	}
	m.order = order
	return m.finish(now)
}

func (m *machine) define(def unit.Unit, now time.Time) {
	u := m.units[def.Name]
	if u == nil {
		m.seed++
		made := newUnit(def, now, m.seed)
		m.units[def.Name] = &made
		if p, ok := m.past[def.Name]; ok {
			delete(m.past, def.Name)
			m.turn(def.Name, now, evRecall{p})
		}
		return
	}
	latest := u.def
	if u.next != nil {
		latest = *u.next
	}
	if u.want == wantRemoved || !unit.Equal(latest, def) {
		m.turn(def.Name, now, evDefine{def})
	}
}

// drop removes a unit: at once if it has no child, else finish stops it in order.
func (m *machine) drop(name string, now time.Time) {
	u := m.units[name]
	if u.up() {
		u.want = wantRemoved
		return
	}
	m.turn(name, now, evHalt{wantRemoved})
}

func (m *machine) reach(milestone string, now time.Time) []action {
	m.reached[milestone] = true
	return m.finish(now)
}

// halt begins the end of everything.
func (m *machine) halt(now time.Time) []action {
	m.halting = true
	return m.finish(now)
}

// kill ends all graces.
func (m *machine) kill(now time.Time) []action {
	for _, name := range m.order {
		m.turn(name, now, evKill{})
	}
	return m.finish(now)
}

// done reports whether everything has ended after halt.
func (m *machine) done() bool {
	if !m.halting {
		return false
	}
	for _, u := range m.units {
		if u.alive {
			return false
		}
	}
	return true
}

// errStopping refuses what comes too late.
var errStopping error = stopping{}

// stopping is ErrStopped before everything has ended.
type stopping struct{}

func (stopping) Error() string { return "the supervisor is stopping" }

// Is reports whether target is ErrStopped.
func (stopping) Is(target error) bool { return target == ErrStopped }

// verbs of Do by the kinds that understand them.
var verbs = map[string][]unit.Kind{
	"start":   {unit.Service, unit.Job},
	"restart": {unit.Service, unit.Job},
	"resume":  {unit.Service, unit.Job},
	"pause":   {unit.Service, unit.Job},
	"stop":    {unit.Service, unit.Job, unit.Hook},
}

// command is a verb of a person. The answer to id comes when it has happened.
func (m *machine) command(verb, name string, id uint64, now time.Time) []action {
	if err := m.refusal(verb, name); err != nil {
		m.actions = append(m.actions, actReply{id, fmt.Errorf("cannot %s unit %q: %w", verb, name, err)})
		return m.finish(now)
	}
	var ev event = evBegin{verb}
	switch verb {
	case "stop":
		ev = evHalt{wantDown}
	case "pause":
		ev = evHalt{wantPaused}
	}
	m.turn(name, now, ev)
	m.waiters = append(m.waiters, waiter{id, name, verb})
	return m.finish(now)
}

func (m *machine) refusal(verb, name string) error {
	u := m.units[name]
	kinds, known := verbs[verb]
	switch {
	case m.halting:
		return errStopping
	case u == nil || u.want == wantRemoved:
		return hint.Wrap(&UnknownUnitError{name}, "units: %s", strings.Join(m.order, ", "))
	case !known:
		return errors.New("there is no such verb")
	case !slices.Contains(kinds, u.def.Kind):
		return fmt.Errorf("a %s runs at its point only", u.def.Kind)
	case verb == "resume" && u.want != wantPaused:
		return errors.New("it is not paused")
	}
	return nil
}

// answer replies to the calls whose verb has come to an end.
func (m *machine) answer() {
	m.waiters = slices.DeleteFunc(m.waiters, func(w waiter) bool {
		done, err := m.outcome(w)
		if err != nil {
			err = fmt.Errorf("cannot %s unit %q: %w", w.verb, w.unit, err)
		}
		if done {
			m.actions = append(m.actions, actReply{w.id, err})
		}
		return done
	})
}

// outcome reports whether the verb has come to an end, and to which.
func (m *machine) outcome(w waiter) (bool, error) {
	u := m.units[w.unit]
	down := w.verb == "stop" || w.verb == "pause"
	switch {
	case u == nil && down:
		return true, nil
	case u == nil:
		return true, errors.New("it was removed meanwhile")
	case down && u.want == wantUp: // by somebody else: it may never be down
		return true, errors.New("it was started meanwhile")
	case down:
		return !u.up() && !u.ending() && !u.alive, nil
	case u.again || u.ending() || u.state == Starting:
		return false, nil
	case u.lastErr != "" && slices.Contains([]State{Blocked, Failed, Backoff, Exited}, u.state):
		return true, errors.New(u.lastErr)
	case u.want != wantUp:
		return true, errors.New("it was stopped meanwhile")
	}
	// Running, ready and done are what was asked for. Waiting is an answer too: a
	// milestone may be hours away.
	return u.state != Waiting || !u.due || m.waitsFor(u) != "", nil
}

// cancel is for a call whose caller has gone: a hook that runs for nobody is
// stopped, a verb takes its course.
func (m *machine) cancel(name string, id uint64, now time.Time) []action {
	m.waiters = slices.DeleteFunc(m.waiters, func(w waiter) bool { return w.id == id })
	if u := m.units[name]; u != nil && u.hook == id {
		m.turn(name, now, evHalt{wantDown})
	}
	return m.finish(now)
}

// runHook runs one hook for the call id.
func (m *machine) runHook(name string, id uint64, env []string, now time.Time) []action {
	switch {
	case m.halting:
		m.actions = append(m.actions, actReply{id, fmt.Errorf("cannot run hook %q: %w", name, errStopping)})
		return m.finish(now)
	case m.units[name] == nil: // removed by a reload after it was listed: nothing to run
		m.actions = append(m.actions, actReply{id, nil})
		return m.finish(now)
	}
	return m.tell(name, now, evHook{id, env})
}

// hooksAt lists the hooks of a point in the order of their definition.
func (m *machine) hooksAt(point hooks.Point) (units []unit.Unit) {
	for _, name := range m.order {
		if u := m.units[name]; u.def.Kind == unit.Hook && u.def.Point == string(point) && u.want != wantRemoved {
			units = append(units, u.def)
		}
	}
	return units
}

// UnknownUnitError is for a name that no unit has.
type UnknownUnitError struct {
	Name string
}

func (e *UnknownUnitError) Error() string { return "there is no such unit" }
