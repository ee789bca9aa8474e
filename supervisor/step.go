package supervisor

import (
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/coltec/coltec/pkg/backoff"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/unit"
)

// State of a unit.
type State string

// The states of a unit; docs/states.md has the transitions.
const (
	Waiting  State = "waiting"  // for a dependency, or a job for its time
	Starting State = "starting" // a child was asked for
	Running  State = "running"  // the child runs; with a ready probe: and is not ready yet
	Ready    State = "ready"    // the ready probe has passed
	Stopping State = "stopping" // asked to end, within its grace
	Killing  State = "killing"  // KILL was sent
	Backoff  State = "backoff"  // restarts after a delay
	Exited   State = "exited"   // done, or stopped by a person
	Failed   State = "failed"   // start limit reached; tries again after a long cool-off
	Blocked  State = "blocked"  // needs something from a person, named in the last error
	Paused   State = "paused"   // by a person, until resume
)

// Times of the machine that no spec sets.
const (
	coolOffBase = 5 * time.Minute // long enough to cost nothing, short enough that an outage ends by itself
	coolOffMax  = time.Hour
	jitter      = 0.2 // of a delay; what died together should not come back together

	// killAgain: KILL cannot be refused, but a child in an uninterruptible read
	// takes its time, and a fork bomb needs several rounds.
	killAgain = 5 * time.Second
	// attemptMin is what one run of a ready probe gets even when probes are asked
	// more often: a busy machine needs a second to start a curl.
	attemptMin = 5 * time.Second
)

// want is what the unit is meant to become.
type want string

const (
	wantUp      want = "up"
	wantDown    want = "down"    // stopped by a person, or the end of the supervisor
	wantPaused  want = "paused"  // by a person
	wantRemoved want = "removed" // by a reload
)

// unitState is all that the machine knows of one unit. It is a value: step
// returns a changed copy, and only step (and the machine, when it makes one)
// writes it.
type unitState struct {
	def   unit.Unit  // with its defaults filled in
	next  *unit.Unit // the definition to take when the present child is gone
	state State
	since time.Time // of state
	want  want

	run    uint64 // generation of the child: what others report is stale
	timer  uint64 // generation of the timer: the others are stale
	armed  bool   // a timer of that generation runs
	alive  bool   // a child was asked for and is not known to be gone
	pid    int    // of the leader; 0 when there is none
	due    bool   // in waiting: start as soon as the dependencies allow
	again  bool   // start once more when the present child is gone (restart; a job triggered while it runs)
	forked bool   // the child of this run is there
	ended  bool   // the leader of this run has exited

	startedAt time.Time
	deadline  time.Time // of the ready probe
	attempt   int       // restarts since it was last healthy
	starts    backoff.Window
	coolOffs  int // cool-offs since it was last healthy
	chance    backoff.Chance

	restarts  int
	exit      string // how the last child ended; empty: it never did
	exitOK    bool
	succeeded bool   // a job: at least once
	fault     string // why the present run ends, where its exit says less ("not ready within 30s")
	lastErr   string
	nextRun   time.Time
	nextRetry time.Time

	hook    uint64   // id of the RunHooks call that waits for this run; 0: none
	hookEnv []string // added to the environment of that run
}

// event is what step and the machine react to: a closed set.
type event interface{ isEvent() }

type (
	evRelease struct{}                // the dependencies are met
	evHalt    struct{ want want }     // stop; then stay as wanted
	evKill    struct{}                // no more grace
	evBegin   struct{ verb string }   // start, resume or restart by a person
	evDefine  struct{ def unit.Unit } // a reload changed the unit
	evHook    struct {
		id  uint64
		env []string
	} // run the hook now
	evTimer   struct{ timer uint64 } // the timer of that generation fired
	evStarted struct {
		run uint64
		pid int
	} // the child runs
	evNoStart struct {
		run   uint64
		err   string
		needs bool
	} // it could not be started; needs: a person must act
	evProbed struct {
		run uint64
		err string
	} // the ready probe ended; empty: it passed
	evExited struct {
		run      uint64
		exit     string
		ok, left bool
	} // the leader ended; left: others of its group run on
	evGone   struct{ run uint64 } // nothing of the child is left
	evRecall struct{ past past }  // what an earlier supervisor knew of the unit
)

func (evRelease) isEvent() {}
func (evHalt) isEvent()    {}
func (evBegin) isEvent()   {}
func (evKill) isEvent()    {}
func (evDefine) isEvent()  {}
func (evHook) isEvent()    {}
func (evTimer) isEvent()   {}
func (evStarted) isEvent() {}
func (evNoStart) isEvent() {}
func (evProbed) isEvent()  {}
func (evExited) isEvent()  {}
func (evGone) isEvent()    {}
func (evRecall) isEvent()  {}

// action is what step asks the loop to do: a closed set.
type action interface{ isAction() }

type (
	actStart struct {
		unit string
		run  uint64
		def  unit.Unit
	} // start a child
	actSignal struct {
		unit string
		run  uint64
		sig  syscall.Signal
	} // to the whole group
	actArm struct {
		unit  string
		timer uint64
		at    time.Time
	} // replaces the unit's timer; zero: only removes it
	actProbe struct {
		unit    string
		run     uint64
		def     unit.Unit
		timeout time.Duration
	} // run the ready probe once
	actReply struct {
		id  uint64
		err error
	} // answers a call that waits
	actChange struct {
		unit     string
		from, to State
		why      string
	} // notify listeners
	actForget struct{ unit string } // the unit was removed
)

func (actStart) isAction()  {}
func (actSignal) isAction() {}
func (actArm) isAction()    {}
func (actProbe) isAction()  {}
func (actReply) isAction()  {}
func (actChange) isAction() {}
func (actForget) isAction() {}

// newUnit is a unit before its first event.
func newUnit(def unit.Unit, now time.Time, seed uint64) unitState {
	u := unitState{def: def.WithDefaults(), state: Waiting, since: now, want: wantUp, chance: backoff.Chance(seed)}
	u, _ = step(u, now, evDefine{u.def})
	return u
}

// step is the machine of one unit: pure, whatever the event and the state.
func step(u unitState, now time.Time, ev event) (unitState, []action) {
	t := turn{unitState: u, now: now}
	switch ev := ev.(type) {
	case evRelease:
		t.release()
	case evHalt:
		t.halt(ev.want)
	case evBegin:
		t.begin(ev.verb)
	case evKill:
		t.hurry()
	case evDefine:
		t.define(ev.def)
	case evHook:
		t.runHook(ev)
	case evTimer:
		t.timeUp(ev.timer)
	case evStarted:
		t.started(ev)
	case evNoStart:
		t.noStart(ev)
	case evProbed:
		t.probed(ev)
	case evExited:
		t.exited(ev)
	case evGone:
		t.gone(ev.run)
	case evRecall:
		t.recall(ev.past)
	}
	return t.unitState, t.actions
}

// turn is one step in the making: the copy that changes and what is to be done.
type turn struct {
	unitState
	now     time.Time
	actions []action
}

func (t *turn) do(a action) { t.actions = append(t.actions, a) }

// enter is the one place where a state changes. The timer of the state that is
// left goes with it, and what it announced.
func (t *turn) enter(s State) {
	if t.armed {
		t.disarm()
	}
	t.nextRun, t.nextRetry = time.Time{}, time.Time{}
	if t.state == s {
		return
	}
	t.do(actChange{t.def.Name, t.state, s, t.lastErr})
	t.state, t.since = s, t.now
}

func (t *turn) arm(at time.Time) {
	t.timer++
	t.armed = true
	t.do(actArm{t.def.Name, t.timer, at})
}

func (t *turn) disarm() {
	t.timer++
	t.armed = false
	t.do(actArm{t.def.Name, t.timer, time.Time{}})
}

// up reports whether a child runs, or soon will, that nobody has asked to end.
func (u unitState) up() bool { return u.state == Starting || u.state == Running || u.state == Ready }

// ending reports whether a child was asked to end.
func (u unitState) ending() bool { return u.state == Stopping || u.state == Killing }

// satisfied reports whether the units after u may start.
func (u unitState) satisfied() bool {
	if u.def.Kind != unit.Service {
		return u.succeeded
	}
	done := u.state == Exited && u.want == wantUp && u.exitOK // by itself, for restart on-failure and never
	return done || u.state == Ready || u.state == Running && u.def.Ready == nil
}

// release starts the child: the dependencies are met.
func (t *turn) release() {
	if t.state != Waiting || !t.due || t.alive || t.want != wantUp {
		return
	}
	t.launch()
}

func (t *turn) launch() {
	t.due, t.again, t.forked, t.ended, t.fault = false, false, false, false, ""
	t.alive = true
	t.run++
	t.startedAt = t.now
	t.enter(Starting)
	def := t.def
	def.Env = append(slices.Clip(slices.Clone(def.Env)), t.hookEnv...)
	t.do(actStart{t.def.Name, t.run, def})
}

func (t *turn) started(ev evStarted) {
	if ev.run != t.run || t.forked || !t.alive {
		return
	}
	t.pid, t.forked = ev.pid, true
	t.startedAt = t.now
	switch {
	case t.ending(): // asked to while it started
		t.signal()
	case t.state == Starting:
		t.lastErr = ""
		t.enter(Running)
		t.watch()
	}
}

// watch arms what limits a running child.
func (t *turn) watch() {
	switch {
	case t.def.Ready != nil:
		t.deadline = t.now.Add(t.def.Ready.Timeout)
		t.probe()
	case t.def.Timeout > 0:
		t.arm(t.now.Add(t.def.Timeout))
	}
}

func (t *turn) probe() {
	p := t.def.Ready
	t.do(actProbe{t.def.Name, t.run, t.def, min(max(p.Interval, attemptMin), t.deadline.Sub(t.now))})
}

func (t *turn) probed(ev evProbed) {
	if ev.run != t.run || t.state != Running || t.def.Ready == nil {
		return
	}
	if ev.err == "" {
		t.lastErr = ""
		t.enter(Ready)
		return
	}
	t.lastErr = "not ready: " + ev.err
	t.arm(earlier(t.now.Add(t.def.Ready.Interval), t.deadline))
}

func (t *turn) timeUp(timer uint64) {
	if timer != t.timer || !t.armed {
		return
	}
	t.armed = false
	switch t.state {
	case Waiting, Backoff, Failed:
		t.ready()
	case Running:
		t.overdue()
	case Stopping, Killing:
		t.kill()
	}
}

// overdue: a child has run for its time-out, or it is time to probe once more.
func (t *turn) overdue() {
	switch {
	case t.def.Ready != nil && t.now.Before(t.deadline):
		t.probe()
	case t.def.Ready != nil:
		t.fault = fmt.Sprintf("not ready within %v", t.def.Ready.Timeout)
		t.stop()
	default:
		t.fault = fmt.Sprintf("still running after %v", t.def.Timeout)
		t.stop()
	}
}

// stop asks the whole group to end.
func (t *turn) stop() {
	if t.def.Stop.Grace < 0 || t.def.Stop.Signal == syscall.SIGKILL {
		t.kill()
		return
	}
	t.enter(Stopping)
	t.signal()
}

func (t *turn) kill() {
	t.enter(Killing)
	t.signal()
}

// hurry cuts the grace short.
func (t *turn) hurry() {
	if t.up() || t.ending() {
		t.kill()
	}
}

// signal sends what the state is about, and gives it its time. A child that is
// not there yet gets both when it is: its grace begins with the signal.
func (t *turn) signal() {
	if !t.forked {
		return
	}
	sig, patience := t.def.Stop.Signal, t.def.Stop.Grace
	if t.state == Killing {
		sig, patience = syscall.SIGKILL, killAgain
	}
	t.do(actSignal{t.def.Name, t.run, sig})
	t.arm(t.now.Add(patience))
}

// exited: the leader is dead. What it left of its group ends too, before
// anything else of this unit runs.
func (t *turn) exited(ev evExited) {
	if ev.run != t.run || t.ended || !t.forked {
		return
	}
	t.ended, t.pid = true, 0
	t.exit, t.exitOK = ev.exit, ev.ok
	switch {
	case ev.left && t.up():
		t.stop()
	case !ev.left:
		t.settle()
	}
}

// gone: nothing of the child is left.
func (t *turn) gone(run uint64) {
	if run != t.run || !t.alive || !t.ended {
		return
	}
	t.alive, t.pid = false, 0
	if t.ending() {
		t.settle()
	}
}

func (t *turn) noStart(ev evNoStart) {
	if ev.run != t.run || !t.alive || t.forked {
		return
	}
	t.alive, t.ended = false, true
	t.exitOK, t.fault = false, ev.err
	if ev.needs && t.want == wantUp && t.next == nil && !t.again && t.def.Kind != unit.Hook {
		t.lastErr = ev.err
		t.enter(Blocked)
		return
	}
	t.settle()
}

// settle decides what follows the end of a child.
func (t *turn) settle() {
	t.account()
	switch {
	case t.want == wantPaused:
		t.adopt()
		t.enter(Paused)
	case t.want != wantUp:
		t.adopt()
		t.enter(Exited)
	case t.next != nil:
		t.adopt()
		t.fresh()
	case t.again:
		t.fresh()
	default:
		t.follow()
	}
}

// account records the end of a run: in the unit's health, and for whoever waits for
// it.
func (t *turn) account() {
	ok := t.exitOK && t.fault == ""
	healthy := ok // a job or a hook that takes its time to fail is not well
	if t.def.Kind == unit.Service {
		healthy = t.fault == "" && t.now.Sub(t.startedAt) >= t.def.Backoff.Healthy
	}
	if healthy {
		t.attempt, t.coolOffs = 0, 0
	}
	t.succeeded = t.succeeded || ok
	switch {
	case ok, t.want != wantUp, t.again, t.next != nil:
		t.lastErr = ""
	case t.fault != "":
		t.lastErr = t.fault
	default:
		t.lastErr = t.exit
	}
	t.answerHook(ok)
}

func (t *turn) answerHook(ok bool) {
	if t.hook == 0 {
		return
	}
	var err error
	switch {
	case !ok && t.want != wantUp:
		err = fmt.Errorf("cannot run hook %q: it was stopped", t.def.Name)
	case !ok:
		err = fmt.Errorf("cannot run hook %q: %s", t.def.Name, t.lastErr)
	}
	t.do(actReply{t.hook, err})
	t.hook, t.hookEnv = 0, nil
}

// adopt takes the definition that waited for the end of the child.
func (t *turn) adopt() {
	if t.next != nil {
		t.def, t.next = *t.next, nil
	}
}

// follow does what the policy asks for after an end that nobody asked for.
func (t *turn) follow() {
	ok := t.exitOK && t.fault == ""
	switch {
	case t.def.Kind == unit.Hook:
		t.want = wantDown
		t.enter(Exited)
	case t.def.Restart == unit.Always && t.def.Kind == unit.Service, t.def.Restart != unit.Never && !ok:
		t.retry()
	case t.def.Kind == unit.Job:
		t.schedule()
	default:
		t.enter(Exited)
	}
}

// retry restarts after a delay, or gives up for a while.
func (t *turn) retry() {
	limit, over := t.def.StartLimit, false
	t.starts, over = t.starts.Add(t.now, limit.Burst, limit.Window)
	if over {
		t.fail()
		return
	}
	b := t.def.Backoff
	delay := t.delay(backoff.Policy{Base: b.Base, Max: b.Max, Factor: b.Factor, Jitter: jitter}, t.attempt)
	t.attempt++
	t.restarts++
	t.enter(Backoff)
	t.nextRetry = t.now.Add(delay)
	t.arm(t.nextRetry)
}

// fail waits for a long time. A laptop left open overnight must heal by itself, so it
// tries again, and the status has the time.
func (t *turn) fail() {
	why := t.lastErr
	if why == "" {
		why = t.exit
	}
	t.lastErr = fmt.Sprintf("more than %s in %v; the last end: %s", hint.Count(t.def.StartLimit.Burst, "restart", "restarts"), t.def.StartLimit.Window, why)
	delay := t.delay(backoff.Policy{Base: coolOffBase, Max: coolOffMax, Factor: 2}, t.coolOffs)
	t.coolOffs++
	t.starts = backoff.Window{}
	t.enter(Failed)
	t.nextRetry = t.now.Add(delay)
	t.arm(t.nextRetry)
}

func (t *turn) delay(p backoff.Policy, attempt int) time.Duration {
	return p.Delay(attempt, func() (f float64) {
		f, t.chance = t.chance.Next()
		return f
	})
}

// schedule waits for the next run of a job. A pending trigger is next at once.
func (t *turn) schedule() {
	t.enter(Waiting)
	if every := t.def.Schedule.Every; every > 0 {
		t.nextRun = t.now.Add(every)
		t.arm(t.nextRun)
	}
}

// ready is waiting for nothing but the dependencies.
func (t *turn) ready() {
	t.enter(Waiting)
	t.due = true
}

// fresh is ready without a past: a person or a reload asked for it.
func (t *turn) fresh() {
	t.attempt, t.coolOffs, t.starts = 0, 0, backoff.Window{}
	t.again = false
	t.lastErr = ""
	t.place()
	if t.state == Waiting {
		t.due = true
	}
}

// place is where a unit without a child stands that is wanted up.
func (t *turn) place() {
	t.due = false
	switch {
	case t.def.Blocked != "":
		t.lastErr = t.def.Blocked
		t.enter(Blocked)
		t.answerHook(false)
	case t.def.Kind == unit.Hook && t.hook == 0:
		t.want = wantDown
		t.enter(Exited)
	default:
		t.enter(Waiting)
		t.due = t.def.Kind != unit.Job || t.def.Schedule.Every > 0
	}
}

// halt stops a unit and keeps it so.
func (t *turn) halt(w want) {
	t.want, t.again, t.due = w, false, false
	switch {
	case t.up():
		t.stop()
	case t.ending():
	case w == wantPaused:
		t.adopt()
		t.lastErr = ""
		t.enter(Paused)
	default:
		t.adopt()
		t.lastErr = ""
		t.enter(Exited)
		t.answerHook(false)
	}
}

// begin is start, resume and restart. A running job that is started runs once
// more after this run: a trigger is never lost.
func (t *turn) begin(verb string) {
	t.want = wantUp
	switch {
	case t.ending():
		t.again = true
	case t.up() && verb == "restart":
		t.again = true
		t.stop()
	case t.up():
		t.again = t.def.Kind == unit.Job
	default:
		t.adopt()
		t.fresh()
	}
}

// define takes a definition from a reload. Only what makes the child another one
// ends the child; jobs and hooks end by themselves.
func (t *turn) define(def unit.Unit) {
	def = def.WithDefaults()
	removed := t.want == wantRemoved
	if removed || t.def.Kind == unit.Hook && def.Kind != unit.Hook {
		t.want = wantUp // a hook at rest is down, and a unit of its name need not be
	}
	switch {
	case !t.up() && !t.ending():
		t.next = nil
		t.def = def
		t.replace()
	case unit.SameProcess(t.def, def) && !removed:
		t.next, t.def = nil, def
	case t.ending() || def.Kind != unit.Service || t.def.Kind != unit.Service:
		t.next = &def
	default:
		t.next = &def
		t.stop()
	}
}

// replace puts a unit without a child where its new definition wants it.
func (t *turn) replace() {
	switch t.want {
	case wantPaused:
		t.enter(Paused)
	case wantDown:
		if t.def.Kind == unit.Hook {
			t.enter(Exited)
		}
	default:
		t.attempt, t.coolOffs, t.starts = 0, 0, backoff.Window{}
		t.lastErr = ""
		t.place()
	}
}

// runHook starts a hook for the call id.
func (t *turn) runHook(ev evHook) {
	switch {
	case t.def.Kind != unit.Hook:
		t.do(actReply{ev.id, fmt.Errorf("internal error: unit %q is not a hook", t.def.Name)})
	case t.def.Blocked != "":
		t.do(actReply{ev.id, fmt.Errorf("cannot run hook %q: %s", t.def.Name, t.def.Blocked)})
	case t.hook != 0 || t.up() || t.ending() || t.want == wantRemoved:
		t.do(actReply{ev.id, fmt.Errorf("cannot run hook %q: it runs already", t.def.Name)})
	default: // the machine releases it as soon as the output of the last run is drained
		t.hook, t.hookEnv = ev.id, ev.env
		t.want = wantUp
		t.ready()
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
