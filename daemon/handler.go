package daemon

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/wholefile"
)

// The daemon is the control.Handler of its socket.
var _ control.Handler = (*daemon)(nil)

// Sync runs cycles now.
func (d *daemon) Sync(ctx context.Context, req control.SyncRequest, say func(string)) error {
	if err := d.stopping(); err != nil {
		return err
	}
	engine := d.replicas.current()
	if engine == nil {
		_, _, why := d.replicas.status()
		if len(why) > 0 {
			return fmt.Errorf("cannot sync: %s", why[0])
		}
		return hint.Wrap(errors.New("cannot sync: this workspace has no replicas"),
			"enable persistence in %s", d.o.Path)
	}
	_, replicas, _ := engine.Status()
	var known []string
	for _, r := range replicas {
		known = append(known, r.Name)
	}
	for _, name := range req.Names {
		if !slices.Contains(known, name) {
			return control.NotFound(name, known)
		}
	}
	err := engine.Sync(ctx, req.Names, req.AllowDelete)
	_, replicas, _ = engine.Status()
	for _, r := range replicas {
		if len(req.Names) == 0 || slices.Contains(req.Names, r.Name) {
			say(fmt.Sprintf("%s: %s", r.Name, r.State))
		}
	}
	return err
}

// Pause holds a unit or a replica.
func (d *daemon) Pause(ctx context.Context, name string) error {
	return d.act(ctx, "pause", name, replicator.Pause)
}

// Resume lets it go on.
func (d *daemon) Resume(ctx context.Context, name string) error {
	return d.act(ctx, "resume", name, replicator.Resume)
}

// Restart starts a unit anew; a replica runs a cycle.
func (d *daemon) Restart(ctx context.Context, name string) error {
	return d.act(ctx, "restart", name, func(r replicator, ctx context.Context, name string) error {
		return r.Sync(ctx, []string{name}, false)
	})
}

// act finds out whether name is a unit or a replica. Where both have it, the
// unit is meant: `sync` speaks to replicas.
func (d *daemon) act(ctx context.Context, verb, name string, replica func(replicator, context.Context, string) error) error {
	if err := d.stopping(); err != nil {
		return err
	}
	for _, u := range d.sup.Status() {
		if u.Name == name {
			return d.sup.Do(ctx, verb, name)
		}
	}
	_, replicas, _ := d.replicas.status()
	for _, r := range replicas {
		if r.Name == name {
			return replica(d.replicas.current(), ctx, name)
		}
	}
	return control.NotFound(name, d.names())
}

// stopping is the error of a request that comes too late.
func (d *daemon) stopping() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.say != nil {
		return fmt.Errorf("coltecd is %w", control.ErrStopping)
	}
	return nil
}

// Stop asks run for the end and returns when nothing is left. A second one
// waits with the first.
func (d *daemon) Stop(ctx context.Context, req control.StopRequest, say func(string)) error {
	timeout := time.Duration(req.Timeout)
	if timeout <= 0 {
		timeout = StopTimeout
	}
	d.mu.Lock()
	first := d.say == nil
	if first {
		d.say = say
	}
	d.mu.Unlock()
	if first {
		d.stops <- stopRequest{timeout, "asked for"} // has room for the one
	}
	select {
	case <-d.ended:
		return d.leaves()
	case <-ctx.Done(): // who asked went away: the stop goes on
		d.mu.Lock()
		defer d.mu.Unlock()
		if first {
			d.say = func(string) {}
		}
		return context.Cause(ctx)
	}
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
	d.mu.Lock()
	now := d.setting
	d.mu.Unlock()
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
	if err := d.stopping(); err != nil {
		return err
	}
	d.mu.Lock()
	next := d.setting
	d.seen = fingerprint(d.o.Path)
	d.mu.Unlock()
	sp, err := LoadSpec(d.o.Path)
	if err == nil {
		err = sp.ApplyEnvironment(d.o.lookup)
	}
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
	say("reloaded " + d.o.Path)
	return nil
}

// reloadLogged is a reload that nobody waits for; reload has logged an error.
func (d *daemon) reloadLogged() { _ = d.reload(nil, func(string) {}) }

// settle is how long the spec must be quiet before it is read: an editor or a
// restore writes it in several steps.
const settle = 500 * time.Millisecond

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
	quiet := time.NewTimer(settle)
	quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-w.Events:
			if e.Name == d.o.Path {
				quiet.Reset(settle)
			}
		case err := <-w.Errors:
			d.log.Warn("cannot watch the spec", "error", err)
		case <-quiet.C:
			if d.changedSpec() {
				d.reloadLogged()
			}
		}
	}
}

// changedSpec tells whether the spec on the disk is another one than was last
// looked at. One that was removed is probably about to come back.
func (d *daemon) changedSpec() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := fingerprint(d.o.Path)
	return now != "" && now != d.seen
}

// specMost is far above what a spec may have.
const specMost = 1 << 20

// fingerprint stands for the content of the spec, "" without one: a touch is
// no change.
func fingerprint(path string) string {
	b, err := wholefile.Read(path, specMost)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return string(sum[:])
}

// Events tells changes by comparing the status with that before.
func (d *daemon) Events(ctx context.Context, emit func(control.Event) error) error {
	return d.follow(ctx, func() status.Document { return d.Status(ctx) }, emit)
}

// follow is Events with a look at the status of its own.
func (d *daemon) follow(ctx context.Context, look func() status.Document, emit func(control.Event) error) error {
	seen, last := d.status.now(), look()
	for {
		if err := d.status.wait(ctx, seen, untoldEvery); err != nil {
			return err
		}
		if d.over() {
			return nil
		}
		now := time.Now()
		seen = d.status.now()
		doc := look()
		for _, e := range changes(last, doc) {
			e.Time = now
			if err := emit(e); err != nil {
				return err
			}
		}
		last = doc
		if err := pause(ctx, eventsEvery); err != nil {
			return err
		}
	}
}

// over reports whether nothing of coltecd is left but its answers.
func (d *daemon) over() bool {
	select {
	case <-d.ended:
		return true
	default:
		return false
	}
}

const (
	// eventsEvery bounds what somebody who listens costs while much changes.
	eventsEvery = 250 * time.Millisecond
	// untoldEvery is how often somebody who listens hears of what nothing tells: lines
	// that a log lost, what tailscaled says of itself.
	untoldEvery = 2 * time.Second
)

// changes are the events between two documents.
func changes(was, is status.Document) []control.Event {
	var events []control.Event
	add := func(subject, name, from, to, text string) {
		if from != to {
			events = append(events, control.Event{Subject: subject, Name: name, From: from, To: to, Text: text})
		}
	}
	add("workspace", "", string(was.State), string(is.State), "")
	add("lease", "", string(was.Lease.State), string(is.Lease.State), "")
	units := map[string]status.Unit{}
	for _, u := range was.Units {
		units[u.Name] = u
	}
	for _, u := range is.Units {
		add("unit", u.Name, units[u.Name].State, u.State, u.LastError)
		delete(units, u.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(units)) {
		add("unit", name, units[name].State, "", "removed")
	}
	replicas := map[string]status.Replica{}
	for _, r := range was.Replicas {
		replicas[r.Name] = r
	}
	for _, r := range is.Replicas {
		add("replica", r.Name, string(replicas[r.Name].State), string(r.State), r.LastError)
	}
	for _, a := range is.Attention {
		if !slices.Contains(was.Attention, a) {
			events = append(events, control.Event{Subject: "attention", Text: a})
		}
	}
	return events
}
