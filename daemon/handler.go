package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/engine"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/inquiry"
	"github.com/coltec/coltec/pkg/status"
)

// The daemon is the control.Handler of its socket.
var _ control.Handler = (*daemon)(nil)

// Sync runs cycles now.
func (d *daemon) Sync(ctx context.Context, req control.SyncRequest, say func(string)) error {
	if err := d.end.refusal(); err != nil {
		return err
	}
	engine, err := d.replicating("sync")
	if err != nil {
		return err
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
	err = engine.Sync(ctx, req.Names, req.AllowDelete)
	_, replicas, _ = engine.Status()
	for _, r := range replicas {
		if len(req.Names) == 0 || slices.Contains(req.Names, r.Name) {
			state := r.State
			if err == nil && state == status.ReplicaSyncing {
				state = status.ReplicaSynced // all was in the bucket; the next cycle has begun since
			}
			say(fmt.Sprintf("%s: %s", r.Name, state))
		}
	}
	return err
}

// replicating is the engine that a verb needs.
func (d *daemon) replicating(verb string) (replicator, error) {
	if engine := d.replicas.current(); engine != nil {
		return engine, nil
	}
	if _, _, why := d.replicas.status(); len(why) > 0 {
		return nil, fmt.Errorf("cannot %s: %s", verb, why[0])
	}
	return nil, hint.Wrap(fmt.Errorf("cannot %s: this workspace has no replicas", verb), "enable persistence in %s", d.o.Path)
}

// Checkpoint gives what is here now a name.
func (d *daemon) Checkpoint(ctx context.Context, req control.CheckpointRequest, say func(string)) (control.Checkpoint, error) {
	if err := d.end.refusal(); err != nil {
		return control.Checkpoint{}, err
	}
	engine, err := d.replicating("make a checkpoint")
	if err != nil {
		return control.Checkpoint{}, err
	}
	made, err := engine.Checkpoint(ctx, req.Name, req.Text)
	if err != nil && made.Name != "" { // an error comes without the answer
		say(fmt.Sprintf("checkpoint %s is generation %d", made.Name, made.Number))
	}
	return inquiry.Checkpoint(made), err
}

// Collect looks for garbage now.
func (d *daemon) Collect(ctx context.Context, _ control.CollectRequest, _ func(string)) (control.Collected, error) {
	if err := d.end.refusal(); err != nil {
		return control.Collected{}, err
	}
	engine, err := d.replicating("look for garbage")
	if err != nil {
		return control.Collected{}, err
	}
	done, err := engine.Collect(ctx)
	return control.Collected(done), err
}

// RemoveCheckpoint takes a name away.
func (d *daemon) RemoveCheckpoint(ctx context.Context, name string) error {
	if err := d.end.refusal(); err != nil {
		return err
	}
	engine, err := d.replicating("remove a checkpoint")
	if err != nil {
		return err
	}
	return engine.RemoveCheckpoint(ctx, name)
}

// Join merges what was done in a fork with what is here.
func (d *daemon) Join(ctx context.Context, req control.JoinRequest, say func(string)) (control.Joined, error) {
	if err := d.end.refusal(); err != nil {
		return control.Joined{}, err
	}
	running, err := d.replicating("join")
	if err != nil {
		return control.Joined{}, err
	}
	done, err := running.Join(ctx, engine.JoinOptions{
		Fork: req.Fork, DryRun: req.DryRun, All: req.All, Unrelated: req.Unrelated, AllowDelete: req.AllowDelete,
	})
	if err != nil && done.Checkpoint != "" { // an error comes without the answer
		say(fmt.Sprintf("what was here before is the checkpoint %s; join again to go on", done.Checkpoint))
	}
	return toJoined(done), err
}

// ReportAgent takes what an agent says it does.
func (d *daemon) ReportAgent(_ context.Context, req control.AgentReport, _ func(string)) error {
	state, is := status.AgentStates[req.State]
	if !is {
		return fmt.Errorf("%q is no state of an agent", req.State)
	}
	var known []string
	for _, a := range d.conf.get().spec.Agents {
		known = append(known, a.Name)
	}
	if !slices.Contains(known, req.Agent) {
		err := fmt.Errorf("the spec lists no agent %q: %w", req.Agent, control.ErrNotFound)
		if len(known) == 0 {
			return hint.Wrap(err, "it lists none: agents: [%s]", req.Agent)
		}
		return hint.Wrap(err, "it lists %s", strings.Join(known, ", "))
	}
	d.turns.say(req.Agent, state, time.Now())
	d.status.changed()
	return nil
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

// act finds out whether name is a unit or a replica. Where both have it, it means
// the unit: `sync` is for replicas.
func (d *daemon) act(ctx context.Context, verb, name string, replica func(replicator, context.Context, string) error) error {
	if err := d.end.refusal(); err != nil {
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
			if engine := d.replicas.current(); engine != nil { // a reload may have taken it away since
				return replica(engine, ctx, name)
			}
		}
	}
	return control.NotFound(name, d.names())
}

// Stop asks run for the end and returns when nothing is left. A second one
// waits with the first.
func (d *daemon) Stop(ctx context.Context, req control.StopRequest, say func(string)) error {
	timeout := time.Duration(req.Timeout)
	if timeout <= 0 {
		timeout = StopTimeout
	}
	first := d.end.request(timeout, say)
	select {
	case <-d.end.over:
		return d.end.result()
	case <-ctx.Done(): // the client went away: the stop continues
		if first {
			d.end.mute()
		}
		return context.Cause(ctx)
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

func toJoined(j engine.Joined) control.Joined {
	out := control.Joined{
		Fork: j.Fork, From: j.From, To: j.To, Checkpoint: j.Checkpoint, Conflicts: j.Conflicts, Left: j.Left, Notes: j.Notes,
	}
	for _, x := range j.Paths {
		out.Paths = append(out.Paths, control.Joining{Replica: x.Replica, Path: x.Path, What: x.What})
	}
	return out
}
