package engine

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// pass is one worker's work on a replica: copies of all that it reads, and the report
// that it gives back. The loop takes that over when the worker is done, and goes on
// owning everything else.
type pass struct {
	*env
	scope.Replica
	connected
	report

	lineage string    // of the head under which the prefix was claimed first
	ahead   *foreseen // what was read before the lease was there
	whole   bool      // the whole tree is to be walked
	watched bool      // the pass is due because the watch saw something
	allowed bool      // somebody said that many deletions are right
	hints   *hints
	waits   *undecided
	cost    *meter
	show    func(change func(*status.Replica)) // in Status, at once
}

// layoutOf gives the layout of a replica's prefix.
func layoutOf(r *scope.Replica, dir string, remote scope.Remote) store.Layout {
	if r.Layout == "mirror" {
		return store.NewMirror(remote)
	}
	return store.NewSnapshot(remote, filepath.Join(dir, "manifests"))
}

// progress reports a transfer to status.
func (p *pass) progress(t rclone.Progress) { showProgress(p.show)(t) }

// showProgress reports transfers to status.
func showProgress(show func(change func(*status.Replica))) store.Progress {
	return func(t rclone.Progress) {
		show(func(r *status.Replica) {
			r.Progress = &status.Progress{
				Files: int64(t.Files), TotalFiles: int64(t.TotalFiles), Bytes: t.Bytes, TotalBytes: t.TotalBytes,
				ETASeconds: t.ETA.Seconds(),
			}
		})
	}
}

// notesMax bounds how many paths are named; the rest is counted.
const notesMax = 5

// unknownNotes makes sentences of paths that could not be seen or placed.
func unknownNotes(name string, unknown []localfs.Unknown) []string {
	var out, odd []string
	n := 0
	for _, u := range unknown {
		switch {
		case u.Quiet:
			continue
		case u.Reason == localfs.ReasonKind && !u.Unread:
			odd = append(odd, u.Path)
			continue
		}
		if n++; n <= notesMax {
			out = append(out, fmt.Sprintf("replica %s: %q is not synced: %s", name, u.Path, u.Reason))
		}
	}
	switch {
	case len(odd) == 1:
		out = append(out, fmt.Sprintf("replica %s: %q is not synced: %s", name, odd[0], localfs.ReasonKind))
	case len(odd) > 1:
		out = append(out, fmt.Sprintf("replica %s: %s are not synced: %s", name, severalNames(odd), localfs.ReasonKind))
	}
	if n > notesMax {
		out = append(out, fmt.Sprintf("replica %s: and %d more paths are not synced", name, n-notesMax))
	}
	return out
}

// severalNames names the first of several paths, and says how many more there are.
func severalNames(paths []string) string {
	const most = 3
	var named []string
	for _, p := range paths[:min(most, len(paths))] {
		named = append(named, fmt.Sprintf("%q", p))
	}
	last := len(named) - 1
	if more := len(paths) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(named, ", "), more)
	}
	return strings.Join(named[:last], ", ") + " and " + named[last]
}

// unread are those that cannot be read. What moves is in the account, and a person is
// told when it does so for long; a line that is not whole goes by itself.
func unread(unknown []localfs.Unknown) []localfs.Unknown {
	return slices.DeleteFunc(slices.Clone(unknown), func(u localfs.Unknown) bool { return u.Moving || !u.Rests.IsZero() })
}
