// Package daemon is a running coltecd, and the keeper that starts it again when it
// crashes. It joins the rooms: the supervisor runs what the spec lists, the engine keeps
// the replicas in their bucket, pkg/control serves the socket. Flags, tables and exit
// codes are cmd/coltecd's.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/logfile"
	"github.com/coltec/coltec/pkg/process"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/secret"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/supervisor"
)

// daemon is a running coltecd. Its goroutines: serve (the socket), supervise
// (the units), the engine's (see replication), begin (the order of the start),
// watch (the spec), runHooks (what the engine asks for), publish (the status file) and run itself, which decides about the end.
type daemon struct {
	o        Options
	seat     *control.Seat
	logDir   string
	log      *slog.Logger
	logs     *logfile.Logs
	redactor *secret.Redactor
	since    time.Time
	lastSeen time.Time   // of a coltecd before this one that was killed, see killed
	rest     *time.Timer // to slim, when nothing was asked for a while
	origin
	past

	sup      *supervisor.Supervisor
	replicas *replication
	rclone   func() (rclone.Binary, error) // looked for once

	stops  chan stopRequest // to run
	fatal  chan error       // to run: an error that ends everything
	ended  chan struct{}    // closed when nothing is left
	hooks  chan hookRequest // to runHooks
	status tracker          // of what Status says

	mu       sync.Mutex // guards what follows
	setting  setting    // in force
	refused  error      // why the spec on the disk is not
	seen     string     // fingerprint of the spec that was last looked at
	logFault error
	say      func(string) // to whom a stop is told
	left     error        // after a stop: what is on this machine only; nil: nothing
}

// origin says how this coltecd was started.
type origin struct {
	foreground bool   // show the own log on standard error too
	crashed    string // how the coltecd before this one ended, if not in order
}

// killed says when a coltecd that was killed together with its keeper last wrote
// its status; the zero time stands for an end in order. One that crashed alone is
// told by the keeper.
func (o origin) killed(logDir string) time.Time {
	doc, at, err := status.ReadFile(logDir)
	if err != nil || o.crashed != "" || doc.State != status.Running && doc.State != status.Degraded {
		return time.Time{}
	}
	return at
}

// StopTimeout of a whole stop: docker kills 10 s after its TERM.
const StopTimeout = 9 * time.Second

// stopRequest asks run for the end.
type stopRequest struct {
	timeout time.Duration
	why     string
}

// ErrAtOnce is the end by a second signal.
var ErrAtOnce = errors.New("ended at once, by a second signal: what was not pushed is pushed after the next start")

// newDaemon prepares everything and starts nothing.
func newDaemon(o Options, seat *control.Seat, from origin) (*daemon, error) {
	logDir, err := o.LogDir()
	if err != nil {
		return nil, err
	}
	d := &daemon{
		o: o, seat: seat, logDir: logDir, since: time.Now(), origin: from,
		redactor: &secret.Redactor{}, lastSeen: from.killed(logDir),
		seen:  fingerprint(o.Path),
		stops: make(chan stopRequest, 1), fatal: make(chan error, 1), ended: make(chan struct{}), hooks: make(chan hookRequest, hooksQueued),
		setting: setting{spec: o.Spec, folder: o.folder(), runtime: seat.Dir(), environ: o.Environ, logDir: logDir, ground: takeGround(filepath.Dir(o.Path))},
	}
	// What an earlier node reported is not the state of this one.
	if err := os.Remove(d.setting.tailnetPlace().Report()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := d.openLogs(o.Spec); err != nil {
		return nil, err
	}
	d.rclone = sync.OnceValues(func() (rclone.Binary, error) { return rclone.Find(context.Background(), o.lookup) })
	frugal()
	d.rest = time.AfterFunc(restAfter, slim)
	d.sup = supervisor.New(supervisor.Options{
		Sink: func(name string) io.WriteCloser { return d.logs.Sink(name) }, LogPath: d.logs.Path, Logger: d.log,
		Milestones: []string{milestoneRestore}, Marker: markOf(seat.Dir()),
		Memory: filepath.Join(seat.Dir(), "units.json"), OnChange: func(supervisor.Change) { d.status.changed() },
	})
	d.past = past{d.openPast}
	d.setting.log, d.setting.hooks, d.setting.changed = d.log, d.askHooks, d.status.changed
	d.replicas = &replication{build: newReplicator, log: d.log, fatal: d.fail, changed: d.status.changed}
	return d, nil
}

// Foreground is coltecd without a keeper, until a signal or a stop. left is what is on
// this machine only then.
func Foreground(o Options) (left, err error) {
	seat, err := o.take()
	if err != nil {
		return nil, err
	}
	defer seat.Leave()
	d, err := newDaemon(o, seat, origin{foreground: true})
	if err != nil {
		return nil, err
	}
	err = d.run(func() error { return d.leaveNote(0) })
	if errors.Is(err, ErrAtOnce) {
		endChildren(0)
	}
	return d.leaves(), err
}

// Supervise is coltecd below its keeper, which has given it the seat. ready is called
// once it supervises; crashed is how the one before it ended, if not in order.
func Supervise(o Options, seat *control.Seat, crashed string, ready func() error) error {
	d, err := newDaemon(o, seat, origin{crashed: crashed})
	if err != nil {
		return err
	}
	keeper := os.Getppid()
	err = d.run(func() error { return errors.Join(d.leaveNote(keeper), ready()) })
	if os.Getppid() != keeper { // it was killed: nobody else tidies up
		endChildren(LeftGrace)
		seat.Leave()
	}
	if errors.Is(err, ErrAtOnce) {
		return nil // asked for: the keeper ends what is left, and does not start again
	}
	return err
}

// run supervises until somebody asks for the end. ready is called once it does.
func (d *daemon) run(ready func() error) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := HideEnvironment(); err != nil {
		d.log.Warn("other processes of this user can read the environment", "error", err)
	}
	life, end := context.WithCancel(context.Background())
	defer end()
	if err := process.Adopt(life); err != nil {
		d.log.Warn("orphans of units are not collected", "error", err)
	}

	listener, err := d.seat.Listen()
	if err != nil {
		return err
	}
	server := control.NewServer(d, d.log)
	defer server.Close()
	go d.serve(server, listener)

	d.takeLeft()
	supervised := d.supervise(life)
	if err := d.apply(d.setting); err != nil {
		end()
		<-supervised
		return err
	}
	select { // who is told that we supervise may ask for the status at once
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
		d.begin(starting)
		d.rest.Reset(restAfter)
	}()
	go d.watch(life)
	go d.runHooks(life)
	published := d.publish(life)

	req, fatal := d.awaitEnd(signals)
	started() // no service starts any more
	d.log.Info("stopping", "why", req.why, "timeout", req.timeout)
	err = d.shutdown(req, signals, end, supervised)
	d.rest.Stop()
	<-published
	d.writeStatus(status.Stopped)
	d.logStopped()
	close(d.ended)
	d.status.changed()
	return errors.Join(fatal, err)
}

func (d *daemon) serve(s *control.Server, l net.Listener) {
	if err := guarded(d.log, func() error { return s.Serve(l) }); err != nil {
		d.fail(err)
	}
}

// supervise runs the units until life ends. The channel is closed when nothing
// of them is left.
func (d *daemon) supervise(life context.Context) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := guarded(d.log, func() error { return d.sup.Run(life) }); err != nil {
			d.fail(err)
		}
	}()
	return done
}

// fail ends everything because of an error; the first one counts.
func (d *daemon) fail(err error) {
	d.log.Error("cannot go on", "error", err)
	select {
	case d.fatal <- err:
	default:
	}
}

// begin is the order of the start: the engine restores, then the hooks that
// follow, then the services that wait.
func (d *daemon) begin(ctx context.Context) {
	err := guarded(d.log, func() error {
		if err := d.awaitSettled(ctx); err != nil {
			return nil // stopped meanwhile
		}
		if err := d.sup.RunHooks(ctx, hooks.PostRestore); err != nil {
			// on_failure: fail asked for exactly this: what waits does not start.
			if ctx.Err() == nil {
				d.log.Error("hook failed, services after the restore wait", "error", err)
				d.note(fmt.Errorf("services that wait for the restore do not start: %w", err))
			}
			return nil
		}
		d.sup.Reached(milestoneRestore)
		return nil
	})
	if err != nil {
		d.fail(err)
	}
}

// awaitEnd returns when the end is asked for.
func (d *daemon) awaitEnd(signals <-chan os.Signal) (stopRequest, error) {
	for {
		select {
		case req := <-d.stops:
			return req, nil
		case err := <-d.fatal:
			return stopRequest{StopTimeout, err.Error()}, err
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				d.log.Info("reload by a signal")
				go d.reloadLogged()
				continue
			}
			return stopRequest{StopTimeout, "signal: " + sig.String()}, nil
		}
	}
}

// shutdown is the order of the stop: pre_stop hooks, then the units get a head
// start, so that their last words are pushed too, then the engine's flush. What
// is left at the end of the time-out is killed.
func (d *daemon) shutdown(req stopRequest, signals <-chan os.Signal, end func(), supervised <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), req.timeout)
	defer cancel()
	done, pushed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		d.tell("running pre_stop hooks and stopping units")
		d.hooksBeforeStop(ctx, req.timeout/3)
		end()
		awaitDone(ctx, supervised, req.timeout/4)
		ended := true
		if d.replicas.current() != nil {
			d.tell("pushing what is pending")
			ended = d.replicas.stop(ctx)
		}
		d.setLeft(d.replicas.left(ended))
		close(pushed)
		awaitDone(ctx, supervised, req.timeout)
	}()
	for {
		select {
		case <-done:
			end()
			d.killUnits(supervised)
			return nil
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				d.cutOff(pushed)
				end()
				d.killUnits(supervised)
				return ErrAtOnce
			}
		}
	}
}

// cutOff notes that the last push is ended at once. What it would have left is not asked
// for: the engine may be busy.
func (d *daemon) cutOff(pushed <-chan struct{}) {
	select {
	case <-pushed: // and what is left is known
		return
	default:
	}
	d.mu.Lock()
	replicas := d.setting.spec.Replicas()
	d.mu.Unlock()
	if len(replicas) > 0 {
		d.setLeft(fmt.Errorf("%w, as far as is known: %w", account.ErrOnlyHere, ErrAtOnce))
	}
}

// logStopped is the last line of a log: docker stop shows no other answer.
func (d *daemon) logStopped() {
	left := d.leaves()
	if left == nil {
		d.log.Info("stopped")
		return
	}
	d.log.Warn("stopped: "+cmdline.OneLine(left.Error()), "next", account.Next(left))
}

func (d *daemon) setLeft(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left == nil {
		d.left = err
	}
}

// leaves is what the stop leaves, as far as it is known yet.
func (d *daemon) leaves() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.left
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

// hookRequest asks for the hooks of a point.
type hookRequest struct {
	point hooks.Point
	env   []string
}

// hooksQueued bounds how many hooks may wait: a slow hook of a busy workspace
// must not pile up for ever.
const hooksQueued = 32

// askHooks asks for hooks on behalf of the engine, which does not wait for them.
func (d *daemon) askHooks(point hooks.Point, env []string) {
	select {
	case d.hooks <- hookRequest{point, env}:
	default:
		d.log.Warn("hook left out: too many wait", "point", point)
	}
}

// runHooks runs what askHooks asked for, one after the other.
func (d *daemon) runHooks(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case req := <-d.hooks:
			err := guarded(d.log, func() error { return d.sup.RunHooksWith(ctx, req.point, req.env) })
			if err != nil && ctx.Err() == nil {
				d.log.Warn("hook failed", "point", req.point, "error", err)
			}
		}
	}
}

func (d *daemon) hooksBeforeStop(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errors.New("no time is left before the push"))
	defer cancel()
	if err := d.sup.RunHooks(ctx, hooks.PreStop); err != nil {
		d.log.Warn("hook failed", "point", hooks.PreStop, "error", err)
	}
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

// apply makes s what runs.
func (d *daemon) apply(s setting) error {
	s.only = d.o.Only
	d.redactor.Set(secretValues(s.spec, s.environ))
	for _, m := range s.spec.Mountpoints() {
		f, err := anchor.Open(m.Path, "", 0o755)
		if err != nil {
			d.log.Warn("cannot make a mount point", "path", m.Path, "error", err)
			continue
		}
		f.Close()
	}
	if err := d.sup.Set(s.units(d.rclone)); err != nil {
		return fmt.Errorf("cannot take over the units of the spec: %w", err)
	}
	d.mu.Lock()
	d.setting, d.refused = s, nil
	d.mu.Unlock()
	d.status.changed()
	d.replicas.set(s)
	return nil
}

// leaveNote tells clients where we are.
func (d *daemon) leaveNote(keeper int) error {
	return d.seat.Note(control.Instance{
		PID: os.Getpid(), Start: ProcStart(os.Getpid()), Keeper: keeper, KeeperStart: ProcStart(keeper),
		Spec: d.o.Path, Workspace: WorkspaceOf(d.setting.spec).String(), LogDir: d.logDir, Version: d.o.Version, Since: d.since,
	})
}

// note keeps an error for the status until the next good reload.
func (d *daemon) note(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refused = err
	d.status.changed()
}

// tell says to who waits for the stop how it goes.
func (d *daemon) tell(text string) {
	d.mu.Lock()
	say := d.say
	d.mu.Unlock()
	if say != nil {
		say(text)
	}
}

// names are all units and replicas that a verb can be about.
func (d *daemon) names() []string {
	var names []string
	for _, u := range d.sup.Status() {
		names = append(names, u.Name)
	}
	_, replicas, _ := d.replicas.status()
	for _, r := range replicas {
		names = append(names, r.Name)
	}
	slices.Sort(names)
	return names
}

// HideEnvironment keeps other processes of the same user out of our environment:
// the credentials are in there. An execve undoes it, so each of us does it.
func HideEnvironment() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }

// guarded makes an error of a panic; its trace goes to the log alone.
func guarded(log *slog.Logger, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			log.Error("internal error", "panic", v, "trace", string(debug.Stack()))
			err = cmdline.Internal(v)
		}
	}()
	return f()
}
