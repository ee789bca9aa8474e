// Package daemon is a running coltecd, and the keeper that starts it again when it
// crashes. It joins the rooms: the supervisor runs what the spec lists, the engine keeps
// the replicas in their bucket, pkg/control serves the socket. Flags, tables and exit
// codes are cmd/coltecd's.
package daemon

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/inquiry"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/supervisor"
)

// daemon is a running coltecd. Its goroutines: serve (the socket), supervise
// (the units), the engine's (see replication), begin (the order of the start),
// watch (the spec), the hook queue's (what the engine asks for), publish (the status
// file) and run itself, which decides about the end.
type daemon struct {
	o        Options
	lock     *control.Lock
	log      *logbook
	since    time.Time
	lastSeen time.Time   // of a coltecd before this one that was killed, see killed
	rest     *time.Timer // to slim, when nothing was asked for a while
	origin
	inquiry.Answers // about the past

	sup        *supervisor.Supervisor
	replicas   *replication
	rclone     func() (rclone.Binary, error) // looked for once
	hooks      hookQueue
	turns      turns
	agentHooks agentHooks
	metrics    metricsPort
	notifier   *notifier

	rewinds rewindLocks

	begun      atomic.Bool // no hook is to run any more before what waits for the restore
	conditions conditions

	fatal  chan error // to run: an error that ends everything
	end    termination
	conf   configuration
	status tracker // of what Status says
	placed placed  // which replicas were restored when it was asked
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

// newDaemon prepares everything and starts nothing.
func newDaemon(o Options, lock *control.Lock, from origin) (*daemon, error) {
	logDir, err := o.LogDir()
	if err != nil {
		return nil, err
	}
	d := &daemon{
		o: o, lock: lock, since: time.Now(), origin: from, lastSeen: from.killed(logDir),
		fatal: make(chan error, 1), end: newTermination(), status: newTracker(), conditions: newConditions(),
	}
	s := setting{spec: o.Spec, folder: o.folder(), runtime: lock.Dir(), environ: o.Environ, logDir: logDir, ground: takeGround(filepath.Dir(o.Path))}
	d.conf = configuration{path: o.Path, seen: fingerprint(o.Path)}
	// What an earlier node reported is not the state of this one.
	if err := os.Remove(s.tailnetPlace().Report()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if d.log, err = openLogbook(o, logDir, from.foreground); err != nil {
		return nil, err
	}
	d.rclone = sync.OnceValues(func() (rclone.Binary, error) { return rclone.Find(context.Background(), o.lookup) })
	frugal()
	d.rest = time.AfterFunc(restAfter, slim)
	d.sup = supervisor.New(supervisor.Options{
		Sink: func(name string) io.WriteCloser { return d.log.files.Sink(name) }, LogPath: d.log.files.Path, Logger: d.log.Logger,
		Milestones: []string{milestoneRestore}, Marker: markOf(lock.Dir()), Held: filepath.Join(lock.Dir(), heldDir),
		Memory: filepath.Join(lock.Dir(), "units.json"), OnChange: func(supervisor.Change) { d.status.changed() },
	})
	d.metrics = metricsPort{look: func() status.Document { return d.Status(context.Background()) }, log: d.log.Logger}
	d.notifier = d.newNotifier()
	d.hooks = newHookQueue(d.log.Logger, d.sup.RunHooksWith)
	d.Answers.Open = d.openPast
	s.log, s.hooks, s.await, s.changed = d.log.Logger, d.hooks.add, d.sup.RunHooksWith, d.status.changed
	s.turns = &d.turns
	d.conf.now = s
	d.replicas = &replication{build: newReplicator, log: d.log.Logger, fatal: d.fail, changed: d.status.changed}
	return d, nil
}

// fail ends everything because of an error; the first one counts.
func (d *daemon) fail(err error) {
	d.log.Error("cannot go on", "error", err)
	select {
	case d.fatal <- err:
	default:
	}
}

// note keeps an error for the status until the next good reload.
func (d *daemon) note(err error) {
	d.conf.fail(err)
	d.status.changed()
}

// openPast opens the bucket for a client.
func (d *daemon) openPast(_ bool, say func(string)) (inquiry.Query, func(), error) {
	r := inquiry.Query{Alone: inquiry.AtOnce, Say: say}
	if err := d.end.refusal(); err != nil {
		return r, nil, err
	}
	s := d.conf.get()
	if e := d.replicas.current(); e != nil {
		r.Alone, r.Repair = e.Alone, e.Repair
		r.Sync = func(ctx context.Context) error { return e.Sync(ctx, nil, false) }
	}
	if err := s.open(&r); err != nil {
		return r, nil, err
	}
	return r, func() { r.Close(); d.rest.Reset(restAfter) }, nil
}
