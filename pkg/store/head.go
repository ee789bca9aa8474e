package store

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/wholefile"
)

// headFormat is the version of the head's format.
const headFormat = 1

// HeadState says what the last writer of a head did with the lease.
type HeadState string

// The states of a head.
const (
	Held     HeadState = "held"
	Released HeadState = "released"
	Dirty    HeadState = "dirty" // released, and something stayed on the machine: see LeftBehind
)

// Head is the one object that says who may write a workspace's prefixes, and
// which state of its replicas counts. It is written only by compare-and-swap,
// and deleted only by a [Purge].
type Head struct {
	Format     int               `json:"format"`
	Workspace  string            `json:"workspace"` // org/project/env
	Lineage    string            `json:"lineage"`   // random, made with the head
	Epoch      int64             `json:"epoch"`     // grows with each holder
	Seq        int64             `json:"seq"`       // grows with each write
	Nonce      string            `json:"nonce"`     // random, of this write
	State      HeadState         `json:"state"`
	Dirty      int               `json:"dirty,omitempty"`       // how much the last holder left behind
	LeftBehind []LeftBehind      `json:"left_behind,omitempty"` // of each machine that did, until it pushed it
	Holder     Holder            `json:"holder"`
	Request    *Request          `json:"request,omitempty"`
	TTL        float64           `json:"ttl"`             // seconds
	Renew      float64           `json:"renew,omitempty"` // seconds, at most, between two writes of a holder that lives
	Generation int64             `json:"generation"`
	Replicas   map[string]Ref    `json:"replicas"`
	Adopted    map[string]string `json:"adopted,omitempty"` // replica → listing of the plain prefix it began as
	Orphans    map[string]string `json:"orphans,omitempty"` // replica → manifest of a lost head that it was made anew from
	Recent     []Generation      `json:"recent"`            // the last generations, newest last
	Log        string            `json:"log,omitempty"`     // key of the object with the ones before
	Proven     *Proof            `json:"proven,omitempty"`  // that the store compares and swaps; immutable

	Checkpoints []Checkpoint `json:"checkpoints,omitempty"` // generations with a name, in the order in which they got it

	Origin *Origin         `json:"origin,omitempty"` // of a fork: what it was made of
	Joined map[string]Join `json:"joined,omitempty"` // fork → what was joined of it last

	Digests []string `json:"digests,omitempty"` // names of those beside the head, oldest first, as its holder knew them

	Deletions map[string]Deletions `json:"deletions,omitempty"` // replica → what was decided of its deletions, and what was not

	Collection int64                `json:"collection,omitempty"` // grows with each condemnation; part of the names of objects
	Collected  time.Time            `json:"collected,omitzero"`   // when garbage was last looked for, by the store's clock
	Condemned  map[string]Condemned `json:"condemned,omitempty"`  // replica, or "" for the head's own directory → what is to be deleted there
}

// Proof says that a store was seen to honour conditional writes.
type Proof struct {
	Store string    `json:"store"` // what it was: Root.Identity
	Host  string    `json:"host"`  // who tried, by its own clock
	Time  time.Time `json:"time"`
}

// holds reports whether the proof is one for this store, and young enough.
func (p *Proof) holds(store string, now time.Time) bool {
	return p != nil && p.Store == store && now.Sub(p.Time).Abs() < proofGood
}

// proofGood is for how long the proof in a head counts: what stands behind an
// address may be replaced, and nothing in a bucket tells of it.
const proofGood = 30 * 24 * time.Hour

// Request asks the holder to flush and hand over. Who asks writes it into the
// head; the holder meets it at its next write.
type Request struct {
	By   Holder    `json:"by"`
	Time time.Time `json:"time"`
	// Seen is when the holder had written last, by the store's clock: the head is
	// younger by now, and its holder need not be.
	Seen  time.Time `json:"seen,omitzero"`
	Over  string    `json:"over,omitempty"`  // nonce of what the holder wrote last
	Nonce string    `json:"nonce,omitempty"` // of the write that asked
}

// Condemned names a list of keys that are to be deleted.
type Condemned struct {
	List  string    `json:"list"`  // its key, in the same directory as those it names
	Since time.Time `json:"since"` // by the store's clock
	Keys  int       `json:"keys"`
}

// owner is who has, or was promised, the lease; nil when it is free.
func (h *Head) owner() *Holder {
	switch {
	case h.State == Held:
		return &h.Holder
	case h.Request != nil:
		return &h.Request.By
	}
	return nil
}

func (h *Head) askedBy(who Holder) bool {
	return h.Request != nil && h.Request.By.Instance == who.Instance
}

// onlyAsked reports whether all that came over the head before is that somebody
// asked. A version before this one does not say what it wrote over.
func (h *Head) onlyAsked(before *Head) bool {
	return h.Request != nil && (h.Request.Over == "" || h.askedOver(before.Nonce))
}

// askedOver reports whether the only change since the write with that nonce is that
// somebody asked.
func (h *Head) askedOver(nonce string) bool {
	return h.Request != nil && h.Request.Nonce == h.Nonce && h.Request.Over == nonce
}

// askedAfter gives the time of the holder's own last write when the head was written
// by who asks for the lease: to ask is not a sign of the holder's life.
func (h *Head) askedAfter() (last time.Time, asked bool) {
	if h.State != Held || h.Request == nil || h.Request.Nonce != h.Nonce || h.Request.Seen.IsZero() {
		return time.Time{}, false
	}
	return h.Request.Seen, true
}

// LeftBehind is what a machine had, and the last generation had not, when it gave the
// lease back.
type LeftBehind struct {
	Host      string         `json:"host"`
	Container string         `json:"container,omitempty"`
	Place     string         `json:"place"`
	Machine   string         `json:"machine,omitempty"`
	ID        string         `json:"id,omitempty"`
	Time      time.Time      `json:"time"`
	Left      []account.Left `json:"left"`
}

// Of reports whether it is what a holder's machine left.
func (b LeftBehind) Of(h Holder) bool {
	return h.Same(Holder{Host: b.Host, Container: b.Container, Place: b.Place, Machine: b.Machine, ID: b.ID})
}

// String says it to the next machine.
func (b LeftBehind) String() string {
	where := Holder{Host: b.Host, Container: b.Container}.name()
	return fmt.Sprintf("%s stopped at %s and has what the bucket has not: %s; it is pushed when coltecd runs there again",
		where, b.Time.UTC().Format(time.RFC3339), account.Words(b.Left))
}

// Bounds of what a head carries of what machines left: one that does not come back
// within the time that history is kept by default will not.
const (
	leftBehindFor = 7 * 24 * time.Hour
	leftBehindMax = 8
)

// leave notes what a holder leaves behind now; nothing takes it out of the list.
func (h *Head) leave(by Holder, left []account.Left, now time.Time) {
	h.LeftBehind = slices.DeleteFunc(h.LeftBehind, func(b LeftBehind) bool {
		return b.Of(by) || now.Sub(b.Time) > leftBehindFor
	})
	if len(left) == 0 {
		return
	}
	h.LeftBehind = append(h.LeftBehind, LeftBehind{
		Host: by.Host, Container: by.Container, Place: by.Place, Machine: by.Machine, ID: by.ID,
		Time: now.UTC().Truncate(time.Second), Left: left,
	})
	h.LeftBehind = h.LeftBehind[max(0, len(h.LeftBehind)-leftBehindMax):]
}

// thin drops the names of what was left and what is held, where they alone make the head
// larger than one can be: their counts stay.
func (h *Head) thin() {
	h.LeftBehind = slices.Clone(h.LeftBehind)
	for i := range h.LeftBehind {
		left := slices.Clone(h.LeftBehind[i].Left)
		for j := range left {
			left[j].Parts = slices.Clone(left[j].Parts)
			for k := range left[j].Parts {
				left[j].Parts[k].Names = nil
			}
		}
		h.LeftBehind[i].Left = left
	}
	h.Deletions = maps.Clone(h.Deletions)
	for name, d := range h.Deletions {
		d.Held = slices.Clone(d.Held)
		for i := range d.Held {
			d.Held[i].Names = nil
		}
		h.Deletions[name] = d
	}
}

// thinMore leaves of what each machine left behind a count for each reason: many replicas
// have many.
func (h *Head) thinMore() {
	for i := range h.LeftBehind {
		var all account.Account
		for _, left := range h.LeftBehind[i].Left {
			for _, p := range left.Parts {
				all.AddCount(p.Reason, p.Count, p.Why)
			}
		}
		h.LeftBehind[i].Left = []account.Left{{Replica: "all", Parts: all.Parts()}}
	}
}

// keepCount keeps what a coltecd of a version before LeftBehind counted, and did not
// name.
func (h *Head) keepCount(now time.Time) {
	named := slices.ContainsFunc(h.LeftBehind, func(b LeftBehind) bool { return b.Of(h.Holder) })
	if h.Dirty == 0 || named {
		return
	}
	var a account.Account
	a.AddCount(account.Deferred, h.Dirty, "")
	h.leave(h.Holder, []account.Left{{Replica: "all", Parts: a.Parts()}}, now)
}

// HeadKey is where the head of org/project/env lies under the root of the
// default remote.
func HeadKey(workspace string) string { return path.Join(".coltec/fleet", workspace, "head.json") }

// Holds reports whether the head or its recent ancestry was written with nonce.
func (h *Head) Holds(nonce string) bool {
	if h.Nonce == nonce {
		return true
	}
	for _, g := range h.Recent {
		if g.Nonce == nonce {
			return true
		}
	}
	return false
}

// Clone is a deep copy, so that a write that does not go through changes
// nothing.
func (h *Head) Clone() Head {
	c := *h
	c.Replicas = maps.Clone(h.Replicas)
	c.Adopted = maps.Clone(h.Adopted)
	c.Orphans = maps.Clone(h.Orphans)
	c.LeftBehind = slices.Clone(h.LeftBehind)
	c.Recent = append([]Generation(nil), h.Recent...)
	c.Condemned = maps.Clone(h.Condemned)
	c.Deletions = maps.Clone(h.Deletions)
	c.Checkpoints = slices.Clone(h.Checkpoints)
	c.Digests = slices.Clone(h.Digests)
	c.Joined = maps.Clone(h.Joined)
	return c
}

// Commit makes the refs a new generation of the head. Replicas that are not
// named keep theirs.
func (h *Head) Commit(refs map[string]Ref, now time.Time) {
	if h.Replicas == nil {
		h.Replicas = map[string]Ref{}
	}
	maps.Copy(h.Replicas, refs)
	h.Generation++
	h.Recent = append(h.Recent, Generation{
		Number: h.Generation, Epoch: h.Epoch, Nonce: h.Nonce,
		Time: now.UTC().Truncate(time.Millisecond), Replicas: maps.Clone(h.Replicas),
	})
}

// Hold makes the head say what waits at a holder's place; nil for nothing. What was said
// before a moment is of a machine that did not come back.
func (h *Head) Hold(replica string, self Holder, now *HeldDeletions, stale time.Time) {
	h.setDeletions(replica, h.Deletions[replica].hold(self, now, stale))
}

// Pass notes deletions that go with the generation that the head is of: how many somebody
// had a say in, and, unless nil, that they are many.
func (h *Head) Pass(replica string, allowed int64, many *Passed) {
	h.setDeletions(replica, h.Deletions[replica].pass(h.Generation, allowed, many))
}

// PutBack notes that what went with deletions of before is there again: there is nothing to be
// said of the last that were many.
func (h *Head) PutBack(replica string) {
	d := h.Deletions[replica]
	d.Passed = nil
	h.setDeletions(replica, d)
}

func (h *Head) setDeletions(replica string, d Deletions) {
	h.Deletions = maps.Clone(h.Deletions)
	if d.none() {
		delete(h.Deletions, replica)
		return
	}
	if h.Deletions == nil {
		h.Deletions = map[string]Deletions{}
	}
	h.Deletions[replica] = d
}

// ReadHead reads a workspace's head. The error wraps rclone.ErrNotFound when
// there is none.
func ReadHead(ctx context.Context, b Bucket, workspace string) (*Head, error) {
	body, err := Get(ctx, b, HeadKey(workspace), MaxHead)
	if err != nil {
		return nil, fmt.Errorf("cannot read head of %q: %w", workspace, err)
	}
	return ParseHead(body, workspace)
}

// ParseHead reads the head of a workspace. One of a format that a later version
// writes is refused.
func ParseHead(b []byte, workspace string) (*Head, error) {
	var h Head
	err := wholefile.Unmarshal(b, &h, headValues)
	switch {
	case len(b) > MaxHead:
		err = Impossible("it has %d bytes", len(b))
	case err != nil:
		err = Impossible("%w", err)
	case h.Format != headFormat:
		err = fmt.Errorf("format %d %w", h.Format, errLater)
	case h.Workspace != workspace:
		return nil, fmt.Errorf("cannot use head: %w", Impossible("it belongs to workspace %s, not %q", short(h.Workspace), workspace))
	default:
		err = impossible(h.check())
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read head of %q: %w", workspace, err)
	}
	return &h, nil
}

// check refuses a head that no coltecd writes.
func (h *Head) check() error {
	for _, n := range []int64{h.Epoch, h.Seq, h.Generation, h.Collection, int64(h.Dirty)} {
		if n < 0 || n > maxNumber {
			return fmt.Errorf("a number of the head is %d", n)
		}
	}
	const year = float64(366 * 24 * time.Hour / time.Second)
	if !(h.TTL >= 0 && h.TTL <= year) || !(h.Renew >= 0 && h.Renew <= year) {
		return fmt.Errorf("a lease of %g s that is renewed each %g s", h.TTL, h.Renew)
	}
	if len(h.Replicas) > maxReplicas || len(h.Recent) > 4*recentMax || len(h.LeftBehind) > 4*leftBehindMax {
		return fmt.Errorf("%d replicas, %d generations and %d machines in one head", len(h.Replicas), len(h.Recent), len(h.LeftBehind))
	}
	for _, word := range []string{h.Lineage, h.Nonce, h.Log, h.Holder.Host, h.Holder.Container, h.Holder.Instance} {
		if len(word) > maxWord {
			return fmt.Errorf("a name of %d bytes in the head", len(word))
		}
	}
	if err := errors.Join(checkRefs(h.Replicas), h.checkCheckpoints(), h.checkForks()); err != nil {
		return err
	}
	last, err := checkGenerations(h.Recent)
	if err == nil && last > h.Generation {
		err = fmt.Errorf("generation %d of %d", last, h.Generation)
	}
	return err
}

// encode makes the body of a head. One that nobody could read again is not written.
func (h *Head) encode() ([]byte, error) {
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("cannot write head: %w", impossible(err))
	}
	fits := func(body []byte) bool { return len(body) <= MaxHead && wholefile.Values(body) <= headValues }
	body, err := encodeJSON(h)
	for _, thin := range []func(){h.thin, h.thinMore} {
		if err == nil && !fits(body) {
			thin()
			body, err = encodeJSON(h)
		}
	}
	if err == nil && !fits(body) {
		err = fmt.Errorf("cannot write head: it has %d bytes and %d values, and may have %d and %d", len(body), wholefile.Values(body), MaxHead, headValues)
	}
	return body, err
}

// etagOf is the entity tag that S3 gives an object that was sent in one piece.
func etagOf(body []byte) string {
	sum := md5.Sum(body)
	return hex.EncodeToString(sum[:])
}

// NewID makes a random name: for nonces, lineages and instances.
func NewID() string {
	b := make([]byte, 12)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func encodeJSON(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return nil, fmt.Errorf("cannot encode: %w", err)
	}
	return append(b, '\n'), nil
}

// recentMax bounds what the head carries of the log of generations; half of it
// goes to an object of its own when it is full. With many replicas it is less: a
// generation names each of them in 300 bytes.
const (
	recentMax  = 64
	recentRefs = 1 << 10
)

// room is how many generations the head has room for.
func (h *Head) room() int {
	return min(recentMax, max(2, recentRefs/max(1, len(h.Replicas))))
}
