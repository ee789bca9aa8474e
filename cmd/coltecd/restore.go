package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/status"
)

// restorePatience is how long start --wait waits when nothing is said: as long as
// coltec up does. Far above what a workspace takes that one can work with, and an end
// where the store is not reached.
const restorePatience = 10 * time.Minute

// awaitRestore waits until every replica is restored, with progress for people, and
// for patience at most; 0 has no end. What counts as restored is status.Document's to
// say. Another holder is waited for too: its lease runs out when it is silent.
func (p *program) awaitRestore(ctx context.Context, path string, patience time.Duration) error {
	i, ok, err := p.find(path)
	if err != nil || !ok {
		return errors.Join(err, errEndedBefore(ok))
	}
	client := control.Dial(i.Socket)
	asking, cancel := bounded(ctx, patience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var doc status.Document
	var last string
	why := map[string]string{} // what went wrong last, by replica: a new try has no error yet
	for {
		now, err := client.Status(asking)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case asking.Err() != nil:
			return p.notInTime(doc, why, patience)
		case err != nil:
			return err
		}
		doc = now
		for _, r := range doc.Replicas {
			why[r.Name] = cmp.Or(r.LastError, why[r.Name])
		}
		if line := restoreLine(doc); line != last && line != "" {
			last = line
			p.say("%s", line)
		}
		switch doc.Restore() {
		case status.RestoreDone:
			return nil
		case status.RestoreStuck:
			return p.notRestored(doc)
		}
		select {
		case <-asking.Done():
		case <-tick.C:
		}
	}
}

// bounded is ctx with an end after d; 0 adds none.
func bounded(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

func errEndedBefore(ok bool) error {
	if ok {
		return nil
	}
	return errors.New("coltecd ended before the restore was complete")
}

// notInTime is the error of a restore that continues after the time for it. why has what
// went wrong with a replica that is being tried again.
func (p *program) notInTime(doc status.Document, why map[string]string, patience time.Duration) error {
	doc.Replicas = slices.Clone(doc.Replicas)
	for i := range doc.Replicas {
		r := &doc.Replicas[i]
		r.LastError = cmp.Or(r.LastError, why[r.Name])
	}
	err := errors.New(unrestored(doc, " within "+cmdline.Span(patience)) + "; it continues in the background")
	next := p.name + " start --wait --timeout 0 waits until it is done"
	if doc.Restore() == status.RestoreElsewhere {
		next = "stop it there, or take it over: " + p.name + " takeover"
	}
	return exit{Code: codeTimeout, Cause: hint.Wrap(err, "see %s status; %s", p.name, next)}
}

// notRestored is the error of a restore that needs a person.
func (p *program) notRestored(doc status.Document) error {
	return hint.Wrap(errors.New(unrestored(doc, "")), "see %s status", p.name)
}

// unrestored describes what is not restored and why, and what is.
func unrestored(doc status.Document, when string) string {
	var done, not []string
	for _, r := range doc.Replicas {
		if doc.RestoreOf(r) == status.RestoreDone {
			done = append(done, r.Name)
		} else {
			not = append(not, r.Name+": "+whyNot(doc, r))
		}
	}
	text := "not restored" + when
	if len(done) > 0 {
		text = "restored: " + strings.Join(done, ", ") + "; " + text
	}
	if len(not) > 0 {
		text += ": " + strings.Join(not, "; ")
	}
	return text
}

// whyNot returns why a replica is not restored.
func whyNot(doc status.Document, r status.Replica) string {
	h := doc.Lease.Holder
	switch restore := doc.RestoreOf(r); {
	case restore == status.RestoreElsewhere && h != nil:
		return h.String()
	case r.Progress != nil:
		return progressOf(r.Progress)
	case r.LastError != "":
		return cmdline.OneLine(r.LastError)
	case len(r.Unplaced) > 0:
		return strings.Join(r.Unplaced, ", ")
	default:
		return string(r.State)
	}
}

// restoreLine is one line of progress; "" when there is nothing to say.
func restoreLine(doc status.Document) string {
	if h := doc.Lease.Holder; doc.Lease.State == status.LeaseWaiting && h != nil {
		if doc.Lease.Doubt != "" {
			return "waiting: " + doc.Lease.Doubt
		}
		// Without the time it was last seen: a line a renewal would be noise.
		return fmt.Sprintf("waiting: %s; it is free when that one stops, or is silent for its ttl", h)
	}
	var parts []string
	for _, r := range doc.Replicas {
		switch {
		case r.Progress != nil:
			parts = append(parts, r.Name+": "+progressOf(r.Progress)+timeLeft(r.Progress))
		case r.State == status.ReplicaRetrying:
			parts = append(parts, r.Name+": "+cmdline.OneLine(r.LastError)+", trying again")
		}
	}
	return strings.Join(parts, "; ")
}

func progressOf(p *status.Progress) string {
	return fmt.Sprintf("%d of %d files, %s of %s", p.Files, p.TotalFiles, cmdline.Size(p.Bytes), cmdline.Size(p.TotalBytes))
}

func timeLeft(p *status.Progress) string {
	if p.ETASeconds <= 0 {
		return ""
	}
	return ", " + cmdline.Span(time.Duration(p.ETASeconds*float64(time.Second))) + " left"
}
