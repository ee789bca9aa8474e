package daemon

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/spec"
)

// apply makes s what runs.
func (d *daemon) apply(s setting) error {
	s.only = d.o.Only
	d.log.redactor.Set(secretValues(s.spec, s.environ))
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
	d.conf.set(s)
	d.metrics.set(s.spec.Metrics.Listen)
	d.status.changed()
	d.replicas.set(s)
	return nil
}

// Reload reads the spec again. One that is not valid is refused, and what runs
// goes on.
func (d *daemon) Reload(_ context.Context, say func(string)) error {
	return d.reload(nil, say)
}

// retryPatience bounds how long a retry waits for the engine: one that is busy is
// trying already.
const retryPatience = time.Second

// Provide takes variables over, those that the spec asks for alone. When they are
// what is known, what failed with them is tried again: something else may have
// been mended.
func (d *daemon) Provide(ctx context.Context, req control.ProvideRequest, say func(string)) error {
	d.tryAgain()
	now := d.conf.get()
	get := lookup(now.environ)
	var changed []string
	for _, name := range Wanted(now.spec) {
		was, _ := get(name)
		if v := req.Variables[name]; v != "" && v != was {
			changed = append(changed, name+"="+v)
		}
	}
	if len(changed) > 0 || d.replicas.stale(now) {
		return d.reload(changed, say)
	}
	if engine := d.replicas.current(); engine != nil {
		ctx, cancel := context.WithTimeout(ctx, retryPatience)
		defer cancel()
		_ = engine.Retry(ctx)
	}
	return nil
}

// Wanted are the variables that start may hand to a running coltecd.
func Wanted(sp *spec.Spec) []string {
	names := []string{hostVar}
	for _, v := range sp.Variables() {
		names = append(names, v.Name)
	}
	return names
}

// reload takes over the spec on the disk, and further variables.
func (d *daemon) reload(vars []string, say func(string)) error {
	if err := d.end.refusal(); err != nil {
		return err
	}
	next := d.conf.look()
	sp, err := ReadSpec(d.o.Path, d.o.lookup)
	if err == nil && WorkspaceOf(sp).String() != WorkspaceOf(next.spec).String() {
		err = hint.Wrap(fmt.Errorf("cannot take over the spec: it now names workspace %s, this is %s", WorkspaceOf(sp), WorkspaceOf(next.spec)),
			"to make this another workspace, run %s stop and %s start", d.o.Name, d.o.Name)
	}
	if err != nil {
		d.log.Error("spec refused; what runs keeps running", "error", err)
		d.note(fmt.Errorf("the spec on the disk is refused, the last good one is in force: %w", err))
		return err
	}
	next.spec = sp
	next.environ = slices.Concat(next.environ, vars)
	if err := d.apply(next); err != nil {
		d.note(err)
		return err
	}
	d.log.Info("reloaded", "spec", d.o.Path)
	d.tryAgain() // the hook may be another one
	say("reloaded " + d.o.Path)
	return nil
}

// reloadLogged is a reload that nobody waits for; reload has logged an error.
func (d *daemon) reloadLogged() { _ = d.reload(nil, func(string) {}) }

// debounce is how long the spec must be quiet before it is read: an editor or a
// restore writes it in several steps.
const debounce = 500 * time.Millisecond

// watch reloads when the spec changes. Without inotify `reload` still works.
func (d *daemon) watch(ctx context.Context) {
	w, err := fsnotify.NewWatcher()
	if err == nil {
		defer w.Close()
		err = w.Add(filepath.Dir(d.o.Path)) // the directory: a rename replaces the file
	}
	if err != nil {
		d.log.Warn("cannot watch the spec, use reload after a change", "error", err)
		return
	}
	quiet := time.NewTimer(debounce)
	quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-w.Events:
			if e.Name == d.o.Path {
				quiet.Reset(debounce)
			}
		case err := <-w.Errors:
			d.log.Warn("cannot watch the spec", "error", err)
		case <-quiet.C:
			if d.conf.changed() {
				d.reloadLogged()
			}
		}
	}
}
