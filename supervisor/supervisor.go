// Package supervisor runs units: services, jobs and hooks. One pure machine
// (step, and machine around it) decides; one goroutine, Run, owns it, feeds it
// events and does the I/O that it asks for. It knows units only: no rclone, no
// YAML, no socket. The daemon and the engine use it.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/pkg/process"
	"github.com/coltec/coltec/pkg/unit"
)

// Options of a supervisor. The zero value runs real processes, drops what they
// print and is silent.
type Options struct {
	// Sink makes the sink for what a unit prints; nil drops it. It is called once
	// per unit, from the first start on, and closed when the unit is removed. A
	// sink should not fail: what it refuses is lost. One that has a Flush method is
	// told the end of each child.
	Sink func(unit string) io.WriteCloser
	// LogPath names the log of a unit for Status; nil names none.
	LogPath func(unit string) string
	// Logger gets what a person may want to know later; nil is silent.
	Logger *slog.Logger
	// Milestones are the names beside units that After may hold; nil allows any.
	Milestones []string
	// Marker is put into the environment of each child as COLTEC_UNIT=Marker/unit.
	// It finds descendants that left their process group, and what a killed
	// supervisor left behind; make it unique to the workspace. Empty: no marker.
	Marker string
	// Held is a private directory for lines that units have begun and not ended, so
	// that who comes after a killed supervisor has them. Empty: it does not.
	Held string
	// Memory is a file, in a private directory, that keeps the delays, the start
	// limits and the pauses of units over a crash of the supervisor. The end of Run
	// removes it. Empty: they start anew.
	Memory string
	// OnChange is told each change of a state, on the goroutine of Run: it must
	// return at once and not call the supervisor.
	OnChange func(Change)
	// Runner starts children; nil starts real ones.
	Runner Runner
}

// Change of the state of one unit.
type Change struct {
	Unit string    `json:"unit"`
	From State     `json:"from"`
	To   State     `json:"to"`
	Why  string    `json:"why,omitempty"`
	Time time.Time `json:"time"`
}

// UnitStatus is how one unit is.
type UnitStatus struct {
	Name      string
	Kind      unit.Kind
	State     State
	Since     time.Time
	PID       int // of the leader; 0: none
	Restarts  int
	LastExit  string // "exit status 1", "signal: killed"
	LastError string
	NextRun   time.Time // zero: none
	NextRetry time.Time // zero: none
	Log       string
}

// ErrStopped is what calls get after the end of Run.
var ErrStopped = errors.New("the supervisor has stopped")

// Runner starts children. It is the seam for tests.
type Runner interface {
	Start(spec process.Spec, out io.Writer) (Child, error)
}

// Child is one process group.
type Child interface {
	PID() int
	Signal(syscall.Signal) // to all of the group
	Wait() process.Exit    // until the leader has ended
	Left() bool            // whether others of the group still run
	Reap()                 // until nothing of the group is left
}

// Supervisor runs units. Make one with New.
type Supervisor struct {
	opts   Options
	events chan message  // to Run; buffered, so that Set may come before Run
	ids    atomic.Uint64 // of calls that wait for an answer
	begin  chan struct{} // closed when Run was called
	done   chan struct{} // closed when Run has returned
	begun  atomic.Bool   // Run was called
	points pointLocks    // RunHooks, one at a time for each point
	probes sync.WaitGroup

	// Only Run touches what follows.
	machine   *machine
	replies   map[uint64]chan error
	timers    map[string]*time.Timer
	children  map[string]child
	sinks     map[string]io.WriteCloser
	forgetful bool // the memory could not be saved, and that was said
}

// child is a running child and its generation.
type child struct {
	run uint64
	Child
	asking    context.Context // of its ready probes
	endProbes context.CancelFunc
}

// queue is how many messages may wait before Run takes them: enough for the
// calls that come before it runs. Past that, senders wait.
const queue = 32

// New makes a supervisor without units.
func New(o Options) *Supervisor {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Runner == nil {
		o.Runner = realRunner{held: o.Held}
	}
	return &Supervisor{
		opts:     o,
		events:   make(chan message, queue),
		begin:    make(chan struct{}),
		done:     make(chan struct{}),
		machine:  newMachine(rand.Uint64()),
		replies:  map[uint64]chan error{},
		timers:   map[string]*time.Timer{},
		children: map[string]child{},
		sinks:    map[string]io.WriteCloser{},
	}
}

// realRunner starts real processes.
type realRunner struct{ held string }

// Sweep ends what a killed supervisor has left; its last words go to out.
func (r realRunner) Sweep(ctx context.Context, marker string, grace time.Duration, out func(string) io.Writer) int {
	drained := process.Rescue(marker, r.held, out)
	defer drained()
	return process.Sweep(ctx, marker, grace)
}

func (r realRunner) Start(spec process.Spec, out io.Writer) (Child, error) {
	spec.Held = r.held
	c, err := process.Start(spec, out)
	if err != nil {
		return nil, err // not c: a nil *process.Child is not a nil Child
	}
	return c, nil
}

// Begun is closed when Run was called: from then on Status has every unit that was
// set before.
func (s *Supervisor) Begun() <-chan struct{} { return s.begin }

// Run supervises until ctx ends; then it stops everything, in the reverse order
// of After, and returns when nothing is left.
func (s *Supervisor) Run(ctx context.Context) error {
	if s.begun.Swap(true) {
		return errors.New("internal error: Run was called twice")
	}
	close(s.begin)
	defer s.probes.Wait() // after done: their last words go nowhere
	defer close(s.done)
	defer s.closeAll()
	s.sweep(ctx)
	s.recollect()
	defer s.opts.memory().forget()
	stop := ctx.Done()
	for {
		select {
		case msg := <-s.events:
			s.perform(msg.handle(s, time.Now()))
		case <-stop:
			stop = nil
			s.perform(s.machine.halt(time.Now()))
		}
		if s.machine.done() {
			return nil
		}
	}
}

// leftoverGrace is what children of a killed supervisor get to end: less than
// usual, since the workspace waits for it.
const leftoverGrace = 5 * time.Second

// sweep ends what a killed supervisor has left, so that no unit runs twice.
func (s *Supervisor) sweep(ctx context.Context) {
	sweeper, ok := s.opts.Runner.(interface {
		Sweep(context.Context, string, time.Duration, func(string) io.Writer) int
	})
	if !ok || s.opts.Marker == "" {
		return
	}
	out := func(name string) io.Writer {
		if to := s.sink(name); to != nil {
			return to
		}
		return io.Discard
	}
	if n := sweeper.Sweep(ctx, s.opts.Marker, leftoverGrace, out); n > 0 {
		s.opts.Logger.Warn("ended what an earlier run has left", "processes", n)
	}
	for name := range s.sinks {
		flush(s.sinks[name])
	}
}

// flush ends a line that a child left unfinished: it is not the next one's.
func flush(sink io.Writer) {
	if f, ok := sink.(interface{ Flush() }); ok {
		f.Flush()
	}
}

// closeAll ends what outlives the last child.
func (s *Supervisor) closeAll() {
	for _, t := range s.timers {
		t.Stop()
	}
	for name := range s.sinks {
		s.closeSink(name)
	}
	for _, reply := range s.replies {
		reply <- ErrStopped
	}
}

// perform does what the machine asks for.
func (s *Supervisor) perform(actions []action) {
	worth := false
	for _, a := range actions {
		switch a := a.(type) {
		case actStart:
			s.start(a)
		case actSignal:
			s.signal(a)
		case actArm:
			s.arm(a)
		case actProbe:
			s.probe(a)
		case actReply:
			s.reply(a.id, a.err)
		case actChange:
			s.changed(a)
			worth = worth || memorable(a)
		case actForget:
			s.arm(actArm{unit: a.unit})
			delete(s.timers, a.unit)
			s.closeSink(a.unit)
		}
	}
	if worth && s.opts.Memory != "" && !s.machine.halting {
		s.remember()
	}
}

// start gives the new child a goroutine, which lives as long as the child.
func (s *Supervisor) start(a actStart) {
	out := s.sink(a.unit)
	go func() {
		spec := s.processSpec(a.def.Argv, a.def)
		// Watchers of files take the end of their standard input for the end of who
		// started them. A job or a hook that reads it would never end.
		spec.Quiet, spec.Screen = a.def.Kind == unit.Service, a.def.Screen
		c, err := s.opts.Runner.Start(spec, out)
		if err != nil {
			s.send(msgUnit{a.unit, evNoStart{a.run, err.Error(), process.NeedsPerson(err)}})
			return
		}
		s.send(msgStarted{a.unit, a.run, c})
		exit := c.Wait()
		s.send(msgUnit{a.unit, evExited{a.run, exit.String(), exit.OK(), c.Left()}})
		c.Reap()
		flush(out)
		s.send(msgGone{a.unit, a.run})
	}()
}

// processSpec is the child that runs argv as def says.
func (s *Supervisor) processSpec(argv []string, def unit.Unit) process.Spec {
	spec := process.Spec{Argv: argv, Env: def.Env, Dir: def.Dir, User: def.User}
	if s.opts.Marker != "" {
		spec.Marker = s.opts.Marker + "/" + def.Name
	}
	return spec
}

func (s *Supervisor) signal(a actSignal) {
	if c, ok := s.children[a.unit]; ok && c.run == a.run {
		c.endProbes()
		c.Signal(a.sig)
	}
}

// arm replaces the timer of a unit.
func (s *Supervisor) arm(a actArm) {
	if t := s.timers[a.unit]; t != nil {
		t.Stop()
		delete(s.timers, a.unit)
	}
	if a.at.IsZero() {
		return
	}
	s.timers[a.unit] = time.AfterFunc(time.Until(a.at), func() {
		s.send(msgUnit{a.unit, evTimer{a.timer}})
	})
}

// probe asks once whether a service is ready; no longer than the service lives.
func (s *Supervisor) probe(a actProbe) {
	c, ok := s.children[a.unit]
	if !ok || c.run != a.run {
		return // it has gone: nobody waits for the answer
	}
	s.probes.Go(func() {
		ctx, cancel := context.WithTimeoutCause(c.asking, a.timeout, fmt.Errorf("the probe took longer than %v", a.timeout))
		defer cancel()
		ev := evProbed{run: a.run}
		if err := s.ask(ctx, a.def); err != nil {
			ev.err = err.Error()
		}
		s.send(msgUnit{a.unit, ev})
	})
}

// ask runs the ready probe of def; what it prints is dropped.
func (s *Supervisor) ask(ctx context.Context, def unit.Unit) error {
	spec := s.processSpec(def.Ready.Exec, def)
	if spec.Marker != "" {
		spec.Marker += ":probe" // else the end of the service would take it for a descendant
	}
	c, err := s.opts.Runner.Start(spec, nil)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { c.Signal(syscall.SIGKILL) })()
	exit := c.Wait()
	if c.Left() {
		c.Signal(syscall.SIGKILL)
	}
	c.Reap()
	switch {
	case exit.OK():
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return errors.New(exit.String())
}

func (s *Supervisor) reply(id uint64, err error) {
	if reply := s.replies[id]; reply != nil {
		reply <- err // has room for one
		delete(s.replies, id)
	}
}

func (s *Supervisor) changed(a actChange) {
	level := slog.LevelDebug
	switch a.to {
	case Failed, Blocked:
		level = slog.LevelError
	case Backoff:
		level = slog.LevelWarn
	case Ready, Exited, Paused:
		level = slog.LevelInfo
	}
	s.opts.Logger.Log(context.Background(), level, "unit changed", "unit", a.unit, "from", a.from, "to", a.to, "why", a.why)
	if s.opts.OnChange != nil {
		s.opts.OnChange(Change{a.unit, a.from, a.to, a.why, time.Now()})
	}
	if a.to == Failed {
		go s.onFailure(a)
	}
}

// onFailure runs the hooks for a unit that reached its start limit. All other points
// belong to whoever calls RunHooks.
func (s *Supervisor) onFailure(a actChange) {
	env := []string{"COLTEC_FAILED_UNIT=" + a.unit, "COLTEC_ERROR=" + a.why}
	if err := s.RunHooksWith(context.Background(), hooks.OnFailure, env); err != nil && !errors.Is(err, ErrStopped) {
		s.opts.Logger.Error("hook failed", "point", hooks.OnFailure, "error", err)
	}
}

// sink is where a unit prints to.
func (s *Supervisor) sink(name string) io.Writer {
	if s.opts.Sink == nil {
		return nil
	}
	if s.sinks[name] == nil {
		s.sinks[name] = s.opts.Sink(name)
	}
	return s.sinks[name]
}

func (s *Supervisor) closeSink(name string) {
	sink := s.sinks[name]
	if sink == nil {
		return
	}
	delete(s.sinks, name)
	if err := sink.Close(); err != nil {
		s.opts.Logger.Warn("cannot close the log of a unit", "unit", name, "error", err)
	}
}
