package engine

import (
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// What only this machine has is kept in an account per replica. It is written where
// something is known anew: after a scan, after a commit, and, where a replica is not
// pushed (no lease, no restore yet, a fault, a pause), by a survey of its tree.
// Everything that says "synced", "stopped" or "released" reads it.

// seen is the account right after a scan: nothing of what it found is sent yet.
func (p *pass) seen(found *replica.Changes, reason account.Reason, why string) account.Account {
	var a account.Account
	wholes := map[string]bool{}
	add := func(path string, bytes int64) {
		if name, ok := p.Wholes.Of(path); ok {
			if wholes[name] {
				return
			}
			wholes[name], path = true, name
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
	p.addUnseen(&a, found.Unknown)
	return a
}

// unseen adds what could not be read or captured, and files that were deleted elsewhere
// and are still here.
func (p *pass) addUnseen(a *account.Account, unknown []localfs.Unknown) {
	for _, u := range unknown {
		switch {
		case u.Moving:
			a.Add(account.Uncaptured, u.Path, 0, u.Reason) // of a file that moves staging says so
		case u.Unread:
			a.Add(account.Unread, u.Path, 0, u.Reason)
		}
	}
	p.wholes.Account(a)
	for _, name := range p.waits.waiting() {
		a.Add(account.Held, name, 0, "it was deleted elsewhere")
	}
}

// remains is the account of what a step does not hold.
func (p *pass) remains(staged *replica.Staged) account.Account {
	a := p.seen(&replica.Changes{Edited: staged.Deferred, Unknown: staged.Found.Unknown, Awaited: staged.Found.Awaited}, account.Deferred, "it did not fit into a step")
	for _, u := range staged.Unsettled {
		reason := account.Unread
		switch {
		case u.Moving:
			reason = account.Moving
		case u.Beyond:
			reason = account.Uncaptured
		case !u.Rests.IsZero():
			reason = account.Unfinished
		}
		a.Add(reason, u.Path, u.Bytes, u.Reason)
	}
	for _, u := range staged.Withheld {
		a.Add(account.Held, u.Path, 0, u.Reason)
	}
	p.addHeld(&a, staged.Found.Gone)
	return a
}

// addHeld adds the deletions made here that wait for a decision.
func (p *pass) addHeld(a *account.Account, gone []tree.Entry) {
	named := 0
	for i := 0; i < len(gone) && named < p.held; i++ {
		if e := &gone[i]; e.Kind != tree.Dir && !tree.Within(e.Path, localfs.Dir) {
			a.Add(account.Held, e.Path, e.Size, "")
			named++
		}
	}
	a.AddCount(account.Held, p.held-named, "")
}

// outdated is what a generation does not have in its newest state: so many edits wait, of
// what was staged those files did not settle, and those paths wait for others.
func (p *pass) outdated(waits []replica.Edit, unknown ...[]localfs.Unknown) *store.Older {
	o := &store.Older{}
	for i := range waits {
		o.Add(waits[i].Path, "it was not sent yet")
	}
	for _, list := range unknown {
		for _, u := range list {
			if u.Unread || u.Moving || u.Beyond || !u.Rests.IsZero() {
				o.Add(u.Path, u.Reason)
			}
		}
	}
	var wholes account.Account
	p.wholes.Account(&wholes)
	for _, part := range wholes.Parts() {
		for _, name := range part.Names {
			o.Add(name, part.Why)
		}
		o.Count += part.Count - len(part.Names)
	}
	if o.Count == 0 {
		return nil
	}
	return o
}
