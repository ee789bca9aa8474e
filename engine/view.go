package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/status"
	"golang.org/x/sys/unix"
)

// view is what there is to show.
func (b observer) view(members []*member) view {
	v := view{lease: b.leaseView()}
	v.attention = slices.Concat(b.twinAttention(), b.leaseAttention(v.lease), b.loginNotes())
	for _, m := range members {
		v.replicas = append(v.replicas, b.replicaView(m, v.lease))
		v.attention = append(v.attention, b.attention(m)...)
	}
	return v
}

func (b observer) replicaView(m *member, lease status.Lease) status.Replica {
	r := status.Replica{
		Name: m.Name, Path: m.Path, Remote: m.Remote, Direction: string(m.Direction), Layout: m.Layout,
		State: b.state(m, lease), Pending: m.report.here.Count(), OnlyHere: m.report.here.Parts(), Conflicts: m.report.totals.conflicts, Unplaced: m.report.unplaced,
		Files: m.report.totals.files, Bytes: m.report.totals.bytes, FoundAtStart: m.report.found, SharedFileSystem: m.watch.sharedOn,
		Notices: b.notices(m),
	}
	next, err := m.course.next, m.course.err
	if err == nil && b.leaseless(m) && b.leaseErr != nil {
		next, err = b.leaseAt, b.leaseErr
	}
	r.LastSync = moment(m.course.synced)
	if m.Blocked == "" && !m.course.paused {
		r.NextRun = moment(next)
	}
	if err != nil {
		r.LastError = anchor.OneLine(err)
	}
	return r
}

// state sorts a member into the states of status.
func (b observer) state(m *member, lease status.Lease) status.ReplicaState {
	leaseless := b.leaseless(m)
	switch {
	case m.course.paused:
		return status.ReplicaPaused
	case m.course.err != nil && blocked(m.course.err), leaseless && b.leaseErr != nil && blocked(b.leaseErr):
		return status.ReplicaBlocked
	case leaseless && b.leaseErr != nil && lease.State != status.LeaseWaiting, m.course.err != nil:
		return status.ReplicaRetrying
	case leaseless:
		return status.ReplicaWaiting
	case !m.ready(), m.course.again:
		return status.ReplicaRestoring
	}
	return stateOf(m.report.here)
}

// stateOf is the state of a member that is pushed, by its account.
func stateOf(a account.Account) status.ReplicaState {
	switch {
	case a.Empty():
		return status.ReplicaSynced
	case a.Of(account.Deferred)+a.Of(account.Unfinished) > 0:
		return status.ReplicaSyncing
	}
	return status.ReplicaIncomplete
}

// leaseAttention says what is wrong with the lease.
func (b observer) leaseAttention(lease status.Lease) []string {
	switch {
	case lease.State == status.LeaseBestEffort:
		return []string{"the remote cannot fence: nothing but you prevents two containers from writing this workspace at once"}
	case b.leaseErr == nil:
		return b.leftElsewhere()
	}
	return append(b.leftElsewhere(), withHints("the lease", b.leaseErr))
}

// leftElsewhere says what other machines left behind.
func (b observer) leftElsewhere() []string {
	if b.lease == nil {
		return nil
	}
	var out []string
	for _, b := range b.lease.LeftBehind() {
		out = append(out, b.String())
	}
	return out
}

// twinAttention warns that another machine has our identity.
func (b observer) twinAttention() []string {
	if b.lease == nil || b.lease.Rival() == "" {
		return nil
	}
	text := b.lease.Rival() + ": give each an identity of its own"
	if b.o.Distinct != "" {
		text += ": " + b.o.Distinct
	}
	return []string{text}
}

// withHints makes one sentence of an error and its next steps.
func withHints(what string, err error) string {
	text := anchor.OneLine(err)
	if !strings.HasPrefix(text, what+" ") { // "the lease: the lease is held by"
		text = what + ": " + text
	}
	for _, h := range hint.Of(err) {
		text += "; " + h
	}
	return text
}

// withReason gives an error of the local file system, which names a file and
// nothing else, its reason and the next step.
func withReason(path string, err error) error {
	var told *rclone.Error
	switch {
	case errors.As(err, &told): // it has its own words
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return hint.Wrap(fmt.Errorf("the disk of %s is full: %w", path, err),
			"free up space on the disk; it then continues by itself")
	case errors.Is(err, unix.EROFS):
		return hint.Wrap(fmt.Errorf("%s cannot be written: %w", path, err), "mount its file system for writing")
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return hint.Wrap(fmt.Errorf("%s is not ours to write: %w", path, err),
			"give the directory, and .coltec in it, to the user that coltecd runs as")
	}
	return err
}

// attention says what a person should know of a replica.
func (b observer) attention(m *member) []string {
	var out []string
	if m.course.err != nil {
		out = append(out, withHints("replica "+m.Name, m.course.err))
	}
	if m.watch.unwatched != nil && m.course.err == nil {
		out = append(out, withHints(fmt.Sprintf("replica %s: changes are seen every %s only", m.Name, m.Interval), m.watch.unwatched))
	}
	if m.report.origin.orphan != "" {
		out = append(out, fmt.Sprintf("replica %s: the workspace's head was gone from the bucket; the newest state that was left there (%s) was merged with what is here, and nothing was deleted", m.Name, m.report.origin.orphan))
	}
	out = append(append(out, b.deletionNotes(m)...), b.leakNotes(m)...)
	if m.report.totals.conflicts > 0 {
		out = append(out, fmt.Sprintf("replica %s: %d local versions lost their name to a remote one and are kept in %s/.coltec/conflicts: coltecd conflicts lists them, and how to take or drop them", m.Name, m.report.totals.conflicts, m.Path))
	}
	if b.lease != nil && b.lease.Head() != nil && b.lease.Head().Adopted[m.Name] != "" {
		out = append(out, fmt.Sprintf("replica %s: the plain objects an earlier tool left at %s are frozen and still watched for writes; coltecd adopt --finish %s ends that", m.Name, m.Remote, m.Name))
	}
	for _, note := range slices.Concat(b.accountNotes(m), m.report.settled, m.report.scanned, m.wholes.Notes()) {
		if !slices.Contains(out, note) { // a scan and a placement may say the same
			out = append(out, note)
		}
	}
	return out
}

// motionPatience is for how long a file may change without a word to a person: it is
// in the account from the first time on.
const motionPatience = time.Minute

// accountNotes say for attention what is only here and is said nowhere else.
func (b observer) accountNotes(m *member) []string {
	now := b.now()
	var out []string
	for _, p := range m.report.here.Parts() {
		switch p.Reason {
		case account.Moving:
			if now.Sub(p.Since) > motionPatience {
				out = append(out, "replica "+m.Name+": "+p.String()+": the bucket has the last settled version")
			}
		case account.Waiting, account.Blocked:
			if m.course.err == nil && !m.course.paused && m.Blocked == "" && !(b.leaseless(m) && b.leaseErr != nil) {
				continue // it is on its way
			}
			out = append(out, "replica "+m.Name+": only on this machine: "+p.String())
		}
	}
	return out
}
