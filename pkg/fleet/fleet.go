// Package fleet puts what is known of many workspaces, on this host and in a
// bucket, into one row each.
package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// Local is what this host knows of a workspace.
type Local struct {
	Workspace string // org/project/env
	Folder    string
	Container string // short id; "" without one
	Running   bool
	Disabled  bool             // its coltecd is told to do nothing
	Unasked   bool             // nobody could say whether it has a container, or whether that runs
	Status    *status.Document // the last one that coltecd wrote; nil: none
	Written   time.Time        // when that was
}

// State of a workspace, as a row shows it: coltecd's own, or one of these.
const (
	Down       = "down"                        // here, and its container does not run
	New        = "new"                         // here, and never had a container that wrote a status
	Unknown    = "unknown"                     // here, and whether it runs cannot be told: containers could not be asked
	Silent     = string(status.NeedSilent)     // it runs and coltecd has not written for a while
	Elsewhere  = "elsewhere"                   // held on another machine
	Free       = "free"                        // in the bucket, and nobody holds it
	Lost       = string(status.NeedLost)       // held in the bucket, and not seen for longer than its lease
	Unreadable = string(status.NeedUnreadable) // its head in the bucket makes no sense to this version
)

// Row is one workspace.
type Row struct {
	Workspace string         `json:"workspace"`
	Needs     status.Need    `json:"needs,omitempty"` // the most urgent; "": nobody
	State     string         `json:"state"`
	Where     string         `json:"where"`           // host that holds it, or "here"
	Folder    string         `json:"folder"`          // on this host, if it is here
	Container string         `json:"container"`       // on this host
	Since     *time.Time     `json:"since,omitempty"` // of coltecd, or of the lease
	LastSeen  *time.Time     `json:"last_seen,omitempty"`
	LastSave  *time.Time     `json:"last_save,omitempty"` // when all that could be sent was in the bucket
	Lag       float64        `json:"lag_seconds"`         // age of the oldest change that is not in the bucket
	OnlyHere  []account.Part `json:"only_here,omitempty"` // what only the machine of the row has; of another one rounded, and without names
	Conflicts int            `json:"conflicts"`           // local versions that lie aside; of another machine rounded
	Attention []string       `json:"attention"`
	Agents    []status.Agent `json:"agents,omitempty"` // of one that runs, as it said last

	Checkpoint *Checkpoint `json:"checkpoint,omitempty"` // the newest, as far as the bucket was asked
	CostMonth  *float64    `json:"cost_month,omitempty"` // dollars, while nothing changes; nil: not known

	bytes    int64   // of all trees, about
	requests float64 // that thirty days take in which nothing changes
}

// Checkpoint is a generation with a name.
type Checkpoint struct {
	Name string    `json:"name"`
	Made time.Time `json:"made"`
}

// silence is for how long a running coltecd may not write its status file
// before that is said. It writes when something changed, and each renewal of the
// lease does.
const silence = 5 * time.Minute

// Rows joins both, those first that need somebody, the most urgent before others, and then by
// workspace. A workspace that is here in two folders has two rows.
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
			row.join(l, s, now)
		}
		rows = append(rows, row)
	}
	for _, s := range seen {
		if !here[s.Head.Workspace] {
			rows = append(rows, s.row(now))
		}
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(a.Needs.Rank()-b.Needs.Rank(), strings.Compare(a.Workspace, b.Workspace), strings.Compare(a.Folder, b.Folder))
	})
	return rows
}

// need notes that somebody is needed.
func (r *Row) need(list ...status.Need) {
	for _, n := range list {
		if n.Rank() < r.Needs.Rank() {
			r.Needs = n
		}
	}
}

func (l Local) row(now time.Time) Row {
	row := Row{Workspace: l.Workspace, Folder: l.Folder, Container: l.Container, Where: "here", State: Down, Attention: []string{}}
	if !l.Written.IsZero() {
		row.LastSeen = &l.Written
	}
	row.replicas(l)
	switch {
	case l.Unasked && l.fresh(now):
		row.running(l, now)
	case l.Unasked:
		row.State, row.Lag = Unknown, 0
	case l.Container == "" && !l.Running && l.Status == nil:
		row.State = New
	case !l.Running:
		row.Lag = 0
	case l.Disabled: // what an earlier coltecd wrote is not how it is
		row.State, row.Lag, row.Attention, row.Needs = string(status.Disabled), 0, []string{}, ""
	case l.Status == nil:
		row.State = Silent
		row.need(status.NeedSilent)
		row.Attention = append(row.Attention, "coltecd has not written a status: see coltec status "+hint.Word(l.Folder))
	default:
		row.running(l, now)
	}
	return row
}

// fresh reports whether a coltecd said so lately that it runs that it does, whatever is known of
// its container.
func (l Local) fresh(now time.Time) bool {
	return l.Status != nil && (l.Status.State == status.Running || l.Status.State == status.Degraded) && now.Sub(l.Written) <= silence
}

// replicas says what the replicas here had last, and what of one that is down is only here.
func (r *Row) replicas(l Local) {
	if l.Status == nil {
		return
	}
	for _, x := range l.Status.Replicas {
		r.Lag = max(r.Lag, x.LagSeconds)
		r.Conflicts += x.Conflicts
		r.bytes += x.Bytes
		if x.LastSync != nil && (r.LastSave == nil || x.LastSync.After(*r.LastSave)) {
			r.LastSave = x.LastSync
		}
		r.OnlyHere = merged(r.OnlyHere, x.OnlyHere)
		if !l.Running && !l.Unasked && x.Pending > 0 {
			r.need(status.NeedUnsaved)
			r.Attention = append(r.Attention, fmt.Sprintf("%s: %s not in the bucket: coltec up %s pushes them", x.Name, hint.Count(x.Pending, "change is", "changes are"), hint.Word(l.Folder)))
		}
	}
	if r.Conflicts > 0 {
		r.need(status.NeedConflicts)
	}
}

// merged are parts of two accounts, each reason once.
func merged(parts, more []account.Part) []account.Part {
	for _, m := range more {
		i := slices.IndexFunc(parts, func(p account.Part) bool { return p.Reason == m.Reason })
		if i < 0 {
			m.Names = slices.Clone(m.Names)
			parts = append(parts, m)
			continue
		}
		p := &parts[i]
		p.Count, p.Bytes = p.Count+m.Count, p.Bytes+m.Bytes
		if m.Since.Before(p.Since) {
			p.Since = m.Since
		}
		p.Names = append(p.Names, m.Names[:max(0, min(len(m.Names), account.NamesMax-len(p.Names)))]...)
	}
	return account.FromParts(parts).Parts()
}

// running says how one is whose container runs, by what coltecd wrote.
func (r *Row) running(l Local, now time.Time) {
	doc := l.Status
	r.State, r.Since = string(doc.State), doc.Since
	r.Attention = append(r.Attention, doc.Attention...)
	age := now.Sub(l.Written)
	switch {
	case r.State != string(status.Running) && r.State != string(status.Degraded):
		r.Since = nil
	case age > silence:
		r.State = Silent
		r.need(status.NeedSilent)
		r.Attention = append(r.Attention, fmt.Sprintf("coltecd has written no status for %s: see coltec status %s", age.Round(time.Second), hint.Word(l.Folder)))
	default:
		r.Agents, r.requests = doc.Agents, doc.Cost().IdlePerMonth
		r.need(doc.Needs(now)...)
		r.Attention = slices.Concat(needs(r.Agents, now), r.Attention) // somebody stands still until it is answered
	}
	if h := doc.Lease.Holder; h != nil && doc.Lease.State == status.LeaseWaiting {
		r.Where = h.Host
	}
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

// quiet reports whether no coltecd here can say who has the lease, and the bucket does: none
// runs, or it has said nothing since another took the lease.
func (r *Row) quiet(l Local, s Seen) bool {
	switch r.State {
	case Down, New, Unknown:
		return true
	case Silent, string(status.Disabled), string(status.Stopped):
		return s.Bad == nil && s.Head.State == store.Held && (l.Status == nil || s.Digest.Epoch > l.Status.Lease.Epoch)
	}
	return false
}

// join adds what the bucket knows to a workspace of this host: the newest checkpoint, and of one
// whose coltecd says nothing who holds it, or what another machine could not send.
func (r *Row) join(l Local, s Seen, now time.Time) {
	there := s.row(now)
	r.Checkpoint = there.Checkpoint
	if r.bytes == 0 {
		r.bytes = there.bytes
	}
	if !r.quiet(l, s) {
		return
	}
	if s.Bad != nil || s.Head.State == store.Held {
		r.Where, r.Since, r.LastSeen, r.LastSave = there.Where, there.Since, there.LastSeen, there.LastSave
		r.Agents, r.requests = there.Agents, there.requests
	}
	r.need(there.Needs)
	r.Attention = append(r.Attention, there.Attention...)
}
