package supervisor

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/unit"
)

// plan is a machine in a world that bytes drive: children that start, fail, hang,
// leave others behind; timers, stale news, people and reloads in any order. It
// holds the invariants of the machine, each by what the world sees, not by what
// the machine believes.
type plan struct {
	m        *machine
	now      time.Time
	input    []byte
	broken   []string // invariants, first word its name
	timers   map[string]actArm
	kids     map[string]*kid
	pending  map[uint64]string // calls that wait for an answer
	ids      uint64
	canceled map[uint64]bool
	asked    map[string]bool // a person, a reload or a schedule moved the unit since its last end
	ended    map[string]time.Time
	states   map[string]State
	hurried  bool
	halted   bool
}

// kid is a child in the world.
type kid struct {
	run      uint64
	def      unit.Unit
	forked   bool
	leader   bool // runs
	alone    bool // the leader left nobody
	termed   time.Time
	told     bool // got a signal that it obeys
	stubborn bool // does not obey TERM
}

// planUnits is the set of units that reloads choose from.
func planUnits(variant byte) []unit.Unit {
	fast := unit.Backoff{Base: time.Second, Max: 8 * time.Second, Healthy: 20 * time.Second}
	all := []unit.Unit{
		{Name: "db", Argv: []string{"db"}, Backoff: fast, Stop: unit.Stop{Grace: 5 * time.Second}},
		{Name: "web", Argv: []string{"web"}, Backoff: fast, After: []string{"db", "restore"}, Stop: unit.Stop{Grace: 3 * time.Second}, StartLimit: unit.StartLimit{Burst: 2, Window: time.Minute}},
		{Name: "api", Argv: []string{"api"}, Backoff: fast, After: []string{"db"}, Ready: &unit.Probe{Exec: []string{"p"}, Timeout: 4 * time.Second}, Restart: unit.OnFailure},
		{Name: "scan", Kind: unit.Job, Argv: []string{"scan"}, Schedule: unit.Schedule{Every: 10 * time.Second}, Timeout: 7 * time.Second, Backoff: fast},
		{Name: "push", Kind: unit.Job, Argv: []string{"push"}, Restart: unit.OnFailure, Backoff: fast},
		{Name: "h", Kind: unit.Hook, Point: "p", Argv: []string{"h"}, Timeout: 5 * time.Second},
	}
	var chosen []unit.Unit
	for i, u := range all {
		switch v := variant >> (i % 4) & 3; {
		case variant == 0, v != 0:
			if v == 2 {
				u.Dir = "/changed"
			}
			if v == 3 && i%2 == 0 {
				u.Restart = unit.Always
			}
			chosen = append(chosen, u)
		}
	}
	return chosen
}

func newPlan(input []byte, mutant func(stepFunc) stepFunc) *plan {
	p := &plan{
		m: newMachine(1), now: time.Unix(0, 0), input: input,
		timers: map[string]actArm{}, kids: map[string]*kid{}, pending: map[uint64]string{}, canceled: map[uint64]bool{},
		asked: map[string]bool{}, ended: map[string]time.Time{}, states: map[string]State{},
	}
	if mutant != nil {
		p.m.step = mutant(step)
	}
	p.perform(p.m.set(planUnits(0), p.now))
	return p
}

type stepFunc = func(unitState, time.Time, event) (unitState, []action)

// next is the next byte of the input, 0 past its end.
func (p *plan) next() byte {
	if len(p.input) == 0 {
		return 0
	}
	b := p.input[0]
	p.input = p.input[1:]
	return b
}

// breaks records that an invariant does not hold.
func (p *plan) breaks(invariant, format string, args ...any) {
	if len(p.broken) < 5 {
		p.broken = append(p.broken, fmt.Sprintf("%s: at %v: ", invariant, p.now.Sub(time.Unix(0, 0)))+fmt.Sprintf(format, args...))
	}
}

// run plays the whole input, then the end of the supervisor.
func (p *plan) run() []string {
	for len(p.input) > 0 && len(p.broken) == 0 {
		p.play()
		p.check()
	}
	p.finish()
	return p.broken
}

// play is one thing that happens.
func (p *plan) play() {
	names := []string{"db", "web", "api", "scan", "push", "h"}
	name := names[int(p.next())%len(names)]
	k := p.kids[name]
	switch op := p.next() % 16; op {
	case 0, 1, 2:
		p.pass(time.Duration(1+p.next()) * 250 * time.Millisecond)
	case 3, 4:
		p.fork(name, k, p.next())
	case 5, 6:
		p.exit(name, k, p.next())
	case 7:
		p.vanish(name, k)
	case 8:
		p.probe(name, k, p.next())
	case 9, 10:
		p.command(name, p.next())
	case 11:
		for n := range p.m.units {
			p.asked[n] = true
		}
		p.perform(p.m.set(planUnits(p.next()), p.now))
	case 12:
		p.perform(p.m.reach("restore", p.now))
	case 13:
		p.ids++
		p.pending[p.ids] = "h"
		p.asked["h"] = true
		p.perform(p.m.runHook("h", p.ids, nil, p.now))
	case 14:
		p.stale(name, p.next())
	case 15:
		if p.next() < 8 {
			p.halt()
		}
	}
}

func (p *plan) halt() {
	p.halted = true
	p.perform(p.m.halt(p.now))
}

// pass lets time go by; timers fire in their order.
func (p *plan) pass(d time.Duration) {
	end := p.now.Add(d)
	for range 10000 {
		due := p.earliest()
		if due == "" || p.timers[due].at.After(end) {
			break
		}
		arm := p.timers[due]
		delete(p.timers, due)
		if arm.at.After(p.now) {
			p.now = arm.at
		}
		if u := p.m.units[due]; u != nil && u.state == Waiting { // a schedule, not a restart
			p.asked[due] = true
		}
		p.perform(p.m.tell(due, p.now, evTimer{arm.timer}))
	}
	p.now = end
}

func (p *plan) earliest() (name string) {
	for n, arm := range p.timers {
		if name == "" || arm.at.Before(p.timers[name].at) || arm.at.Equal(p.timers[name].at) && n < name {
			name = n
		}
	}
	return name
}

func (p *plan) fork(name string, k *kid, how byte) {
	switch {
	case k == nil || k.forked:
	case how%4 == 0:
		delete(p.kids, name)
		p.ended[name] = p.now
		p.perform(p.m.tell(name, p.now, evNoStart{k.run, "missing", how%8 == 0}))
	default:
		k.forked, k.leader, k.stubborn = true, true, how%4 == 1
		p.perform(p.m.tell(name, p.now, evStarted{k.run, 100 + int(k.run)}))
	}
}

// exit ends the leader; what it leaves ends by vanish.
func (p *plan) exit(name string, k *kid, how byte) {
	if k == nil || !k.leader {
		return
	}
	k.leader, k.alone = false, how%4 >= 2
	p.ended[name] = p.now
	p.perform(p.m.tell(name, p.now, evExited{k.run, "exit", how%2 == 0, !k.alone}))
}

// vanish ends all that is left of a child.
func (p *plan) vanish(name string, k *kid) {
	if k == nil || !k.forked || k.leader {
		return
	}
	delete(p.kids, name)
	p.perform(p.m.tell(name, p.now, evGone{k.run}))
}

func (p *plan) probe(name string, k *kid, how byte) {
	if k != nil && k.def.Ready != nil && k.leader {
		p.perform(p.m.tell(name, p.now, evProbed{k.run, strings.Repeat("no", int(how%2))}))
	}
}

func (p *plan) command(name string, how byte) {
	verbs := []string{"start", "stop", "restart", "pause", "resume", "kill", "cancel"}
	p.asked[name] = true
	switch verb := verbs[int(how)%len(verbs)]; verb {
	case "kill":
		if how > 200 {
			p.hurried = true
			p.perform(p.m.kill(p.now))
		}
	case "cancel":
		for id, n := range p.pending {
			if n == name {
				p.perform(p.m.cancel(name, id, p.now))
				delete(p.pending, id)
				p.canceled[id] = true
				break
			}
		}
	default:
		p.ids++
		p.pending[p.ids] = name
		p.perform(p.m.command(verb, name, p.ids, p.now))
	}
}

// stale is news of the past.
func (p *plan) stale(name string, how byte) {
	u := p.m.units[name]
	if u == nil || u.run == 0 || u.timer == 0 {
		return
	}
	events := []event{
		evTimer{u.timer - 1}, evGone{u.run - 1}, evExited{u.run - 1, "old", true, false}, evStarted{u.run - 1, 1},
		evNoStart{u.run - 1, "old", false}, evProbed{u.run - 1, ""},
	}
	p.perform(p.m.tell(name, p.now, events[int(how)%len(events)]))
}

// perform is the world's side of the machine's actions.
func (p *plan) perform(actions []action) {
	for _, a := range actions {
		switch a := a.(type) {
		case actStart:
			p.start(a)
		case actSignal:
			p.signal(a)
		case actArm:
			delete(p.timers, a.unit)
			if !a.at.IsZero() {
				p.timers[a.unit] = a
			}
		case actReply:
			if _, ok := p.pending[a.id]; !ok && !p.canceled[a.id] {
				p.breaks("answered-once", "call %d is answered and does not wait", a.id)
			}
			delete(p.pending, a.id)
		case actChange:
			if was, ok := p.states[a.unit]; ok && was != a.from {
				p.breaks("one-place", "%s goes from %s, but was %s", a.unit, a.from, was)
			}
			p.states[a.unit] = a.to
		case actForget:
			if p.kids[a.unit] != nil {
				p.breaks("one-child", "%s is forgotten with a child", a.unit)
			}
			delete(p.states, a.unit)
			delete(p.timers, a.unit)
			delete(p.ended, a.unit)
		}
	}
}

func (p *plan) start(a actStart) {
	if p.kids[a.unit] != nil {
		p.breaks("one-child", "%s starts while its child lives", a.unit)
	}
	if p.halted {
		p.breaks("stops", "%s starts after the end has begun", a.unit)
	}
	if end, ok := p.ended[a.unit]; ok && !p.asked[a.unit] && p.now.Sub(end) < 8*a.def.Backoff.Base/10 {
		p.breaks("back-off", "%s restarts %v after its end", a.unit, p.now.Sub(end))
	}
	for _, name := range a.def.After {
		if name == "restore" && !p.m.reached[name] {
			p.breaks("order", "%s starts before %s", a.unit, name)
		}
		if dep := p.m.units[name]; name == "db" && dep != nil && dep.want != wantRemoved && (p.kids["db"] == nil || !p.kids["db"].leader) {
			p.breaks("order", "%s starts before %s", a.unit, name)
		}
	}
	p.asked[a.unit] = false
	p.kids[a.unit] = &kid{run: a.run, def: a.def}
}

func (p *plan) signal(a actSignal) {
	k := p.kids[a.unit]
	if k == nil || k.run != a.run || !k.forked {
		return // nobody gets it
	}
	grace := p.m.units[a.unit].def.Stop.Grace
	switch {
	case a.sig != syscall.SIGKILL:
		if k.termed.IsZero() {
			k.termed = p.now
		}
	case !p.hurried && (k.termed.IsZero() || p.now.Sub(k.termed) < min(grace, k.def.Stop.Grace)):
		p.breaks("grace", "%s gets KILL after %v of its %v", a.unit, p.now.Sub(k.termed), grace)
	}
	if p.halted && k.leader && !k.told && !p.asked[a.unit] {
		for other, o := range p.kids {
			if o.leader && !o.told && slices.Contains(o.def.After, a.unit) {
				p.breaks("stop-order", "%s ends before %s", a.unit, other)
			}
		}
	}
	k.told = k.told || !k.stubborn || a.sig == syscall.SIGKILL
}

// check holds what must be true between any two events.
func (p *plan) check() {
	for name, u := range p.m.units {
		_, armed := p.timers[name]
		k := p.kids[name] // while it is being forked, its start will wake the unit
		mustEnd := u.state == Backoff || u.state == Failed || u.ending() && k != nil && k.forked
		if mustEnd && !armed {
			p.breaks("no-stall", "%s is %s and nothing will wake it", name, u.state)
		}
		if u.state == Running && u.def.Kind == unit.Hook && !armed {
			p.breaks("no-stall", "%s runs without its time-out", name)
		}
		if (u.state == Exited || u.state == Paused || u.state == Ready) && armed {
			p.breaks("no-idle-timer", "%s is %s and has a timer", name, u.state)
		}
	}
}

// finish ends the supervisor: children obey what they obey, and within the longest
// chain of graces nothing may be left.
func (p *plan) finish() {
	if len(p.broken) > 0 {
		return
	}
	p.halt()
	for range 200 {
		for _, name := range []string{"web", "api", "db", "scan", "push", "h"} {
			if k := p.kids[name]; k != nil {
				p.fork(name, k, 3)
				if k.told || k.alone {
					p.exit(name, k, 1)
					p.vanish(name, k)
				}
			}
		}
		if p.m.done() {
			break
		}
		p.pass(time.Second)
	}
	if !p.m.done() || len(p.kids) > 0 {
		p.breaks("stops", "after 200s: done %v, %d children", p.m.done(), len(p.kids))
	}
	if len(p.pending) > 0 {
		p.breaks("answered-once", "calls without an answer: %v", p.pending)
	}
	for name, u := range p.m.units {
		if u.state != Exited {
			p.breaks("stops", "%s is %s in the end", name, u.state)
		}
	}
}

func FuzzMachine(f *testing.F) {
	for seed := range 50 {
		f.Add(randomInput(uint64(seed)))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		if broken := newPlan(input, nil).run(); len(broken) > 0 {
			t.Error(strings.Join(broken, "\n"))
		}
	})
}

func randomInput(seed uint64) []byte {
	rnd := rand.New(rand.NewPCG(seed, 1))
	input := make([]byte, 60+rnd.IntN(600))
	for i := range input {
		input[i] = byte(rnd.Uint32())
	}
	return input
}

func TestMachineHoldsItsInvariants(t *testing.T) {
	for seed := range sample.Size(3000, 3000) {
		if broken := newPlan(randomInput(uint64(seed)), nil).run(); len(broken) > 0 {
			t.Fatalf("seed %d:\n%s", seed, strings.Join(broken, "\n"))
		}
	}
}

// A fuzz test is worth what its invariants say: each must catch its mutant.
func TestInvariantsCatchMutants(t *testing.T) {
	change := func(f func(*unitState, event, []action) []action) func(stepFunc) stepFunc {
		return func(next stepFunc) stepFunc {
			return func(u unitState, now time.Time, ev event) (unitState, []action) {
				u, actions := next(u, now, ev)
				return u, f(&u, ev, actions)
			}
		}
	}
	drop := func(which func(action) bool) func(stepFunc) stepFunc {
		return change(func(_ *unitState, _ event, actions []action) []action { return slices.DeleteFunc(actions, which) })
	}
	believe := func(f func(unitState, event) event) func(stepFunc) stepFunc {
		return func(next stepFunc) stepFunc {
			return func(u unitState, now time.Time, ev event) (unitState, []action) { return next(u, now, f(u, ev)) }
		}
	}
	tests := map[string]struct {
		invariant string
		mutant    func(stepFunc) stepFunc
	}{
		"forgets the group when the leader ends": {"one-child", change(func(u *unitState, ev event, a []action) []action {
			if _, ok := ev.(evExited); ok {
				u.alive = false
			}
			return a
		})},
		"believes the end of an old child": {"one-child", believe(func(u unitState, ev event) event {
			if _, ok := ev.(evGone); ok {
				return evGone{u.run}
			}
			return ev
		})},
		"believes an old timer": {"grace", believe(func(u unitState, ev event) event {
			if _, ok := ev.(evTimer); ok && u.ending() {
				return evTimer{u.timer}
			}
			return ev
		})},
		"believes an old timer in back-off": {"back-off", believe(func(u unitState, ev event) event {
			if _, ok := ev.(evTimer); ok && u.state == Backoff {
				return evTimer{u.timer}
			}
			return ev
		})},
		"restarts at once": {"back-off", change(func(u *unitState, _ event, a []action) []action {
			if u.state == Backoff {
				u.state, u.due = Waiting, true
			}
			return a
		})},
		"kills instead of asking": {"grace", change(func(_ *unitState, _ event, actions []action) []action {
			for i, a := range actions {
				if s, ok := a.(actSignal); ok {
					s.sig = syscall.SIGKILL
					actions[i] = s
				}
			}
			return actions
		})},
		"never kills": {"stops", drop(func(a action) bool {
			s, ok := a.(actSignal)
			return ok && s.sig == syscall.SIGKILL
		})},
		"forgets who comes after": {"stop-order", change(func(u *unitState, ev event, a []action) []action {
			if _, ok := ev.(evStarted); ok {
				u.def.After = nil
			}
			return a
		})},
		"is satisfied before it runs": {"order", change(func(u *unitState, ev event, a []action) []action {
			if _, ok := ev.(evRelease); ok && u.def.Kind == unit.Service && u.def.Ready == nil {
				u.state = Running
			}
			return a
		})},
		"loses a timer": {"no-stall", drop(func(a action) bool {
			arm, ok := a.(actArm)
			return ok && !arm.at.IsZero()
		})},
		"keeps a timer": {"no-idle-timer", drop(func(a action) bool {
			arm, ok := a.(actArm)
			return ok && arm.at.IsZero()
		})},
		"answers nobody": {"answered-once", drop(func(a action) bool { _, ok := a.(actReply); return ok })},
		"answers twice": {"answered-once", change(func(_ *unitState, _ event, actions []action) []action {
			for _, a := range actions {
				if r, ok := a.(actReply); ok {
					actions = append(actions, r)
				}
			}
			return actions
		})},
		"changes the state elsewhere": {"one-place", change(func(u *unitState, _ event, a []action) []action {
			if u.state == Ready {
				u.state = Running
			}
			return a
		})},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for seed := range 3000 {
				for _, b := range newPlan(randomInput(uint64(seed)), tt.mutant).run() {
					if strings.HasPrefix(b, tt.invariant+":") {
						return
					}
				}
			}
			t.Errorf("no input breaks %q", tt.invariant)
		})
	}
}
