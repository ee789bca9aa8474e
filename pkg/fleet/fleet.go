// Package fleet puts what is known of many workspaces, on this host and in a
// bucket, into one row each.
package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/wholefile"
)

// Local is what this host knows of a workspace.
type Local struct {
	Workspace string // org/project/env
	Folder    string
	Container string // short id; "" without one
	Running   bool
	Disabled  bool             // its coltecd is told to do nothing
	Status    *status.Document // the last one that coltecd wrote; nil: none
	Written   time.Time        // when that was
}

// Seen is a head in the bucket, and when it was last written by the store's clock.
type Seen struct {
	Head store.Head // of one that cannot be read the name alone
	Left []string   // what machines left behind, in words
	At   time.Time
	Bad  error // why it cannot be read
}

// leftMost is how many bytes of such words are kept: a thousand heads are held at a time.
const leftMost = 2 << 10

// see keeps of a head what a row shows.
func see(h *store.Head, at time.Time) Seen {
	s := Seen{At: at, Head: store.Head{Workspace: h.Workspace, State: h.State, Holder: h.Holder, TTL: h.TTL, Dirty: h.Dirty}}
	for _, b := range h.LeftBehind {
		text := b.String()
		if len(text) > leftMost {
			text = strings.ToValidUTF8(text[:leftMost], "") + "…"
		}
		s.Left = append(s.Left, text)
	}
	return s
}

// State of a workspace, as a row shows it: coltecd's own, or one of these.
const (
	Down       = "down"       // here, and its container does not run
	New        = "new"        // here, and never had a container that wrote a status
	Silent     = "silent"     // it runs and coltecd has not written for a while
	Elsewhere  = "elsewhere"  // held on another machine
	Free       = "free"       // in the bucket, and nobody holds it
	Lost       = "lost"       // held in the bucket, and not seen for longer than its lease
	Unreadable = "unreadable" // its head in the bucket makes no sense to this version
)

// Row is one workspace.
type Row struct {
	Workspace string         `json:"workspace"`
	State     string         `json:"state"`
	Where     string         `json:"where"`           // host that holds it, or "here"
	Folder    string         `json:"folder"`          // on this host, if it is here
	Container string         `json:"container"`       // on this host
	Since     *time.Time     `json:"since,omitempty"` // of coltecd, or of the lease
	LastSeen  *time.Time     `json:"last_seen,omitempty"`
	Lag       float64        `json:"lag_seconds"` // age of the oldest change that is not in the bucket
	Attention []string       `json:"attention"`
	Agents    []status.Agent `json:"agents,omitempty"` // of one that runs here, as it said last
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
			row.join(s, now)
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
				row.Attention = append(row.Attention, fmt.Sprintf("%s: %d changes are not in the bucket: coltec up %s pushes them", r.Name, r.Pending, hint.Word(l.Folder)))
			}
		}
	}
	switch {
	case l.Container == "" && !l.Running && l.Status == nil:
		row.State = New
	case !l.Running:
		row.Lag = 0
	case l.Disabled: // what an earlier coltecd wrote is not how it is
		row.State, row.Lag, row.Attention = string(status.Disabled), 0, []string{}
	case l.Status == nil:
		row.State = Silent
		row.Attention = append(row.Attention, "coltecd has not written a status: see coltec status "+hint.Word(l.Folder))
	default:
		row.State, row.Since = string(l.Status.State), l.Status.Since
		row.Attention = append(row.Attention, l.Status.Attention...)
		age := now.Sub(l.Written)
		switch {
		case row.State != string(status.Running) && row.State != string(status.Degraded):
			row.Since = nil
		case age > silence:
			row.State = Silent
			row.Attention = append(row.Attention, fmt.Sprintf("coltecd has written no status for %s: see coltec status %s", age.Round(time.Second), hint.Word(l.Folder)))
		default:
			row.Agents = l.Status.Agents
			row.Attention = slices.Concat(needs(row.Agents, now), row.Attention) // somebody stands still until it is answered
		}
		if h := l.Status.Lease.Holder; h != nil && l.Status.Lease.State == status.LeaseWaiting {
			row.Where = h.Host
		}
	}
	return row
}

// needs are what agents need of a person.
func needs(list []status.Agent, now time.Time) (lines []string) {
	for _, a := range list {
		if text := a.Need(now); text != "" {
			lines = append(lines, text)
		}
	}
	return lines
}

// join adds what the bucket knows to a workspace of this host that is down: who
// holds it, or what another machine could not send.
func (r *Row) join(s Seen, now time.Time) {
	if r.State != Down && r.State != New {
		return
	}
	there := s.row(now)
	if s.Bad != nil || s.Head.State == store.Held {
		r.Where, r.Since, r.LastSeen = there.Where, there.Since, there.LastSeen
	}
	r.Attention = append(r.Attention, there.Attention...)
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
	if s.Bad != nil {
		row.State, row.Attention = Unreadable, append(row.Attention, s.Bad.Error())
		return row
	}
	row.Attention = append(row.Attention, s.Left...)
	switch h.State {
	case store.Held:
		row.State, row.Where = Elsewhere, place(h.Holder)
		if !h.Holder.Since.IsZero() {
			row.Since = &h.Holder.Since
		}
		if ttl := time.Duration(h.TTL * float64(time.Second)); row.LastSeen != nil && now.Sub(s.At) > ttl {
			row.State = Lost
			row.Attention = append(row.Attention, fmt.Sprintf("%s was last seen %s ago: the next machine that wants it takes it", row.Where, now.Sub(s.At).Round(time.Second)))
		}
	case store.Dirty:
		if len(s.Left) == 0 { // an older coltecd named nothing
			row.Attention = append(row.Attention, fmt.Sprintf("%s stopped with %d changes that are not in the bucket", place(h.Holder), h.Dirty))
		}
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

// ErrNoAnswer says that a bucket did not answer in time.
var ErrNoAnswer = errors.New("it did not answer")

// headsMost is how many heads are read, those that were written last: more than that is
// no list that a person reads.
const headsMost = 1000

// Heads reads the heads of a bucket: one listing, and all in one batch. left is how many
// were not read, because there are more than anybody has. It is
// [ErrNoAnswer] when the listing takes longer than answer; read bounds the batch.
func Heads(ctx context.Context, b Bucket, answer, read time.Duration) (seen []Seen, left int, err error) {
	found, left, err := list(ctx, b, answer)
	if err != nil || len(found) == 0 {
		return nil, left, err
	}
	var keys []string
	for _, o := range found {
		if name := nameOf(o.Key); !named(name) {
			seen = append(seen, Seen{Head: store.Head{Workspace: name}, At: o.ModTime, Bad: store.Impossible("no workspace has the name %q", name)})
		} else if o.Size > store.MaxHead {
			seen = append(seen, Seen{Head: store.Head{Workspace: name}, At: o.ModTime, Bad: store.Impossible("a head of %d bytes", o.Size)})
		} else {
			keys = append(keys, o.Key)
		}
	}
	if len(keys) == 0 {
		return seen, left, nil
	}
	dir, err := os.MkdirTemp("", "coltec-fleet-*")
	if err != nil {
		return nil, left, err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeoutCause(ctx, read, fmt.Errorf("%w the question for %d heads within %s", ErrNoAnswer, len(keys), read))
	defer cancel()
	// A head that is gone meanwhile, or cannot be had, is one that cannot.
	_, err = b.Download(ctx, keys, dir, nil)
	if err != nil && !errors.Is(err, rclone.ErrNotFound) {
		return nil, left, err
	}
	times := map[string]time.Time{}
	for _, o := range found {
		times[o.Key] = o.ModTime
	}
	for _, key := range keys {
		body, err := wholefile.Read(filepath.Join(dir, filepath.FromSlash(key)), store.MaxHead)
		if err != nil {
			continue // it is never deleted; a listing may be ahead
		}
		head, err := store.ParseHead(body, nameOf(key))
		if err != nil {
			seen = append(seen, Seen{Head: store.Head{Workspace: nameOf(key)}, At: times[key], Bad: err})
		} else {
			seen = append(seen, see(head, times[key]))
		}
	}
	return seen, left, nil
}

// nameOf is the workspace of a head's key.
func nameOf(key string) string { return path.Dir(strings.TrimPrefix(key, fleetPrefix+"/")) }

// named reports whether a name may be a workspace's: rclone is asked for no other, and
// one that it cannot write to a file would end the batch.
func named(workspace string) bool {
	return len(workspace) <= 3*255 && utf8.ValidString(workspace) && !strings.ContainsFunc(workspace, func(r rune) bool { return !unicode.IsPrint(r) })
}

// list gives the heads that were written last, and how many more there are.
func list(ctx context.Context, b Bucket, patience time.Duration) (found []rclone.Object, more int, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%w within %s", ErrNoAnswer, patience))
	defer cancel()
	last := func(a, b rclone.Object) int { return b.ModTime.Compare(a.ModTime) }
	err = b.ListEach(ctx, fleetPrefix, rclone.ListOptions{ModTime: true}, func(o rclone.Object) error {
		if path.Base(o.Key) == "head.json" && strings.Count(o.Key, "/") == 3 {
			o.Key = path.Join(fleetPrefix, o.Key)
			if found = append(found, o); len(found) == 2*headsMost {
				slices.SortStableFunc(found, last)
				found, more = found[:headsMost], more+headsMost
			}
		}
		return nil
	})
	slices.SortStableFunc(found, last)
	n := min(len(found), headsMost)
	return found[:n], more + len(found) - n, err
}
