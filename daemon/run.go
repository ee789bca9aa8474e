package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/process"
	"github.com/coltec/coltec/pkg/status"
)

// Foreground is coltecd without a keeper, until a signal or a stop. left is what is on
// this machine only then.
func Foreground(o Options) (left, err error) {
	lock, err := o.acquire()
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	d, err := newDaemon(o, lock, origin{foreground: true})
	if err != nil {
		return nil, err
	}
	err = d.run(func() error { return d.writeInstance(0) })
	if errors.Is(err, ErrAtOnce) {
		endChildren(0)
	}
	return d.end.result(), err
}

// Supervise is coltecd below its keeper, which has given it the lock. ready is called
// once it supervises; crashed is how the one before it ended, if not in order.
func Supervise(o Options, lock *control.Lock, crashed string, ready func() error) error {
	d, err := newDaemon(o, lock, origin{crashed: crashed})
	if err != nil {
		return err
	}
	keeper := os.Getppid()
	err = d.run(func() error { return errors.Join(d.writeInstance(keeper), ready()) })
	if os.Getppid() != keeper { // it was killed: nobody else tidies up
		endChildren(LeftGrace)
		lock.Release()
	}
	if errors.Is(err, ErrAtOnce) {
		return nil // asked for: the keeper ends what is left, and does not start again
	}
	return err
}

// run supervises until somebody asks for the end. ready is called once it does.
func (d *daemon) run(ready func() error) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, handedOn)
	defer signal.Stop(signals)
	if err := HideEnvironment(); err != nil {
		d.log.Warn("other processes of this user can read the environment", "error", err)
	}
	life, end := context.WithCancel(context.Background())
	defer end()
	if err := process.Adopt(life); err != nil {
		d.log.Warn("orphans of units are not collected", "error", err)
	}

	server := control.NewServer(d, d.log.Logger)
	defer server.Close()
	if err := d.listen(server, d.lock); err != nil {
		return err
	}

	defer d.metrics.set("")
	takeLeft(d.lock.Dir(), d.log)
	supervised := d.supervise(life)
	if err := d.apply(d.conf.get()); err != nil {
		end()
		<-supervised
		return err
	}
	select { // a client that learns that we supervise may ask for the status at once
	case <-d.sup.Begun():
	case <-supervised:
	}
	if err := ready(); err != nil {
		d.log.Warn("nobody waits for the start any more", "error", err)
	}
	if !d.lastSeen.IsZero() {
		d.log.Warn("the last coltecd was killed: what it had not pushed is pushed now", "last status", d.lastSeen)
	}
	d.log.Info("started", "version", d.o.Version, "pid", os.Getpid(), "spec", d.o.Path, "crashed", d.crashed)
	starting, started := context.WithCancel(life)
	go func() {
		passed := d.begin(starting)
		d.rest.Reset(restAfter)
		d.runAgain(starting, passed)
	}()
	go d.watch(life)
	go d.hooks.run(life)
	go d.watchAgents(life)
	go d.notifier.run(life)
	published := d.publish(life)

	req, fatal := d.awaitEnd(signals)
	started() // no service starts any more
	d.log.Info("stopping", "why", req.why, "timeout", req.timeout)
	err := d.shutdown(req, signals, end, supervised)
	d.rest.Stop()
	<-published
	d.writeStatus(status.Stopped)
	d.logStopped()
	close(d.end.over)
	d.status.changed()
	return errors.Join(fatal, err)
}

// listen has a server answer wherever the lock has it found.
func (d *daemon) listen(s *control.Server, lock *control.Lock) error {
	return lock.Listen(func(l net.Listener) {
		if err := guarded(d.log.Logger, func() error { return s.Serve(l) }); err != nil {
			d.fail(err)
		}
	}, func(err error) { d.log.Warn("what this coltecd is found by is gone", "error", err) })
}

// supervise runs the units until life ends. The channel is closed when nothing
// of them is left.
func (d *daemon) supervise(life context.Context) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := guarded(d.log.Logger, func() error { return d.sup.Run(life) }); err != nil {
			d.fail(err)
		}
	}()
	return done
}

// begin is the order of the start: the engine restores, then the hooks that
// follow, then the services that wait. passed is false where these do not start.
func (d *daemon) begin(ctx context.Context) (passed bool) {
	err := guarded(d.log.Logger, func() error {
		if err := d.awaitSettled(ctx); err != nil {
			return nil // stopped meanwhile
		}
		d.setAgentHooks() // an agent reads its settings when it starts
		if err := d.afterRestore(ctx, every); err != nil {
			gate{d}.hold(ctx, err)
			return nil
		}
		gate{d}.open(ctx)
		passed = true
		return nil
	})
	if err != nil {
		d.fail(err)
	}
	return passed
}

// awaitEnd returns when the end is asked for.
func (d *daemon) awaitEnd(signals <-chan os.Signal) (stopRequest, error) {
	for {
		select {
		case req := <-d.end.requests:
			return req, nil
		case err := <-d.fatal:
			d.end.begin()
			return stopRequest{timeout: StopTimeout, why: err.Error()}, err
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				d.log.Info("reload by a signal")
				go d.reloadLogged()
				continue
			}
			d.end.begin()
			why := sig
			if sig == handedOn {
				why = syscall.SIGTERM
			}
			return stopRequest{StopTimeout, "signal: " + why.String(), sig}, nil
		}
	}
}

// shutdown is the order of the stop: pre_stop hooks, while agents end their turns, then the
// units get a head start, so that their last words are pushed too, then the engine's flush. What
// is left at the end of the time-out is killed.
func (d *daemon) shutdown(req stopRequest, signals <-chan os.Signal, end func(), supervised <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), req.timeout)
	defer cancel()
	done, pushed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		d.end.tell("running pre_stop hooks and stopping units")
		turns := d.turnsBeforeStop(ctx, req.timeout/3)
		d.hooksBeforeStop(ctx, req.timeout/3)
		<-turns
		end()
		awaitDone(ctx, supervised, req.timeout/4)
		if d.replicas.withholds() {
			awaitDone(ctx, supervised, req.timeout/4) // what a server withholds can go once it has ended
		}
		if d.replicas.current() != nil {
			d.end.tell("pushing what is pending")
		}
		ended := d.replicas.stop(ctx)
		d.end.setOutcome(d.replicas.outcome(ended))
		close(pushed)
		awaitDone(ctx, supervised, req.timeout)
	}()
	second := req.seconds()
	for {
		select {
		case <-done:
			end()
			d.killUnits(supervised)
			return nil
		case sig := <-signals:
			if sig != syscall.SIGHUP && second(sig) {
				d.cutOff(pushed)
				end()
				d.killUnits(supervised)
				return ErrAtOnce
			}
		}
	}
}

// cutOff notes that the last push is ended at once. It does not ask the engine what is
// left: that may be busy.
func (d *daemon) cutOff(pushed <-chan struct{}) {
	select {
	case <-pushed: // and what is left is known
		return
	default:
	}
	if len(d.conf.get().spec.Replicas()) > 0 {
		d.end.setOutcome(fmt.Errorf("%w, as far as is known: %w", account.ErrOnlyHere, ErrAtOnce))
	}
}

// logStopped is the last line of a log: docker stop shows no other answer.
func (d *daemon) logStopped() {
	left := d.end.result()
	if left == nil {
		d.log.Info("stopped")
		return
	}
	d.log.Warn("stopped: "+cmdline.OneLine(left.Error()), "next", account.Next(left))
}

// killUnits ends what is left of the units. A supervisor that does not do it
// within a second is stuck, and must not keep the rest from ending.
func (d *daemon) killUnits(supervised <-chan struct{}) {
	go d.sup.Kill()
	awaitDone(context.Background(), supervised, time.Second)
	select {
	case <-supervised:
	default:
		d.log.Error("internal error: the supervisor did not end, killing what is left")
		endChildren(0)
	}
}

func (d *daemon) hooksBeforeStop(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errors.New("no time is left before the push"))
	defer cancel()
	if err := d.sup.RunHooks(ctx, hooks.PreStop); err != nil {
		d.log.Warn("hook failed", "point", hooks.PreStop, "error", err)
	}
}

// turnsBeforeStop lets agents end their turns, within limit at most. The channel is closed
// when they have, or when the time is over.
func (d *daemon) turnsBeforeStop(ctx context.Context, limit time.Duration) <-chan struct{} {
	done := make(chan struct{})
	s := d.conf.get()
	go func() {
		defer close(done)
		s.logTurns(d.turns.await(ctx, s, min(limit, s.turnsMost())))
	}()
	return done
}

// awaitDone returns when done is closed, after limit, or with ctx.
func awaitDone(ctx context.Context, done <-chan struct{}, limit time.Duration) {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	case <-ctx.Done():
	}
}

// writeInstance tells clients where this coltecd is.
func (d *daemon) writeInstance(keeper int) error {
	return d.lock.WriteInstance(control.Instance{
		PID: os.Getpid(), Start: ProcStart(os.Getpid()), Keeper: keeper, KeeperStart: ProcStart(keeper),
		Spec: d.o.Path, Workspace: WorkspaceOf(d.conf.get().spec).String(), LogDir: d.log.dir, Version: d.o.Version, Since: d.since,
	})
}

// awaitSettled returns when the replicas are settled, or with ctx.
func (d *daemon) awaitSettled(ctx context.Context) error {
	for {
		seen := d.status.now()
		if d.replicas.settled() {
			return nil
		}
		if err := d.status.wait(ctx, seen, publishEvery); err != nil {
			return err
		}
	}
}
