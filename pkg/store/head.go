package store

import (
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
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
// which state of its replicas counts. It is written only by compare-and-swap
// and never deleted.
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

// holds says whether the proof is one for this store, and young enough.
func (p *Proof) holds(store string, now time.Time) bool {
	return p != nil && p.Store == store && now.Sub(p.Time).Abs() < proofGood
}

// Holder says who has the lease.
type Holder struct {
	Host      string    `json:"host"`
	Container string    `json:"container"`
	Boot      string    `json:"boot"`     // boot id of the machine
	Instance  string    `json:"instance"` // random, of one run of the program
	Place     string    `json:"place"`    // device and inode of the workspace
	PID       int       `json:"pid"`
	Start     int64     `json:"start"`             // of that process, in clock ticks since boot
	Space     string    `json:"space,omitempty"`   // the namespaces in which PID and Start mean something
	Ground    string    `json:"ground,omitempty"`  // device and inode of what it has locked, as long as it lives
	Machine   string    `json:"machine,omitempty"` // hash of the machine-id, where there is one
	ID        string    `json:"id,omitempty"`      // random, kept on the machine for the user
	Since     time.Time `json:"since"`
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

// Ref says where a generation has a replica's tree.
type Ref struct {
	Manifest string `json:"manifest"` // key under the replica's prefix; "" in a mirror
	Files    int64  `json:"files"`
	Bytes    int64  `json:"bytes"`
	Filters  string `json:"filters"`         // hash of the rules that the tree was seen through
	Older    int    `json:"older,omitempty"` // paths whose state was not the newest one
}

// Generation is one committed state of all replicas.
type Generation struct {
	Number   int64          `json:"generation"`
	Epoch    int64          `json:"epoch"`
	Nonce    string         `json:"nonce"` // of the write that committed it
	Time     time.Time      `json:"time"`
	Replicas map[string]Ref `json:"replicas"`
}

// HeadKey is where the head of org/project/env lies under the root of the
// default remote.
func HeadKey(workspace string) string { return path.Join(".coltec/fleet", workspace, "head.json") }

// Holds says whether the head or its recent ancestry was written with nonce.
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
