package status

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// FaultPatience is how long a [Watch] waits for a fault to pass while nothing is
// transferred: three tries of coltecd on a store that drops packets. Whoever waits at a
// terminal wants to know by then.
const FaultPatience = 20 * time.Second

// Watch follows a workspace on its way to be as it was left: until it is restored and the
// hooks after that have run, or it does not get further by itself. It reads no clock.
type Watch struct {
	Patience time.Duration // for all of it; 0: no end
	Began    time.Time
	// Closed are the paths that the user of coltecd cannot write: what fails there does not
	// pass by itself, so it is not waited for.
	Closed []string

	late    bool
	stuck   time.Time  // since when: the first fault, or what was transferred after it
	seen    []Progress // what was transferred last, by replica
	trouble string     // the first fault: the next tries differ in a detail only
}

// Late reports whether patience was over before the workspace was as it was left.
func (w *Watch) Late() bool { return w.late }

// Look takes a document in. It reports whether to ask again, and what there is to say about
// that.
func (w *Watch) Look(doc Document, now time.Time) (again bool, line string) {
	if doc.State != Running && doc.State != Degraded {
		return false, ""
	}
	if doc.Restore() == RestoreDone {
		return w.lookAtHooks(doc, now)
	}
	// Another holder is no reason to wait: the person at the terminal decides what to do.
	again = doc.Restore() == RestoreUnderway
	var parts []string
	faulty, hopeless := false, true
	for i, r := range doc.Replicas {
		if w.progressed(i, r.Progress) && !w.stuck.IsZero() {
			w.stuck = now
		}
		switch {
		case doc.RestoreOf(r) != RestoreUnderway:
			continue
		case r.Progress != nil:
			parts = append(parts, fmt.Sprintf("%s: %d of %d files", r.Name, r.Progress.Files, r.Progress.TotalFiles))
		case r.State == ReplicaRetrying:
			faulty = true
			w.trouble = cmp.Or(w.trouble, fmt.Sprintf("%s: trying again: %s", r.Name, r.LastError))
			parts = append(parts, w.trouble)
		}
		hopeless = hopeless && r.State == ReplicaRetrying && slices.Contains(w.Closed, path.Clean(r.Path))
	}
	if faulty && w.stuck.IsZero() {
		w.stuck = now
	}
	switch {
	case !again, hopeless:
		return false, ""
	case faulty && now.Sub(w.stuck) > FaultPatience:
		return false, ""
	case w.over(now):
		return false, "the restore is not finished; it continues in the background: see coltec status"
	case len(parts) == 0:
		return true, "restoring"
	}
	return true, strings.Join(parts, ", ")
}

// lookAtHooks is Look once all is restored.
func (w *Watch) lookAtHooks(doc Document, now time.Time) (again bool, line string) {
	if !doc.Beginning {
		return false, ""
	}
	var parts []string
	for _, u := range doc.Units {
		if u.Kind == "hook" && u.PID != 0 && u.Since != nil {
			parts = append(parts, fmt.Sprintf("hook %s runs, since %s", u.Name, u.Since.Local().Format(time.TimeOnly)))
		}
	}
	line = strings.Join(parts, ", ")
	if w.over(now) {
		return false, cmp.Or(line, "hooks are still to run") + "; it continues in the background: see coltec status"
	}
	return true, line
}

// over reports whether patience is.
func (w *Watch) over(now time.Time) bool {
	w.late = w.late || w.Patience > 0 && now.Sub(w.Began) > w.Patience
	return w.late
}

// progressed reports whether the i-th replica transferred something since the last
// look. A transfer that begins anew counts from its first byte.
func (w *Watch) progressed(i int, now *Progress) bool {
	if now == nil {
		return false
	}
	w.seen = slices.Grow(w.seen, i+1)[:max(len(w.seen), i+1)]
	was := w.seen[i]
	w.seen[i] = *now
	return now.Bytes != was.Bytes && now.Bytes > 0 || now.Files != was.Files && now.Files > 0
}
