package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/preview"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/spec"
)

// once is one full cycle without services: acquire, push, release.
func (p *program) once(ctx context.Context, path string, sp *spec.Spec, only []string) error {
	if len(sp.Replicas()) == 0 {
		p.say("nothing to do: this workspace has no replicas")
		return nil
	}
	seat, err := p.take(path, sp)
	if err != nil {
		return err
	}
	defer seat.Leave()
	d, err := newDaemon(p, path, sp, seat, daemonOptions{only: only, foreground: true})
	if err != nil {
		return err
	}
	listener, err := seat.Listen()
	if err != nil {
		return err
	}
	server := control.NewServer(d, d.log)
	defer server.Close()
	go d.serve(server, listener)
	if err := d.leaveNote(0); err != nil {
		return err
	}
	if err := undumpable(); err != nil {
		d.log.Warn("other processes of this user can read the environment", "error", err)
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM) // the lease is given back first
	defer stop()
	go func() {
		<-d.stops
		stop()
	}()
	defer close(d.ended)
	return d.once(ctx)
}

// once runs one cycle of the engine, without units.
func (d *daemon) once(ctx context.Context) error {
	s := d.setting
	s.only = d.only
	engine, err := newReplicator(s)
	if err != nil || engine == nil {
		return err
	}
	d.replicas.show(engine)
	err = guarded(d.log, func() error { return engine.Once(ctx) })
	_, replicas, attention := engine.Status()
	left, whole := leftBy(err, replicas), ctx.Err() == nil
	d.setLeft(left)
	for _, r := range replicas { // their states are those after the release
		done := r.LastError == "" && r.LastSync != nil && len(r.OnlyHere) == 0
		whole = whole && done
		if done {
			d.p.say("%s: done, %d files, %s", r.Name, r.Files, size(r.Bytes))
		}
	}
	for _, a := range attention { // what status would name
		d.p.say("attention: %s", a)
	}
	switch {
	case !errors.Is(err, account.ErrKept):
		return account.Join(err, onlyHere(replicas))
	case whole:
		return left
	}
	return exit{Code: codeFailed, Cause: account.Join(err, onlyHere(replicas))} // the lease is not all
}

// dryRun says what run would do.
func (p *program) dryRun(ctx context.Context, path string, sp *spec.Spec, only []string, once bool) error {
	logDir, err := p.logDir(path)
	if err != nil {
		return err
	}
	s := setting{spec: sp, folder: workspaceFolder(path), environ: p.environ, only: only, logDir: logDir, log: slog.New(slog.DiscardHandler)}
	fmt.Fprintf(p.out, "workspace %s, spec %s\n", workspaceOf(sp), path)
	err = p.previewReplicas(ctx, s)
	if !once {
		p.previewUnits(s)
	}
	return err
}

// previewReplicas says what a cycle would do with which paths.
func (p *program) previewReplicas(ctx context.Context, s setting) error {
	for _, r := range s.spec.Replicas() {
		if s.wants(r.Name) {
			fmt.Fprintf(p.out, "replica %s: %s %s %s:%s (%s), every %s\n", r.Name, r.Path, arrow(r.Direction), r.Remote, r.RemotePath, r.Layout, r.Interval)
		}
	}
	o, err := s.engineOptions()
	if err != nil {
		return err
	}
	var failed []error
	for _, would := range preview.Of(ctx, preview.Options{
		Workspace: o.Workspace, Replicas: o.Replicas, Host: o.Self.Host, HeadRoot: o.HeadRoot, Connect: o.Connect, Rendered: o.Rendered,
	}) {
		for _, step := range would.Steps {
			fmt.Fprintf(p.out, "replica %s: would %s %s\n", would.Replica, step.Do, strconv.Quote(step.Path))
		}
		if would.Err != nil {
			failed = append(failed, fmt.Errorf("cannot tell what replica %q would do: %w", would.Replica, would.Err))
		}
	}
	return errors.Join(failed...)
}

// previewUnits says what would be started.
func (p *program) previewUnits(s setting) {
	for _, u := range s.units(noRclone) {
		what := "service " + u.Name
		if u.Point != "" {
			what = "hook " + u.Name + " at " + u.Point
		}
		fmt.Fprintf(p.out, "%s: %s", what, strings.Join(u.Argv, " "))
		if u.Blocked != "" {
			fmt.Fprintf(p.out, "; blocked: %s", u.Blocked)
		}
		fmt.Fprintln(p.out)
	}
}

// noRclone stands in for the binary: a dry run starts no process.
func noRclone() (rclone.Binary, error) {
	return rclone.Binary{Path: "rclone", Version: rclone.Needed}, nil
}

func arrow(direction string) string {
	return map[string]string{spec.PushOnly: "->", spec.PullOnly: "<-", spec.Bidirectional: "<->"}[direction]
}
