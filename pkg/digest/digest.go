// Package digest is how a workspace is, in so few bytes that they fit into the name of an
// object: one listing of a bucket tells it of a thousand workspaces. Pure. A digest is a hint
// for people; nothing is decided by one, and whoever has the bucket's key may have written it.
package digest

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/status"
)

// Lease says what became of the lease.
type Lease int

// What became of it.
const (
	Held     Lease = iota
	Released       // nobody has it
	Dirty          // nobody has it, and something stayed on the machine that had it
)

// Digest is how a workspace is, as its holder said last. Times are whole minutes, and counts
// are rounded down to 1, 2 or 5 of a power of ten: what changes all the time is in no digest.
type Digest struct {
	Epoch   int64 // of the lease
	Serial  int64 // grows with each digest of the epoch
	Lineage uint32

	Lease  Lease
	Host   string // that has the lease, or had it last
	Since  time.Time
	TTL    time.Duration // whole seconds
	Renew  time.Duration // whole seconds
	Bytes  int64         // of all trees, rounded down to a fourth of a power of two
	Unwell bool

	Needs        []status.Need // the most urgent first
	Agents       []Agent       // AgentsMost at most
	Only         []Part        // what only its holder has
	Left         []Left        // what other machines have, LeftMost at most
	Conflicts    int64
	Checkpoint   string // the newest one; "": none
	CheckpointAt time.Time
}

// Agent is what an agent does.
type Agent struct {
	Name  string
	State status.AgentState
	Since time.Time // zero: not known
}

// Part is how much is only on one machine, and why.
type Part struct {
	Reason account.Reason
	Count  int64
}

// Left is how much another machine has left behind.
type Left struct {
	Host  string
	Count int64
	At    time.Time
}

// Bounds of a digest.
const (
	AgentsMost = 8
	LeftMost   = 4
	nameMost   = 63 // bytes of each name
	numberMost = 1 << 53
)

// Of is what the status of a workspace says of it that runs, as of now. What is of the head is
// not in it.
func Of(doc status.Document, now time.Time) Digest {
	d := Digest{Unwell: doc.State == status.Degraded, Needs: doc.Needs(now)}
	for _, a := range doc.Agents {
		if a.State == status.AgentNone {
			continue
		}
		told := Agent{Name: a.Name, State: a.State}
		if a.Since != nil {
			told.Since = *a.Since
		}
		d.Agents = append(d.Agents, told)
	}
	var only account.Account
	for _, r := range doc.Replicas {
		d.Conflicts += int64(r.Conflicts)
		for _, p := range r.OnlyHere {
			if status.Lasting(p, now) {
				only.AddCount(p.Reason, p.Count, "")
			}
		}
	}
	for _, p := range only.Parts() {
		d.Only = append(d.Only, Part{p.Reason, int64(p.Count)})
	}
	return d.Rounded()
}

// With is the digest of a head with what its holder says of itself. Of one that is given back
// there is nobody who works, or waits for an answer.
func (d Digest) With(told Digest) Digest {
	d.Conflicts = told.Conflicts
	d.Needs = slices.Concat(d.Needs, told.Needs)
	if d.Lease == Held {
		d.Unwell, d.Agents, d.Only = told.Unwell, told.Agents, told.Only
		return d
	}
	d.Needs = slices.DeleteFunc(d.Needs, func(n status.Need) bool {
		return n != status.NeedConflicts && n != status.NeedDeletions && n != status.NeedUnsaved
	})
	return d
}

// Rounded is a digest as it can be written: what is in it says no more than it may.
func (d Digest) Rounded() Digest {
	d.Epoch, d.Serial = number(d.Epoch), number(d.Serial)
	d.Host, d.Checkpoint = name(d.Host), name(d.Checkpoint)
	d.Since, d.CheckpointAt = minute(d.Since), minute(d.CheckpointAt)
	d.TTL, d.Renew = seconds(d.TTL), seconds(d.Renew)
	d.Bytes, d.Conflicts = roundBytes(d.Bytes), About(d.Conflicts)
	d.Needs = slices.DeleteFunc(slices.Clone(d.Needs), func(n status.Need) bool { return needCode(n) < 0 })
	slices.SortFunc(d.Needs, func(a, b status.Need) int { return a.Rank() - b.Rank() })
	d.Needs = slices.Compact(d.Needs)
	d.Agents = slices.DeleteFunc(slices.Clone(d.Agents), func(a Agent) bool { return stateCode(a.State) < 0 })
	d.Agents = d.pressing(AgentsMost)
	for i := range d.Agents {
		d.Agents[i].Name, d.Agents[i].Since = name(d.Agents[i].Name), minute(d.Agents[i].Since)
	}
	d.Only = slices.DeleteFunc(slices.Clone(d.Only), func(p Part) bool { return reasonCode(p.Reason) < 0 || p.Count <= 0 })
	d.Only = d.Only[:min(len(d.Only), len(reasons))]
	for i := range d.Only {
		d.Only[i].Count = About(d.Only[i].Count)
	}
	d.Left = slices.Clone(d.Left)[max(0, len(d.Left)-LeftMost):]
	for i := range d.Left {
		d.Left[i] = Left{name(d.Left[i].Host), About(d.Left[i].Count), minute(d.Left[i].At)}
	}
	return d
}

func (a Agent) same(b Agent) bool {
	calm := a.State == status.AgentWorking || a.State == status.AgentDone
	return a.Name == b.Name && a.State == b.State && (calm || a.Since.Equal(b.Since))
}

// Same reports whether two digests say the same, whichever was written first. Since when an agent
// works, or has done what it was asked, is no news by itself.
func (d Digest) Same(o Digest) bool {
	return d.Epoch == o.Epoch && d.Lineage == o.Lineage && d.Lease == o.Lease && d.Host == o.Host && d.Since.Equal(o.Since) &&
		d.TTL == o.TTL && d.Renew == o.Renew && d.Bytes == o.Bytes && d.Unwell == o.Unwell && d.Conflicts == o.Conflicts &&
		d.SameCheckpoint(o) && slices.Equal(d.Needs, o.Needs) &&
		slices.EqualFunc(d.Agents, o.Agents, Agent.same) &&
		slices.Equal(d.Only, o.Only) &&
		slices.EqualFunc(d.Left, o.Left, func(a, b Left) bool { return a.Host == b.Host && a.Count == b.Count && a.At.Equal(b.At) })
}

// SameCheckpoint reports whether the newest checkpoint of two digests is one.
func (d Digest) SameCheckpoint(o Digest) bool {
	return d.Checkpoint == o.Checkpoint && d.CheckpointAt.Equal(o.CheckpointAt)
}

// SameButCheckpoint is Same of all but the newest checkpoint.
func (d Digest) SameButCheckpoint(o Digest) bool {
	o.Checkpoint, o.CheckpointAt = d.Checkpoint, d.CheckpointAt
	return d.Same(o)
}

// NeedsMore reports whether a digest has a need that another has not: somebody is waited for.
func (d Digest) NeedsMore(than Digest) bool {
	return slices.ContainsFunc(d.Needs, func(n status.Need) bool { return !slices.Contains(than.Needs, n) })
}

// SameTenure reports whether two digests are of one holder's time with the lease. On a store that
// knows no conditions two machines may have one epoch.
func (d Digest) SameTenure(o Digest) bool {
	return d.Lineage == o.Lineage && d.Epoch == o.Epoch && d.Host == o.Host && d.Since.Equal(o.Since)
}

// About rounds a count down to 1, 2 or 5 of a power of ten.
func About(n int64) int64 {
	if n <= 0 {
		return 0
	}
	n = number(n)
	power := int64(1)
	for n/power >= 10 {
		power *= 10
	}
	for _, step := range []int64{5, 2} {
		if n/power >= step {
			return step * power
		}
	}
	return power
}

func number(n int64) int64 { return min(max(n, 0), numberMost) }

func seconds(d time.Duration) time.Duration {
	return min(max(d, 0), 366*24*time.Hour).Truncate(time.Second)
}

// epoch is when minutes begin to be counted, so that they are few bytes.
var epoch = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// minutesMost ends with the year 2147: nothing is said of what is later.
const minutesMost = 1 << 26

// minute is a time in whole minutes; one that is none of a workspace's is none.
func minute(t time.Time) time.Time {
	if since := t.Sub(epoch); since < time.Minute || since >= minutesMost*time.Minute {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Minute)
}

// name is a name that can be shown and is not too long; what cannot be shown is left out.
func name(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	for len(s) > nameMost {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}
