package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/devcontainer"
	"github.com/coltec/coltec/pkg/status"
)

const (
	// restorePatience is how long up waits for a restore before it leaves it to
	// coltecd. Far above what a workspace takes that one can work with.
	restorePatience = 10 * time.Minute
	// faultPatience is how long up waits for a fault to pass while nothing is
	// transferred: three tries of coltecd on a store that drops packets. Whoever
	// waits at a terminal wants to know by then.
	faultPatience = 20 * time.Second
	// askEvery is how often coltecd is asked at most, as an exec costs 0.1 s. It answers when
	// something has changed; an older one answers at once.
	askEvery = 500 * time.Millisecond
)

// restoreWatch watches a workspace on its way to be as it was left. What counts as that
// is status.Document's to say.
type restoreWatch struct {
	patience time.Duration // for all of it; 0: no end
	began    time.Time
	stuck    time.Time         // since when: the first fault, or what was transferred after it
	seen     []status.Progress // what was transferred last, by replica
	trouble  string            // the first fault: the next tries differ in a detail only
	late     bool              // patience was over before the restore was
}

// look takes a status in. It reports whether to ask again, and what there is to
// say about that.
func (s *restoreWatch) look(doc status.Document, now time.Time) (again bool, line string) {
	if doc.State != status.Running && doc.State != status.Degraded {
		return false, ""
	}
	// Another holder is no reason to wait: the person at the terminal decides what to do.
	again = doc.Restore() == status.RestoreUnderway
	var parts []string
	faulty := false
	for i, r := range doc.Replicas {
		if s.progressed(i, r.Progress) && !s.stuck.IsZero() {
			s.stuck = now
		}
		switch {
		case doc.RestoreOf(r) != status.RestoreUnderway:
		case r.Progress != nil:
			parts = append(parts, fmt.Sprintf("%s: %d of %d files", r.Name, r.Progress.Files, r.Progress.TotalFiles))
		case r.State == status.ReplicaRetrying:
			faulty = true
			s.trouble = cmp.Or(s.trouble, fmt.Sprintf("%s: trying again: %s", r.Name, r.LastError))
			parts = append(parts, s.trouble)
		}
	}
	if faulty && s.stuck.IsZero() {
		s.stuck = now
	}
	switch {
	case !again:
		return false, ""
	case faulty && now.Sub(s.stuck) > faultPatience:
		return false, ""
	case s.patience > 0 && now.Sub(s.began) > s.patience:
		s.late = true
		return false, "the restore is not finished; it continues in the background: see coltec status"
	case len(parts) == 0:
		return true, "restoring"
	}
	return true, strings.Join(parts, ", ")
}

// progressed reports whether the i-th replica transferred something since the last
// look. A transfer that begins anew counts from its first byte.
func (s *restoreWatch) progressed(i int, now *status.Progress) bool {
	if now == nil {
		return false
	}
	s.seen = slices.Grow(s.seen, i+1)[:max(len(s.seen), i+1)]
	was := s.seen[i]
	s.seen[i] = *now
	return now.Bytes != was.Bytes && now.Bytes > 0 || now.Files != was.Files && now.Files > 0
}

// awaitSettled asks until the restore is over, or does not get further by itself. late
// is true when it would have, and the time for it is over.
func (p *program) awaitSettled(ctx context.Context, t devcontainer.Tools, ct devcontainer.Container, env map[string]string, patience time.Duration, say func(string)) (doc status.Document, late bool, err error) {
	s := &restoreWatch{patience: patience, began: time.Now()}
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	last := ""
	for {
		doc, err = ask(ctx, t, ct, env, doc.Index) // of an older coltecd there is none
		if err != nil {
			return doc, false, err
		}
		again, line := s.look(doc, time.Now())
		if line != last && line != "" {
			last = line
			say(line)
		}
		if !again {
			return doc, s.late, nil
		}
		select {
		case <-ctx.Done():
			return doc, false, context.Cause(ctx)
		case <-tick.C:
		}
	}
}
