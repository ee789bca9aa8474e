package engine

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/status"
	"golang.org/x/sys/unix"
)

// view is what Status shows: a copy, so that nobody waits for a transfer.
type view struct {
	lease     status.Lease
	replicas  []status.Replica
	attention []string
}

// Status says how the lease and the replicas are, and what a person should
// know. It never waits for work under way.
func (e *Engine) Status() (status.Lease, []status.Replica, []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	replicas := slices.Clone(e.view.replicas)
	for i := range replicas {
		if r := &replicas[i]; len(r.OnlyHere) > 0 {
			r.LagSeconds = e.now().Sub(account.FromParts(r.OnlyHere).Oldest()).Seconds()
		}
	}
	lease := e.view.lease
	for i, m := range e.members {
		replicas[i].Cost = m.cost.last(e.now(), m.idle(int(replicas[i].Files)))
	}
	lease.Cost = e.heads.last(e.now(), e.idle())
	return lease, replicas, slices.Clone(e.view.attention)
}

// publish makes what the engine knows visible.
func (e *Engine) publish() {
	v := view{lease: e.leaseView()}
	v.attention = append(e.twinAttention(), e.leaseAttention(v.lease)...)
	for _, m := range e.members {
		v.replicas = append(v.replicas, e.replicaView(m, v.lease))
		v.attention = append(v.attention, e.attention(m)...)
	}
	e.mu.Lock()
	e.view = v
	e.mu.Unlock()
	if e.o.Changed != nil {
		e.o.Changed()
	}
}

func (e *Engine) replicaView(m *member, lease status.Lease) status.Replica {
	r := status.Replica{
		Name: m.Name, Path: m.Path, Remote: m.Remote, Direction: string(m.Direction), Layout: m.Layout,
		State: e.state(m, lease), Pending: m.here.Count(), OnlyHere: m.here.Parts(), Conflicts: m.conflicts, Unplaced: m.unplaced,
		Files: m.files, Bytes: m.bytes, FoundAtStart: m.found, SharedFileSystem: m.sharedOn,
		Notices: e.notices(m),
	}
	next, err := m.next, m.err
	if err == nil && e.leaseless(m) && e.leaseErr != nil {
		next, err = e.leaseAt, e.leaseErr
	}
	r.LastSync = moment(m.synced)
	if m.Blocked == "" && !m.paused {
		r.NextRun = moment(next)
	}
	if err != nil {
		r.LastError = anchor.OneLine(err)
	}
	return r
}

// moment copies a time for a document; nil for none.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// leaseless reports whether a member waits for the lease.
func (t *tenure) leaseless(m *member) bool {
	return m.Writes() && (t.lease == nil || !t.lease.Holds())
}

// state sorts a member into the states of status.
func (e *Engine) state(m *member, lease status.Lease) status.ReplicaState {
	leaseless := e.leaseless(m)
	switch {
	case m.paused:
		return status.ReplicaPaused
	case m.err != nil && blocked(m.err), leaseless && e.leaseErr != nil && blocked(e.leaseErr):
		return status.ReplicaBlocked
	case leaseless && e.leaseErr != nil && lease.State != status.LeaseWaiting, m.err != nil:
		return status.ReplicaRetrying
	case leaseless:
		return status.ReplicaWaiting
	case !m.ready, m.placesAgain:
		return status.ReplicaRestoring
	}
	return stateOf(m.here)
}

// leaseAttention says what is wrong with the lease.
func (t *tenure) leaseAttention(lease status.Lease) []string {
	switch {
	case lease.State == status.LeaseBestEffort:
		return []string{"the remote cannot fence: nothing but you prevents two containers from writing this workspace at once"}
	case t.leaseErr == nil:
		return t.leftElsewhere()
	}
	return append(t.leftElsewhere(), withHints("the lease", t.leaseErr))
}

// leftElsewhere says what other machines left behind.
func (t *tenure) leftElsewhere() []string {
	if t.lease == nil {
		return nil
	}
	var out []string
	for _, b := range t.lease.LeftBehind() {
		out = append(out, b.String())
	}
	return out
}

// withHints makes one sentence of an error and its next steps.
func withHints(what string, err error) string {
	text := what + ": " + anchor.OneLine(err)
	for _, h := range hint.Of(err) {
		text += "; " + h
	}
	return text
}

// withReason gives an error of the local file system, which names a file and
// nothing else, its reason and the next step.
func withReason(m *member, err error) error {
	var told *rclone.Error
	switch {
	case errors.As(err, &told): // it has its own words
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return hint.Wrap(fmt.Errorf("the disk of %s is full: %w", m.Path, err),
			"free up space on the disk; it then continues by itself")
	case errors.Is(err, unix.EROFS):
		return hint.Wrap(fmt.Errorf("%s cannot be written: %w", m.Path, err), "mount its file system for writing")
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return hint.Wrap(fmt.Errorf("%s is not ours to write: %w", m.Path, err),
			"give the directory, and .coltec in it, to the user that coltecd runs as")
	}
	return err
}

// attention says what a person should know of a replica.
func (e *Engine) attention(m *member) []string {
	var out []string
	if m.err != nil {
		out = append(out, withHints("replica "+m.Name, m.err))
	}
	if m.unwatched != nil && m.err == nil {
		out = append(out, withHints(fmt.Sprintf("replica %s: changes are seen every %s only", m.Name, m.Interval), m.unwatched))
	}
	if m.orphan != "" {
		out = append(out, fmt.Sprintf("replica %s: the workspace's head was gone from the bucket; the newest state that was left there (%s) was merged with what is here, and nothing was deleted", m.Name, m.orphan))
	}
	out = append(out, e.deletionNotes(m)...)
	if m.conflicts > 0 {
		out = append(out, fmt.Sprintf("replica %s: %d local versions lost their name to a remote one and are kept in %s/.coltec/conflicts: coltecd conflicts lists them, and how to take or drop them", m.Name, m.conflicts, m.Path))
	}
	if e.lease != nil && e.lease.Head() != nil && e.lease.Head().Adopted[m.Name] != "" {
		out = append(out, fmt.Sprintf("replica %s: the plain objects an earlier tool left at %s are frozen and still watched for writes; coltecd adopt --finish %s ends that", m.Name, m.Remote, m.Name))
	}
	for _, note := range slices.Concat(e.accountNotes(m), m.settleNotes, m.scanNotes, m.git.Notes()) {
		if !slices.Contains(out, note) { // a scan and a placement may say the same
			out = append(out, note)
		}
	}
	return out
}

// notesMax bounds how many paths are named; the rest is counted.
const notesMax = 5

// unknownNotes makes sentences of paths that could not be seen or placed.
func unknownNotes(name string, unknown []localfs.Unknown) []string {
	var out []string
	n := 0
	for _, u := range unknown {
		if u.Quiet {
			continue
		}
		if n++; n <= notesMax {
			out = append(out, fmt.Sprintf("replica %s: %q is not synced: %s", name, u.Path, u.Reason))
		}
	}
	if n > notesMax {
		out = append(out, fmt.Sprintf("replica %s: and %d more paths are not synced", name, n-notesMax))
	}
	return out
}
