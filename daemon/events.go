package daemon

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/status"
)

// Await gives the status after a change.
func (d *daemon) Await(ctx context.Context, req control.AwaitRequest, _ func(string)) (status.Document, error) {
	return d.await(ctx, req.After, func() status.Document { return d.Status(ctx) })
}

// await is Await with a look at the status of its own.
func (d *daemon) await(ctx context.Context, after uint64, look func() status.Document) (status.Document, error) {
	if err := d.status.wait(ctx, after, unnotifiedEvery); err != nil {
		return status.Document{}, err
	}
	return look(), nil
}

// Events tells changes by comparing the status with that before.
func (d *daemon) Events(ctx context.Context, emit func(control.Event) error) error {
	return d.follow(ctx, func() status.Document { return d.Status(ctx) }, emit)
}

// follow is Events with a look at the status of its own.
func (d *daemon) follow(ctx context.Context, look func() status.Document, emit func(control.Event) error) error {
	seen, last := d.status.now(), look()
	for {
		if err := d.status.wait(ctx, seen, unnotifiedEvery); err != nil {
			return err
		}
		if d.end.isOver() {
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

const (
	// eventsEvery bounds what a listener costs while much changes.
	eventsEvery = 250 * time.Millisecond
	// unnotifiedEvery is how often a listener learns of changes that come without notice: lines
	// that a log lost, what tailscaled says of itself.
	unnotifiedEvery = 2 * time.Second
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
	agents := map[string]status.Agent{}
	for _, a := range was.Agents {
		agents[a.Name] = a
	}
	for _, a := range is.Agents {
		add("agent", a.Name, string(agents[a.Name].State), string(a.State), "")
	}
	for _, a := range is.Attention {
		if !slices.Contains(was.Attention, a) {
			events = append(events, control.Event{Subject: "attention", Text: a})
		}
	}
	return events
}
