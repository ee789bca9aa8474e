package engine

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/adoption"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/watch"
	"github.com/coltec/coltec/pkg/whole"
)

// member is one replica at run time. The goroutine of Run owns it: a worker gets a copy
// of what it needs, and its report is taken over when it is done (pass). What others
// touch says so.
type member struct {
	scope.Replica
	connected
	course  course
	report  report
	watch   watching
	waits   undecided // any goroutine
	cost    meter     // any goroutine adds to it
	lineage string    // of the head under which the prefix was claimed first
	ahead   *foreseen // what was read before the lease was there; nil: nothing
}

// connected is what a member works on, from its first connection on.
type connected struct {
	rep    *replica.Replica
	remote scope.Remote
	layout store.Layout
	wholes whole.Carriers // of the tree
}

// watching is what comes from the watch of a tree. The watch's goroutine adds hints and
// nudges; all else is of the loop.
type watching struct {
	hints     hints                    // of what was touched since the last walk
	nudged    atomic.Bool              // is in Engine.touched
	asks      chan func(watch.Touched) // to the watch: see watch.Options.Asked
	open      chan struct{}            // closed when the replica was ready for the first time
	unwatched error                    // why changes may go unseen until the next interval
	sharedOn  string                   // file system on which changes from elsewhere do
}

// begin lets a watch of the tree begin: it is there.
func (w *watching) begin() {
	select {
	case <-w.open:
	default:
		close(w.open)
	}
}

// report is what is known of a replica by the passes over its tree: each begins with
// the one before it, and gives back its own.
type report struct {
	walk   walk
	motion motion
	brake  brake
	origin origin
	listAt time.Time // when a mirror that others write into is listed again
	anew   bool      // the manifest is damaged: the next step is published, whatever changed

	here   account.Account // what only this machine has
	linked bool            // there are very many files with several names
	unseen bool            // the end has begun, and the tree was not looked at since
	found  *int            // what the first scan of this run found
	older  *store.Older    // what the bucket has in a state that is not the newest one
	totals totals

	held     int      // deletions that were made here, and wait
	heldHere int      // that came from the bucket, and wait
	scanned  []string // for attention, of the last scan
	settled  []string // and of the last placement
	leaked   []string // logins that generations of before have
	unplaced []string // what that could not place, and why
}

// origin is where the tree came from that is here.
type origin struct {
	source store.Layout     // where content that waits to be placed comes from
	plain  *adoption.Prefix // plain objects that are being adopted
	orphan string           // the manifest that was taken because its head was lost
	epoch  int64            // the highest epoch of the manifests that a lost head left
}

// totals are what status shows of the base.
type totals struct {
	files, bytes int64
	conflicts    int
}

// know takes over a new account.
func (r *report) know(a account.Account, now time.Time) {
	a.Follow(r.here, now)
	r.here = a
}

// count notes what status shows of the base.
func (m *member) count() {
	has := m.rep.Base().Totals()
	m.report.totals = totals{has.Files, has.Bytes, has.Conflicts}
}

// ready reports whether the member may be pushed.
func (m *member) ready() bool { return m.course.phase == ready }

// due reports whether the member's cycle is due.
func (m *member) due(now time.Time) bool { return m.Blocked == "" && m.course.due(now) }

// strays reports whether the log has another generation of the number that the base is of:
// the bucket was set back, and somebody went on from there.
func (m *member) strays(head *store.Head) bool {
	base := m.rep.Base().Header
	return base.Ref != "" && slices.ContainsFunc(head.Recent, func(g store.Generation) bool {
		ref := g.Replicas[m.Name].Manifest
		return g.Number == base.Generation && ref != "" && ref != base.Ref
	})
}

// vanished reports whether a tree, or its base, is not there: the next cycle says what there
// is to say of it.
func (c *connected) vanished() bool { return c.rep.Check() != nil }

// roster are the replicas, in order of priority. The list itself never changes.
type roster struct{ members []*member }

// writers reports whether any replica needs the lease.
func (r *roster) writers() bool {
	for _, m := range r.members {
		if m.Writes() && m.Blocked == "" {
			return true
		}
	}
	return false
}

func (r *roster) find(names []string) ([]*member, error) {
	if len(names) == 0 {
		return r.members, nil
	}
	var out []*member
	for _, name := range names {
		m := r.member(name)
		if m == nil {
			return nil, fmt.Errorf("cannot find replica %q", name)
		}
		out = append(out, m)
	}
	return out, nil
}

// member gives a replica by name; nil when there is none.
func (r *roster) member(name string) *member {
	for _, m := range r.members {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// failures joins what is wrong with members.
func failures(members []*member) error {
	var errs []error
	for _, m := range members {
		if m.course.err != nil {
			errs = append(errs, fmt.Errorf("replica %s: %w", m.Name, m.course.err))
		}
	}
	return errors.Join(errs...)
}

// orphaned reports whether a replica was received from a lost head's manifest in
// this session; the head says it of those before, once something was committed.
func (r *roster) orphaned() bool {
	return slices.ContainsFunc(r.members, func(m *member) bool { return m.report.origin.orphan != "" })
}

// left are the accounts that are not empty, with those of steps as they will be once
// these are committed.
func (r *roster) left(steps ...*prepared) []account.Left {
	var out []account.Left
	for _, m := range r.members {
		if !m.Writes() {
			continue
		}
		a := m.report.here
		for _, p := range steps {
			if p.member == m {
				a = p.left
			}
		}
		if !a.Empty() {
			out = append(out, account.Left{Replica: m.Name, Parts: a.Parts()})
		}
	}
	return out
}

// withOnlyHere is the error of a sync of members: that it failed, with what is only
// here for that reason, or that it has left something behind.
func withOnlyHere(failed error, members []*member) error {
	var left []account.Left
	for _, m := range members {
		if m.Writes() {
			left = append(left, account.Left{Replica: m.Name, Parts: m.report.here.Parts()})
		}
	}
	return account.Join(failed, account.ErrorOf(left))
}

// prepared is a replica's next generation, all of it in the bucket but not
// yet the head's.
type prepared struct {
	member *member // set by the loop, when the worker is done
	step   *replica.Step
	ref    store.Ref
	more   bool            // the scan has more than fitted into one step
	left   account.Account // what is only here once it is committed

	adopted string // key of the record of what was adopted; "" for none
	passing passing
}

// passing are the deletions of a step.
type passing struct {
	allowed int64         // that somebody had a say in
	many    *store.Passed // nobody was asked; nil: not many
}
