package main

import (
	"context"
	"fmt"
	"strings"

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
	if err := d.leaveNote(0); err != nil {
		return err
	}
	return d.once(ctx)
}

// once runs the engine alone until it has restored and pushed.
func (d *daemon) once(ctx context.Context) error {
	s := d.setting
	s.only = d.only
	d.replicas.set(s)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-d.fatal:
			cancel(err)
		case <-ctx.Done():
		}
	}()
	err := d.cycle(ctx)
	flush, done := context.WithTimeout(context.Background(), stopTimeout)
	defer done()
	d.replicas.stop(flush)
	return err
}

func (d *daemon) cycle(ctx context.Context) error {
	if err := d.replicas.awaitSettled(ctx); err != nil {
		return err
	}
	engine := d.replicas.current()
	if engine == nil {
		_, _, why := d.replicas.status()
		return fmt.Errorf("cannot replicate: %s", strings.Join(why, "; "))
	}
	if err := engine.Sync(ctx, d.only, false); err != nil {
		return err
	}
	_, replicas, _ := engine.Status()
	for _, r := range replicas {
		d.p.say("%s: %s, %d files, %d bytes", r.Name, r.State, r.Files, r.Bytes)
	}
	return nil
}

// dryRun says what run would do.
func (p *program) dryRun(path string, sp *spec.Spec, only []string, once bool) error {
	s := setting{spec: sp, folder: workspaceFolder(path), environ: p.environ, only: only}
	fmt.Fprintf(p.out, "workspace %s, spec %s\n", workspaceOf(sp), path)
	get := lookup(p.environ)
	for _, r := range sp.Replicas() {
		if !s.wants(r.Name) {
			continue
		}
		where := r.Remote + ":?"
		t, err := sp.Target(r.Remote, r.RemotePath, get)
		if err == nil {
			where = rclone.Root(t.Remotes[0].Name, t.Remotes[0].Root(), t.Path)
		}
		fmt.Fprintf(p.out, "replica %s: %s %s %s (%s), every %s%s\n", r.Name, r.Path, arrow(r.Direction), where, r.Layout, r.Interval, blocked(err))
	}
	if once {
		return nil
	}
	for _, u := range s.units(noRclone) {
		text := u.Blocked
		if text != "" {
			text = "; blocked: " + text
		}
		if u.Point != "" {
			fmt.Fprintf(p.out, "hook %s at %s: %s%s\n", u.Name, u.Point, strings.Join(u.Argv, " "), text)
			continue
		}
		fmt.Fprintf(p.out, "service %s: %s%s\n", u.Name, strings.Join(u.Argv, " "), text)
	}
	return nil
}

// noRclone stands in for the binary: a dry run starts no process.
func noRclone() (rclone.Binary, error) {
	return rclone.Binary{Path: "rclone", Version: rclone.Needed}, nil
}

func arrow(direction string) string {
	return map[string]string{spec.PushOnly: "->", spec.PullOnly: "<-", spec.Bidirectional: "<->"}[direction]
}

func blocked(err error) string {
	if err == nil {
		return ""
	}
	return "; blocked: " + err.Error()
}
