package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os/signal"
	"syscall"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/preview"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/unit"
)

// Once is one full cycle without services: acquire, push, release.
func Once(ctx context.Context, o Options) error {
	if len(o.Spec.Replicas()) == 0 {
		o.say("nothing to do: this workspace has no replicas")
		return nil
	}
	lock, err := o.acquire()
	if err != nil {
		return err
	}
	defer lock.Release()
	d, err := newDaemon(o, lock, origin{foreground: true})
	if err != nil {
		return err
	}
	server := control.NewServer(d, d.log.Logger)
	defer server.Close()
	if err := d.listen(server, lock); err != nil {
		return err
	}
	if err := d.writeInstance(0); err != nil {
		return err
	}
	if err := HideEnvironment(); err != nil {
		d.log.Warn("other processes of this user can read the environment", "error", err)
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT) // the lease is given back first, whatever number of them comes
	defer stop()
	go func() {
		<-d.end.requests
		stop()
	}()
	defer close(d.end.over)
	return d.once(ctx)
}

// once runs one cycle of the engine, without units.
func (d *daemon) once(ctx context.Context) error {
	s := d.conf.get()
	s.only, s.await = d.o.Only, nil // no unit runs, and no hook
	engine, err := newReplicator(s)
	if err != nil || engine == nil {
		return err
	}
	d.replicas.show(engine)
	err = guarded(d.log.Logger, func() error { return engine.Once(ctx) })
	_, replicas, attention := engine.Status()
	left, whole := outcomeOf(err, replicas), ctx.Err() == nil
	d.end.setOutcome(left)
	for _, r := range replicas { // their states are those after the release
		done := r.LastError == "" && r.LastSync != nil && len(r.OnlyHere) == 0
		whole = whole && done
		if done {
			d.o.say("%s: done, %s, %s", r.Name, hint.Count(int(r.Files), "file", "files"), cmdline.Size(r.Bytes))
		}
	}
	for _, a := range attention { // what status would name
		d.o.say("attention: %s", a)
	}
	switch {
	case !errors.Is(err, account.ErrKept):
		return account.Join(err, status.OnlyHere(replicas))
	case whole:
		return left
	}
	return cmdline.Exit{Code: cmdline.CodeFailed, Cause: account.Join(err, status.OnlyHere(replicas))} // the lease is not all
}

// Preview is what a run would do.
type Preview struct {
	Replicas []spec.Sync // that would run
	Steps    []preview.Preview
	Units    []unit.Unit
}

// Plan returns what a run would do, and changes nothing. The units are in it even where
// the replicas cannot be found out.
func Plan(ctx context.Context, o Options) (Preview, error) {
	logDir, err := o.LogDir()
	if err != nil {
		return Preview{}, err
	}
	s := setting{spec: o.Spec, folder: o.folder(), environ: o.Environ, only: o.Only, logDir: logDir, log: slog.New(slog.DiscardHandler)}
	p := Preview{Units: s.units(noRclone)}
	for _, r := range s.spec.Replicas() {
		if s.wants(r.Name) {
			p.Replicas = append(p.Replicas, r)
		}
	}
	e, err := s.engineOptions()
	if err != nil {
		return p, err
	}
	p.Steps = preview.Of(ctx, preview.Options{
		Workspace: e.Workspace, Replicas: e.Replicas, Host: e.Self.Host, HeadRoot: e.HeadRoot, Connect: e.Connect, Rendered: e.Rendered,
	})
	return p, nil
}

// noRclone stands in for the binary: a dry run starts no process.
func noRclone() (rclone.Binary, error) {
	return rclone.Binary{Path: "rclone", Version: rclone.Needed}, nil
}
