package fleet

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/digest"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// Seen is a head in the bucket, and when it was last written: the store's time, told by this
// machine's clock where that is known to be another.
type Seen struct {
	Head   store.Head // of one that cannot be read the name alone; of others what a row shows
	Digest digest.Digest
	Left   []string // what machines left behind, in words
	At     time.Time
	Asked  time.Time // when the bucket was asked, by the clock that At is told by; zero: now
	Bad    error     // why it cannot be read
}

// leftMost is how many bytes of such words are kept: a thousand heads are held at a time.
const leftMost = 2 << 10

// see keeps of a head that was read what a row shows, with what its holder said beside it; nil for
// nothing.
func see(h *store.Head, said *told, at time.Time) Seen {
	s := Seen{At: at, Digest: h.Digest(), Head: store.Head{Workspace: h.Workspace, State: h.State, Holder: h.Holder, TTL: h.TTL, Dirty: h.Dirty}}
	if said != nil {
		s.Digest = s.Digest.With(said.Digest).Rounded()
	}
	for _, b := range h.LeftBehind {
		text := b.String()
		if len(text) > leftMost {
			text = strings.ToValidUTF8(text[:leftMost], "") + "…"
		}
		s.Left = append(s.Left, text)
	}
	return s
}

// seen is what a digest says of a head.
func (h listed) seen(d digest.Digest) Seen {
	s := Seen{At: h.at, Digest: d, Head: store.Head{Workspace: h.workspace, State: store.Held, Holder: store.Holder{Host: d.Host, Since: d.Since}, TTL: d.TTL.Seconds()}}
	switch d.Lease {
	case digest.Released:
		s.Head.State = store.Released
	case digest.Dirty:
		s.Head.State = store.Dirty
	}
	for _, l := range d.Left {
		s.Left = append(s.Left, leftText(l))
	}
	return s
}

// leftText says what a machine left behind, as far as a digest does.
func leftText(l digest.Left) string {
	when, what := "", "changes; they are"
	if !l.At.IsZero() {
		when = " at " + l.At.Format(time.RFC3339)
	}
	if l.Count > 0 {
		what = "about " + hint.Count(l.Count, "change; it is", "changes; they are")
	}
	return fmt.Sprintf("%s stopped%s and has what the bucket has not: %s pushed when coltecd runs there again", cmp.Or(l.Host, "a machine"), when, what)
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
		row.LastSeen, row.LastSave = &s.At, &s.At
	}
	if s.Bad != nil {
		row.State, row.Attention, row.LastSave = Unreadable, append(row.Attention, s.Bad.Error()), nil
		row.need(status.NeedUnreadable)
		return row
	}
	row.told(s.Digest)
	row.Attention = append(row.Attention, s.Left...)
	switch h.State {
	case store.Held:
		row.State, row.Where = Elsewhere, place(h.Holder)
		if !h.Holder.Since.IsZero() {
			row.Since = &h.Holder.Since
		}
		// By when the bucket was asked: who cannot ask it again knows no more.
		if ttl := time.Duration(h.TTL * float64(time.Second)); row.LastSeen != nil && cmp.Or(s.Asked, now).Sub(s.At) > ttl {
			row.lost(s, now)
		} else {
			row.held(s.Digest, now)
		}
	case store.Dirty:
		row.need(status.NeedUnsaved)
		if len(s.Left) == 0 { // an older coltecd named nothing, and not each digest has room for it
			what := "changes that are"
			if h.Dirty > 0 {
				what = hint.Count(h.Dirty, "change that is", "changes that are")
			}
			row.Attention = append(row.Attention, fmt.Sprintf("%s stopped with %s not in the bucket", cmp.Or(place(h.Holder), "a machine"), what))
		}
	}
	return row
}

// told takes over what a digest says, whoever has the lease.
func (r *Row) told(d digest.Digest) {
	r.bytes, r.Conflicts = d.Bytes, int(d.Conflicts)
	if d.Checkpoint != "" {
		r.Checkpoint = &Checkpoint{d.Checkpoint, d.CheckpointAt}
	}
	for _, p := range d.Only {
		r.OnlyHere = append(r.OnlyHere, account.Part{Reason: p.Reason, Count: int(p.Count)})
	}
	r.need(d.Needs...)
	if d.Conflicts > 0 {
		r.Attention = append(r.Attention, fmt.Sprintf("about %d local versions lost their name to a remote one: coltecd conflicts, there, lists them", d.Conflicts))
	}
}

// held takes over what a digest says of a holder that lives.
func (r *Row) held(d digest.Digest, now time.Time) {
	if d.Renew > 0 {
		r.requests = month.Seconds() / d.Renew.Seconds()
	}
	for _, a := range d.Agents {
		agent := status.Agent{Name: a.Name, State: a.State, Resume: []string{}}
		if !a.Since.IsZero() {
			agent.Since = &a.Since
		}
		r.Agents = append(r.Agents, agent)
	}
	r.onlyThere()
	if d.Unwell && r.Needs == status.NeedAttention {
		r.Attention = append(r.Attention, fmt.Sprintf("coltecd on %s says that something needs attention: see coltecd status there", r.machine()))
	}
	r.Attention = append(needs(r.Agents, now), r.Attention...)
}

// machine is the one of the row, in a sentence.
func (r *Row) machine() string { return cmp.Or(r.Where, "its machine") }

// onlyThere says what only the machine of the row has.
func (r *Row) onlyThere() {
	if len(r.OnlyHere) > 0 {
		r.Attention = append(r.Attention, fmt.Sprintf("only on %s: about %s", r.machine(), account.FromParts(r.OnlyHere)))
	}
}

// lost says of one that was not seen for longer than its lease. Nobody there waits, as far as
// anybody knows.
func (r *Row) lost(s Seen, now time.Time) {
	r.State, r.Needs = Lost, ""
	for _, n := range s.Digest.Needs {
		if n == status.NeedConflicts || n == status.NeedDeletions || n == status.NeedUnsaved {
			r.need(n)
		}
	}
	if len(r.OnlyHere) > 0 {
		r.need(status.NeedLost)
	}
	r.onlyThere()
	r.Attention = append(r.Attention, fmt.Sprintf("%s was last seen %s ago: the next machine that wants it takes it", r.machine(), now.Sub(s.At).Round(time.Second)))
}
