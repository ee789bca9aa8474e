package supervisor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/pkg/unit"
)

// message is what others send to Run: a closed set. Run calls handle; nobody
// else does.
type message interface {
	handle(*Supervisor, time.Time) []action
}

type (
	msgUnit struct { // an event of one unit: a timer, a probe, an exit
		unit string
		ev   event
	}
	msgStarted struct {
		unit  string
		run   uint64
		child Child
	}
	msgGone struct {
		unit string
		run  uint64
	}
	msgSet     struct{ units []unit.Unit }
	msgReached struct{ milestone string }
	msgKill    struct{}
	msgCommand struct {
		verb, unit string
		id         uint64
		reply      chan error
	}
	msgHook struct {
		unit  string
		env   []string
		id    uint64
		reply chan error
	}
	msgCancel struct { // the caller of id has gone
		unit string
		id   uint64
	}
	msgStatus struct{ reply chan []UnitStatus }
	msgHooks  struct {
		point hooks.Point
		reply chan []unit.Unit
	}
)

func (m msgUnit) handle(s *Supervisor, now time.Time) []action {
	return s.machine.tell(m.unit, now, m.ev)
}

func (m msgStarted) handle(s *Supervisor, now time.Time) []action {
	asking, end := context.WithCancel(context.Background())
	s.children[m.unit] = child{m.run, m.child, asking, end}
	return s.machine.tell(m.unit, now, evStarted{m.run, m.child.PID()})
}

func (m msgGone) handle(s *Supervisor, now time.Time) []action {
	if c, ok := s.children[m.unit]; ok && c.run == m.run {
		c.endProbes()
		delete(s.children, m.unit)
	}
	return s.machine.tell(m.unit, now, evGone{m.run})
}

func (m msgSet) handle(s *Supervisor, now time.Time) []action {
	return s.machine.set(m.units, now)
}

func (m msgReached) handle(s *Supervisor, now time.Time) []action {
	return s.machine.reach(m.milestone, now)
}

func (m msgKill) handle(s *Supervisor, now time.Time) []action { return s.machine.kill(now) }

func (m msgCommand) handle(s *Supervisor, now time.Time) []action {
	s.replies[m.id] = m.reply
	return s.machine.command(m.verb, m.unit, m.id, now)
}

func (m msgHook) handle(s *Supervisor, now time.Time) []action {
	s.replies[m.id] = m.reply
	return s.machine.runHook(m.unit, m.id, m.env, now)
}

func (m msgCancel) handle(s *Supervisor, now time.Time) []action {
	delete(s.replies, m.id)
	return s.machine.cancel(m.unit, m.id, now)
}

func (m msgStatus) handle(s *Supervisor, _ time.Time) []action {
	m.reply <- s.status()
	return nil
}

func (m msgHooks) handle(s *Supervisor, _ time.Time) []action {
	m.reply <- s.machine.hooksAt(m.point)
	return nil
}

// post hands msg to Run.
func (s *Supervisor) post(ctx context.Context, msg message) error {
	select {
	case <-s.done: // the queue may still have room
		return ErrStopped
	default:
	}
	select {
	case s.events <- msg:
		return nil
	case <-s.done:
		return ErrStopped
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// send is post for the goroutines of Run, which end with it.
func (s *Supervisor) send(msg message) { _ = s.post(context.Background(), msg) }

// Set makes units the ones to supervise, at first and for a reload: unchanged
// units are left alone, changed ones restart, missing ones stop. It may be called
// before Run.
func (s *Supervisor) Set(units []unit.Unit) error {
	if err := unit.ValidateSet(units, s.opts.Milestones); err != nil {
		return err
	}
	return s.post(context.Background(), msgSet{units})
}

// Reached reports to the supervisor that a milestone, such as "restore", has been
// reached: units that come after it may start. It may be called before Run.
func (s *Supervisor) Reached(milestone string) { s.send(msgReached{milestone}) }

// Kill cuts all graces short: a second signal wants the end at once.
func (s *Supervisor) Kill() { s.send(msgKill{}) }

// Do carries out restart, stop, start, pause or resume and returns when it has
// happened. A unit that has to wait for others is as good as started.
func (s *Supervisor) Do(ctx context.Context, verb, name string) error {
	return s.call(ctx, name, func(id uint64, reply chan error) message {
		return msgCommand{verb, name, id, reply}
	})
}

// call posts a message and waits for its answer. A caller that gives up takes
// the request back where that makes sense (a hook is stopped, a verb goes on).
func (s *Supervisor) call(ctx context.Context, name string, msg func(uint64, chan error) message) error {
	id, reply := s.ids.Add(1), make(chan error, 1)
	if err := s.post(ctx, msg(id, reply)); err != nil {
		return err
	}
	select {
	case err := <-reply:
		return err
	case <-ctx.Done():
		s.send(msgCancel{name, id})
		return context.Cause(ctx)
	case <-s.done:
		select {
		case err := <-reply: // the last answer of Run
			return err
		default:
			return ErrStopped
		}
	}
}

// RunHooks runs the hooks of a point one after the other, in the order of their
// definition. A failed hook is logged; one with on_failure fail ends it with an
// error. One point at a time: a hook that causes its own point waits for itself,
// until its time-out.
func (s *Supervisor) RunHooks(ctx context.Context, point hooks.Point) error {
	return s.RunHooksWith(ctx, point, nil)
}

// RunHooksWith is RunHooks with more in the environment, such as the path that
// has a conflict.
func (s *Supervisor) RunHooksWith(ctx context.Context, point hooks.Point, env []string) error {
	return s.RunHooksIf(ctx, point, env, func(unit.Unit) (bool, func(error)) { return true, nil })
}

// Gate is asked right before a hook would run: false passes over it. ended, where it is not
// nil, is told how the run went; nil is success.
type Gate func(hook unit.Unit) (run bool, ended func(error))

// RunHooksIf is RunHooksWith of those hooks that a gate lets run.
func (s *Supervisor) RunHooksIf(ctx context.Context, point hooks.Point, env []string, gate Gate) error {
	unlock, err := s.points.lock(ctx, point)
	if err != nil {
		return err
	}
	defer unlock()
	units, err := ask(ctx, s, func(reply chan []unit.Unit) message { return msgHooks{point, reply} })
	if err != nil {
		return err
	}
	for _, h := range units {
		run, ended := gate(h)
		if !run {
			continue
		}
		err := s.call(ctx, h.Name, func(id uint64, reply chan error) message {
			return msgHook{h.Name, env, id, reply}
		})
		if ended != nil {
			ended(err)
		}
		switch {
		case err == nil:
		case ctx.Err() != nil || errors.Is(err, ErrStopped) || h.OnFailure == unit.Fail:
			return fmt.Errorf("cannot pass hook point %q: %w", point, err)
		default:
			s.opts.Logger.Warn("hook failed", "unit", h.Name, "point", point, "error", err)
		}
	}
	return nil
}

// ask posts a question and waits for its answer.
func ask[T any](ctx context.Context, s *Supervisor, msg func(chan T) message) (T, error) {
	var none T
	reply := make(chan T, 1)
	if err := s.post(ctx, msg(reply)); err != nil {
		return none, err
	}
	select {
	case answer := <-reply:
		return answer, nil
	case <-s.done:
		return none, ErrStopped
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

// Status of all units, in the order of their definition. Empty before Run, and
// the last known after it.
func (s *Supervisor) Status() []UnitStatus {
	if !s.begun.Load() {
		return nil
	}
	units, err := ask(context.Background(), s, func(reply chan []UnitStatus) message { return msgStatus{reply} })
	if err != nil { // Run has returned: its state is nobody's, and does not change any more
		<-s.done
		return s.status()
	}
	return units
}

func (s *Supervisor) status() []UnitStatus {
	all := make([]UnitStatus, 0, len(s.machine.order))
	for _, name := range s.machine.order {
		u := s.machine.units[name]
		st := UnitStatus{
			Name: name, Kind: u.def.Kind, State: u.state, Since: u.since, PID: u.pid,
			Restarts: u.restarts, LastExit: u.exit, LastError: u.lastErr,
			NextRun: u.nextRun, NextRetry: u.nextRetry,
		}
		if missing := s.machine.waitsFor(u); u.state == Waiting && u.due && missing != "" {
			st.LastError = "waits for " + missing
		}
		if s.opts.LogPath != nil {
			st.Log = s.opts.LogPath(name)
		}
		all = append(all, st)
	}
	return all
}

// pointLocks lets one RunHooks run for each point.
type pointLocks struct {
	mu   sync.Mutex
	held map[hooks.Point]chan struct{} // closed on unlock
}

func (l *pointLocks) lock(ctx context.Context, point hooks.Point) (unlock func(), err error) {
	for {
		l.mu.Lock()
		busy := l.held[point]
		if busy == nil {
			if l.held == nil {
				l.held = map[hooks.Point]chan struct{}{}
			}
			mine := make(chan struct{})
			l.held[point] = mine
			l.mu.Unlock()
			return func() { l.unlock(point, mine) }, nil
		}
		l.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (l *pointLocks) unlock(point hooks.Point, mine chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, point)
	close(mine)
}
