package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/status"
)

// errNoReplicas is for verbs that are about replicas where there are none.
var errNoReplicas = errors.New("this workspace has no replicas that run")

// Takeover asks for the lease and returns when it is ours.
func (d *daemon) Takeover(ctx context.Context, req control.TakeoverRequest, say func(string)) error {
	if err := d.stopping(); err != nil {
		return err
	}
	engine := d.replicas.current()
	if engine == nil {
		return fmt.Errorf("cannot take over: %w", errNoReplicas)
	}
	if lease, _, _ := engine.Status(); lease.State == status.LeaseWaiting && lease.Holder != nil {
		say(fmt.Sprintf("%s holds the lease since %s", lease.Holder.Host, lease.Holder.Since.Local().Format(time.DateTime)))
	}
	if err := engine.Takeover(ctx, req.Force); err != nil {
		return fmt.Errorf("cannot take over: %w", err)
	}
	if !req.Force {
		say("asked for it; the holder sees that at its next renewal, pushes and hands over")
	}
	return d.awaitLease(ctx, say)
}

// awaitLease returns when the lease is held.
func (d *daemon) awaitLease(ctx context.Context, say func(string)) error {
	tick := time.NewTicker(settledEvery)
	defer tick.Stop()
	for {
		engine := d.replicas.current()
		if engine == nil {
			return fmt.Errorf("cannot take over: %w", errNoReplicas)
		}
		switch lease, _, _ := engine.Status(); lease.State {
		case status.LeaseHeld, status.LeaseBestEffort:
			say(fmt.Sprintf("the lease is here, epoch %d", lease.Epoch))
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-d.ended:
			return control.ErrStopping
		case <-tick.C:
		}
	}
}

// FinishAdoption ends the watch over what an earlier tool left.
func (d *daemon) FinishAdoption(ctx context.Context, req control.SyncRequest, say func(string)) error {
	if err := d.stopping(); err != nil {
		return err
	}
	engine := d.replicas.current()
	if engine == nil {
		return fmt.Errorf("cannot finish: %w", errNoReplicas)
	}
	if err := engine.FinishAdoption(ctx, req.Names); err != nil {
		return hint.Wrap(fmt.Errorf("cannot finish: %w", err), "it is written with the lease held: see coltecd status")
	}
	say("done: the plain objects stay where they are, and are not looked at any more")
	return nil
}
