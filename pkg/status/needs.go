package status

import (
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/account"
)

// Need is a word for why a workspace needs a person.
type Need string

// The needs, the most urgent first.
const (
	NeedAnswer     Need = "asks"       // an agent goes on once it is answered
	NeedFenced     Need = "fenced"     // another machine took the lease, and something is only here
	NeedConflicts  Need = "conflicts"  // local versions lie aside
	NeedDeletions  Need = "deletions"  // many deletions wait for a decision
	NeedBlocked    Need = "blocked"    // a replica cannot go on without a person
	NeedFailed     Need = "failed"     // an agent or a unit has failed
	NeedLost       Need = "lost"       // it was not seen for longer than its lease, and something may be only there
	NeedUnsaved    Need = "unsaved"    // a machine that stopped has what the bucket has not
	NeedSilent     Need = "silent"     // it runs, and its coltecd says nothing
	NeedUnreadable Need = "unreadable" // what the bucket has of it makes no sense to this version
	NeedAttention  Need = "attention"  // something else is not as it should be
)

var needs = []Need{
	NeedAnswer, NeedFenced, NeedConflicts, NeedDeletions, NeedBlocked, NeedFailed, NeedLost, NeedUnsaved, NeedSilent, NeedUnreadable, NeedAttention,
}

// AllNeeds are all of them, the most urgent first.
func AllNeeds() []Need { return slices.Clone(needs) }

// Rank is the place of a need among all of them, the most urgent first: 0. Of "" and of a later
// version's it is behind all.
func (n Need) Rank() int {
	if i := slices.Index(needs, n); i >= 0 {
		return i
	}
	return len(needs)
}

// unsettledFor is for how long something may be only here without a word to a person: until then
// it is on its way.
const unsettledFor = time.Minute

// Lasting reports whether what is only here will be there for a while, as of now: it waits for
// something, or has waited for longer than it takes to be sent.
func Lasting(p account.Part, now time.Time) bool {
	switch p.Reason {
	case account.Moving, account.Unfinished, account.Deferred:
		return !p.Since.IsZero() && now.Sub(p.Since) > unsettledFor
	}
	return true
}

// Needs are what a workspace that runs needs of a person, as of now, the most urgent first.
func (d Document) Needs(now time.Time) (list []Need) {
	has := map[Need]bool{NeedAttention: d.State == Degraded}
	for _, a := range d.Agents {
		has[NeedAnswer] = has[NeedAnswer] || a.State == AgentWaits
		has[NeedFailed] = has[NeedFailed] || a.State == AgentFailed
	}
	for _, u := range d.Units {
		has[NeedFailed] = has[NeedFailed] || u.State == "failed"
	}
	for _, r := range d.Replicas {
		has[NeedFenced] = has[NeedFenced] || d.Lease.State == LeaseFenced && r.Pending > 0
		has[NeedConflicts] = has[NeedConflicts] || r.Conflicts > 0
		has[NeedDeletions] = has[NeedDeletions] || account.FromParts(r.OnlyHere).Of(account.Held) > 0
		has[NeedBlocked] = has[NeedBlocked] || r.State == ReplicaBlocked
	}
	for _, n := range needs {
		if has[n] {
			list = append(list, n)
		}
	}
	return list
}
