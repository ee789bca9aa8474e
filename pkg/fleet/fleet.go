// Package fleet puts what is known of many workspaces, on this host and in a
// bucket, into one row each.
package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// Local is what this host knows of a workspace.
type Local struct {
	Workspace string // org/project/env
	Folder    string
	Container string // short id; "" without one
	Running   bool
	Status    *status.Document // the last one that coltecd wrote; nil: none
	Written   time.Time        // when that was
}

// Seen is a head in the bucket, and when it was last written by the store's clock.
type Seen struct {
	Head store.Head
	At   time.Time
}

// State of a workspace, as a row shows it: coltecd's own, or one of these.
const (
	Down      = "down"      // here, and its container does not run
	Silent    = "silent"    // it runs and coltecd has not written for a while
	Elsewhere = "elsewhere" // held on another machine
	Free      = "free"      // in the bucket, and nobody holds it
	Lost      = "lost"      // held in the bucket, and not seen for longer than its lease
)

// Row is one workspace.
type Row struct {
	Workspace string     `json:"workspace"`
	State     string     `json:"state"`
	Where     string     `json:"where"`           // host that holds it, or "here"
	Folder    string     `json:"folder"`          // on this host, if it is here
	Container string     `json:"container"`       // on this host
	Since     *time.Time `json:"since,omitempty"` // of coltecd, or of the lease
	LastSeen  *time.Time `json:"last_seen,omitempty"`
	Lag       float64    `json:"lag_seconds"` // age of the oldest change that is not in the bucket
	Attention []string   `json:"attention"`
}

// silence is for how long a running coltecd may not write its status file
// before that is said. It writes when something changed, and each renewal of the
// lease does.
const silence = 5 * time.Minute

// Rows joins both, sorted by workspace. A workspace that is here in two folders
// has two rows.
func Rows(local []Local, seen []Seen, now time.Time) []Row {
	var rows []Row
	here := map[string]bool{}
	heads := map[string]Seen{}
	for _, s := range seen {
		heads[s.Head.Workspace] = s
	}
	for _, l := range local {
		here[l.Workspace] = true
		row := l.row(now)
		if s, ok := heads[l.Workspace]; ok {
			row.join(s)
		}
		rows = append(rows, row)
	}
	for _, s := range seen {
		if !here[s.Head.Workspace] {
			rows = append(rows, s.row(now))
		}
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(strings.Compare(a.Workspace, b.Workspace), strings.Compare(a.Folder, b.Folder))
	})
	return rows
}

func (l Local) row(now time.Time) Row {
	row := Row{Workspace: l.Workspace, Folder: l.Folder, Container: l.Container, Where: "here", State: Down, Attention: []string{}}
	if !l.Written.IsZero() {
		row.LastSeen = &l.Written
	}
	if doc := l.Status; doc != nil {
		for _, r := range doc.Replicas {
			row.Lag = max(row.Lag, r.LagSeconds)
			if !l.Running && r.Pending > 0 {
				row.Attention = append(row.Attention, fmt.Sprintf("%s: %d changes are not in the bucket: coltec up %s pushes them", r.Name, r.Pending, l.Folder))
			}
		}
	}
	switch {
	case !l.Running:
		row.Lag = 0
	case l.Status == nil:
		row.State = Silent
		row.Attention = append(row.Attention, "coltecd has not written a status: see coltec status "+l.Folder)
	default:
		row.State, row.Since = string(l.Status.State), l.Status.Since
		row.Attention = append(row.Attention, l.Status.Attention...)
		if row.State == string(status.Running) || row.State == string(status.Degraded) {
			if age := now.Sub(l.Written); age > silence {
				row.State = Silent
				row.Attention = append(row.Attention, fmt.Sprintf("coltecd has written no status for %s: see coltec status %s", age.Round(time.Second), l.Folder))
			}
		} else {
			row.Since = nil
		}
		if h := l.Status.Lease.Holder; h != nil && l.Status.Lease.State == status.LeaseWaiting {
			row.Where = h.Host
		}
	}
	return row
}

// join adds what the bucket knows to a workspace of this host that is down.
func (r *Row) join(s Seen) {
	if r.State != Down || s.Head.State != store.Held {
		return
	}
	r.Where = place(s.Head.Holder)
}

func place(h store.Holder) string {
	if h.Host != "" {
		return h.Host
	}
	return h.Container
}

func (s Seen) row(now time.Time) Row {
	h := s.Head
	row := Row{Workspace: h.Workspace, State: Free, Attention: []string{}}
	if !s.At.IsZero() {
		row.LastSeen = &s.At
	}
	switch h.State {
	case store.Held:
		row.State, row.Where, row.Since = Elsewhere, place(h.Holder), &h.Holder.Since
		if ttl := time.Duration(h.TTL * float64(time.Second)); row.LastSeen != nil && now.Sub(s.At) > ttl {
			row.State = Lost
			row.Attention = append(row.Attention, fmt.Sprintf("%s was last seen %s ago: the next machine that wants it takes it", row.Where, now.Sub(s.At).Round(time.Second)))
		}
	case store.Dirty:
		row.Attention = append(row.Attention, fmt.Sprintf("%s stopped with %d changes that are not in the bucket", place(h.Holder), h.Dirty))
	}
	return row
}

// Bucket is what Heads needs of the root of a remote.
type Bucket interface {
	ListEach(ctx context.Context, prefix string, lo rclone.ListOptions, f func(rclone.Object) error) error
	Download(ctx context.Context, keys []string, dir string, progress func(rclone.Progress)) (rclone.Transfer, error)
}

// fleetPrefix is what all heads are under.
const fleetPrefix = ".coltec/fleet"

// Heads reads all heads of a bucket: one listing and one GET each, at once.
func Heads(ctx context.Context, b Bucket) ([]Seen, error) {
	times := map[string]time.Time{}
	var keys []string
	err := b.ListEach(ctx, fleetPrefix, rclone.ListOptions{ModTime: true}, func(o rclone.Object) error {
		if path.Base(o.Key) == "head.json" && strings.Count(o.Key, "/") == 3 {
			key := path.Join(fleetPrefix, o.Key)
			keys = append(keys, key)
			times[key] = o.ModTime
		}
		return nil
	})
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "coltec-fleet-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if _, err := b.Download(ctx, keys, dir, nil); err != nil {
		return nil, err
	}
	var seen []Seen
	for _, key := range keys {
		body, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(key)))
		if err != nil {
			continue // it is never deleted; a listing may be ahead
		}
		s := Seen{At: times[key]}
		if err := json.Unmarshal(body, &s.Head); err != nil || store.HeadKey(s.Head.Workspace) != key {
			return nil, fmt.Errorf("cannot read %s: it is not the head of a workspace", key)
		}
		seen = append(seen, s)
	}
	return seen, nil
}
