package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/status"
)

// Takeover asks for the lease and returns when it is ours.
func (d *daemon) Takeover(ctx context.Context, req control.TakeoverRequest, say func(string)) error {
	if err := d.end.refusal(); err != nil {
		return err
	}
	engine := d.replicas.current()
	if engine == nil {
		return fmt.Errorf("cannot take over: %w", errNoReplicas)
	}
	if lease, _, _ := engine.Status(); lease.State == status.LeaseWaiting && lease.Holder != nil {
		say(lease.Holder.String())
	}
	if err := engine.Takeover(ctx, req.Force); err != nil {
		return fmt.Errorf("cannot take over: %w", err)
	}
	return d.awaitLease(ctx, say)
}

// awaitLease returns when the lease is held, and says meanwhile what is waited for.
func (d *daemon) awaitLease(ctx context.Context, say func(string)) error {
	w := waitReport{since: time.Now()}
	for asked := false; ; {
		seen := d.status.now()
		engine := d.replicas.current()
		if engine == nil {
			return fmt.Errorf("cannot take over: %w", errNoReplicas)
		}
		lease, _, attention := engine.Status()
		switch lease.State {
		case status.LeaseHeld, status.LeaseBestEffort:
			say(fmt.Sprintf("this machine now holds the lease, epoch %d", lease.Epoch))
			return nil
		}
		if asked && lease.State == status.LeaseWaiting && lease.Request == nil && lease.Holder != nil {
			return hint.Wrap(fmt.Errorf("cannot take over: %s, which asked for it too, has got it", lease.Holder.Host), "ask that one: coltecd takeover")
		}
		asked = asked || lease.Request != nil
		if line := w.line(lease, attention, time.Now()); line != "" {
			say(line)
		}
		if err := d.status.wait(ctx, seen, sayEvery); err != nil {
			return err
		}
		if d.end.isOver() {
			return control.ErrStopping
		}
	}
}

// sayEvery is how often the report for a client that waits for the lease is renewed when
// nothing changes: it is about elapsed time, too.
const sayEvery = time.Second

// stillEvery is how often a client that waits for the lease is told that it still does,
// when there is no other news.
const stillEvery = 10 * time.Second

// waitReport is what a client that waits for the lease was told.
type waitReport struct {
	since    time.Time // when it began
	lastSaid time.Time // when something was said last
	stage    string    // what that was about
}

// line is the next line of progress; "" while there is nothing to say.
func (w *waitReport) line(lease status.Lease, attention []string, now time.Time) string {
	stage, text := stageOf(lease, attention, now)
	switch {
	case stage == "":
		return ""
	case stage != w.stage:
	case now.Sub(w.lastSaid) < stillEvery:
		return ""
	default:
		text = fmt.Sprintf("still waiting, for %s: %s", cmdline.Span(now.Sub(w.since)), text)
	}
	w.stage, w.lastSaid = stage, now
	return text
}

// stageOf says how far a request for the lease is: what stage that is, and in words.
func stageOf(lease status.Lease, attention []string, now time.Time) (stage, text string) {
	r := lease.Request
	switch {
	case lease.State != status.LeaseWaiting || lease.Holder == nil:
		if len(attention) == 0 {
			return "", ""
		}
		return attention[0], attention[0]
	case r == nil: // not looked at again yet
		return "", ""
	}
	host := lease.Holder.Host
	switch {
	case r.Seen:
		return "seen", host + " has seen the request: it pushes what it has and hands over"
	case r.Renewed == nil:
		return "asked", fmt.Sprintf("asked at %s", r.Time.Local().Format(time.TimeOnly))
	case r.Due == nil:
		return "asked", fmt.Sprintf("asked at %s; the last renewal of %s was %s ago, it sees the request at its next one",
			r.Time.Local().Format(time.TimeOnly), host, cmdline.Span(now.Sub(*r.Renewed)))
	case now.Before(r.Due.Add(overdue)):
		return "asked", fmt.Sprintf("asked at %s; the last renewal of %s was %s ago, it sees the request at its next one, within about %s",
			r.Time.Local().Format(time.TimeOnly), host, cmdline.Span(now.Sub(*r.Renewed)), cmdline.Span(max(r.Due.Sub(now), time.Second)))
	}
	return "silent", fmt.Sprintf("%s has not renewed the lease for %s: it is free in about %s if that stays so, or take it now: coltecd takeover --force",
		host, cmdline.Span(now.Sub(*r.Renewed)), cmdline.Span(max(r.Free.Sub(now), time.Second)))
}

// overdue is how late a renewal may be before we call the holder silent: it takes time to
// reach the store, and we see it at our next look.
const overdue = 6 * time.Second

// FinishAdoption ends the watch over what an earlier tool left.
func (d *daemon) FinishAdoption(ctx context.Context, req control.SyncRequest, say func(string)) error {
	if err := d.end.refusal(); err != nil {
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
