package engine

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// What only this machine has is kept in member.here, an account per replica. It is
// written where something is known anew: after a scan, after a commit, and, where a
// replica is not pushed (no lease, no restore yet, a fault, a pause), by a survey of
// its tree. Everything that says "synced", "stopped" or "released" reads it.

// know takes over a new account.
func (m *member) know(a account.Account, now time.Time) {
	a.Follow(m.here, now)
	m.here = a
}

// seen is the account right after a scan: nothing of what it found is sent yet.
func (m *member) seen(found *replica.Changes, reason account.Reason, why string) account.Account {
	var a account.Account
	repositories := map[string]bool{}
	add := func(path string, bytes int64) {
		if name, ok := replica.RepositoryOf(path); ok {
			if repositories[name] {
				return
			}
			repositories[name], path = true, name
		}
		a.Add(reason, path, bytes, why)
	}
	for i := range found.Edited {
		add(found.Edited[i].Path, found.Edited[i].Size)
	}
	for i := range found.Gone {
		add(found.Gone[i].Path, 0)
	}
	for i := range found.Awaited {
		a.Add(account.Blocked, found.Awaited[i].Path, found.Awaited[i].Size, "another version of it could not be placed here yet")
	}
	m.unseen(&a, found.Unknown)
	return a
}

// unseen adds what could not be read or captured, and files that were deleted elsewhere
// and are still here.
func (m *member) unseen(a *account.Account, unknown []localfs.Unknown) {
	for _, u := range unknown {
		if u.Unread {
			a.Add(account.Unread, u.Path, 0, u.Reason)
		}
	}
	m.git.Account(a)
	for _, name := range m.brake.waiting() {
		a.Add(account.Held, name, 0, "it was deleted elsewhere")
	}
}

// remains is the account of what a step does not hold.
func (m *member) remains(found *replica.Changes, staged *replica.Staged, waits []localfs.Unknown) account.Account {
	a := m.seen(&replica.Changes{Edited: staged.Rest, Unknown: found.Unknown, Awaited: found.Awaited}, account.Deferred, "it did not fit into a step")
	for _, u := range staged.Unsettled {
		reason := account.Unread
		switch {
		case u.Moving:
			reason = account.Moving
		case u.Beyond:
			reason = account.Uncaptured
		}
		a.Add(reason, u.Path, u.Bytes, u.Reason)
	}
	for _, u := range waits {
		a.Add(account.Held, u.Path, 0, u.Reason)
	}
	m.addHeld(&a, found.Gone)
	return a
}

// addHeld adds the deletions made here that wait for a decision.
func (m *member) addHeld(a *account.Account, gone []tree.Entry) {
	named := 0
	for i := 0; i < len(gone) && named < m.held; i++ {
		if e := &gone[i]; e.Kind != tree.Dir && !tree.Within(e.Path, localfs.Dir) {
			a.Add(account.Held, e.Path, e.Size, "")
			named++
		}
	}
	a.AddCount(account.Held, m.held-named, "")
}

// pushes reports whether what the member's tree has is pushed as soon as it is seen,
// so that its last scan tells what is only here.
func (e *Engine) pushes(m *member) bool {
	return m.ready && m.err == nil && !m.paused && e.writable()
}

// stock brings up to date the accounts of replicas that no push covers: a tree is walked
// for it at each interval, and when somebody asks. Of one whose last scan was cut off
// by an end it is not known what is here.
func (e *Engine) stock(ctx context.Context) {
	for _, m := range e.members {
		if !m.Writes() || !m.unsure && (e.pushes(m) || e.now().Before(m.stockAt)) {
			continue
		}
		m.stockAt = e.now().Add(m.Interval)
		a, err := e.survey(ctx, m)
		switch {
		case err == nil:
			m.unsure = false
		case m.unsure:
			a = account.FromParts(m.here.Parts())
			a.Add(account.Blocked, ".", 0, "there was no time to look at it: "+anchor.OneLine(err))
		case !m.here.Empty():
			e.o.Log.Debug("cannot tell what is only here", "replica", m.Name, "error", err)
			continue // what was known before is the best there is
		}
		m.know(a, e.now())
	}
}

// survey walks the tree of a replica that is not pushed now, and compares it with
// what it agreed on with the bucket last. After an error the account says that
// nothing is known.
func (e *Engine) survey(ctx context.Context, m *member) (account.Account, error) {
	var a account.Account
	if _, err := os.Lstat(m.Path); e.clock.files == nil && errors.Is(err, fs.ErrNotExist) {
		return a, nil // there is nothing here
	}
	rep := m.rep
	if rep == nil {
		rep = e.newReplica(m)
		rep.Layout = m.layoutOf(rep, nil)
	}
	var head replica.Agreed
	if e.lease != nil && e.lease.Head() != nil {
		head = replica.Agreed{Lineage: e.lease.Head().Lineage, Generation: e.lease.Head().Generation}
	}
	reason, why := e.unpushed(m)
	var found *replica.Changes
	err := e.work(ctx, func(ctx context.Context) (err error) { // a lease that others wait for is kept meanwhile
		found, err = rep.Survey(ctx, head)
		return err
	})
	if err != nil {
		a.Add(account.Blocked, ".", 0, "it cannot be looked at: "+anchor.OneLine(err))
		return a, err
	}
	return m.seen(e.withoutRendered(m, found), reason, why), nil
}

// withoutRendered leaves out what a template rendered here and nobody has changed: a
// folder that was just made has nothing of its own.
func (e *Engine) withoutRendered(m *member, found *replica.Changes) *replica.Changes {
	if e.o.Rendered == nil {
		return found
	}
	out := *found
	out.Edited = nil
	for _, s := range found.Edited {
		if s.Was == nil && s.Kind == tree.Dir {
			if info, err := os.Stat(e.o.Rendered(filepath.Join(m.Path, s.Path))); err == nil && info.IsDir() {
				continue
			}
		}
		if s.Was == nil && s.Kind == tree.File {
			rendered := replica.SumOf(e.o.Rendered(filepath.Join(m.Path, s.Path)))
			if rendered != (tree.Sum{}) && rendered == replica.SumOf(filepath.Join(m.Path, s.Path)) {
				continue
			}
		}
		out.Edited = append(out.Edited, s)
	}
	return &out
}

// unpushed says why a member is not pushed.
func (e *Engine) unpushed(m *member) (account.Reason, string) {
	var other *store.HeldByOther
	switch {
	case m.Blocked != "":
		return account.Blocked, m.Blocked
	case m.paused:
		return account.Blocked, "the replica is paused"
	case m.err != nil:
		return account.Blocked, anchor.OneLine(m.err)
	case e.leaseless(m) && errors.As(e.leaseErr, &other):
		return account.Waiting, anchor.OneLine(e.leaseErr)
	case e.leaseless(m) && e.leaseErr != nil:
		return account.Blocked, anchor.OneLine(e.leaseErr)
	case !m.ready:
		return account.Blocked, "the restore is not finished"
	}
	return account.Deferred, "there was no time for it"
}

// left are the accounts that are not empty, with those of steps as they will be once
// these are committed.
func (r *roster) left(steps ...*prepared) []account.Left {
	var out []account.Left
	for _, m := range r.members {
		if !m.Writes() {
			continue
		}
		a := m.here
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

// amended is the change of a head that takes back what this machine is said to have
// left behind, once that is in the bucket; nil when nothing is said.
func (e *Engine) amended(steps []*prepared) func(*store.Head) {
	for _, b := range e.lease.Head().LeftBehind {
		if b.Of(e.o.Self) {
			return e.lease.Behind(e.left(steps...))
		}
	}
	return nil
}

// withOnlyHere is the error of a sync of members: that it failed, with what is only
// here for that reason, or that it has left something behind.
func withOnlyHere(failed error, members []*member) error {
	var left []account.Left
	for _, m := range members {
		if m.Writes() {
			left = append(left, account.Left{Replica: m.Name, Parts: m.here.Parts()})
		}
	}
	return account.Join(failed, account.ErrorOf(left))
}

// stateOf is the state of a member that is pushed, by its account.
func stateOf(a account.Account) status.ReplicaState {
	switch {
	case a.Empty():
		return status.ReplicaSynced
	case a.Of(account.Deferred) > 0:
		return status.ReplicaSyncing
	}
	return status.ReplicaIncomplete
}

// motionPatience is for how long a file may change without a word to a person: it is
// in the account from the first time on.
const motionPatience = time.Minute

// accountNotes say for attention what is only here and is said nowhere else.
func (e *Engine) accountNotes(m *member) []string {
	now := e.now()
	var out []string
	for _, p := range m.here.Parts() {
		switch p.Reason {
		case account.Moving:
			if now.Sub(p.Since) > motionPatience {
				out = append(out, "replica "+m.Name+": "+p.String()+": the bucket has the last settled version")
			}
		case account.Waiting, account.Blocked:
			if m.err == nil && !m.paused && m.Blocked == "" && !(e.leaseless(m) && e.leaseErr != nil) {
				continue // it is on its way
			}
			out = append(out, "replica "+m.Name+": only on this machine: "+p.String())
		}
	}
	return out
}
