package digest

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/status"
)

// random is a digest of anything, as it may come to be written.
func random(rnd *rand.Rand) Digest {
	text := func() string {
		b := make([]rune, rnd.IntN(100))
		for i := range b {
			b[i] = []rune("abcxyz019-._ \x1b\n\u202eü漢\ufffd\x00")[rnd.IntN(18)]
		}
		return string(b)
	}
	at := func() time.Time {
		return []time.Time{{}, time.Unix(rnd.Int64N(1<<40), 0), time.Unix(1.8e9+rnd.Int64N(1e7), rnd.Int64N(1e9)), epoch.Add(time.Duration(rnd.IntN(200)) * time.Second)}[rnd.IntN(4)]
	}
	n := func() int64 { return rnd.Int64N(int64(1)<<(1+rnd.IntN(61))) - 3 }
	d := Digest{
		Epoch: n(), Serial: n(), Lineage: rnd.Uint32(), Lease: Lease(rnd.IntN(3)), Host: text(), Since: at(), TTL: time.Duration(n()), Renew: time.Duration(n()),
		Bytes: n(), Unwell: rnd.IntN(2) == 0, Conflicts: n(), Checkpoint: text(), CheckpointAt: at(),
	}
	for range rnd.IntN(14) {
		d.Needs = append(d.Needs, append(status.AllNeeds(), "later")[rnd.IntN(12)])
		d.Agents = append(d.Agents, Agent{text(), append(slices.Clone(states), status.AgentNone)[rnd.IntN(5)], at()})
		d.Only = append(d.Only, Part{append(slices.Clone(reasons), "later")[rnd.IntN(9)], n()})
		d.Left = append(d.Left, Left{text(), n(), at()})
	}
	return d
}

// What a name says is what was to be said, rounded; it fits into its room and into what disks
// know, whatever it was; and what capitals are made of it says the same.
func TestNameAndParse(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		d := random(rnd)
		before := rnd.IntN(800)
		name, err := d.Name(before)
		if err != nil {
			if before < 500 {
				t.Fatalf("no name of %+v behind %d bytes: %v", d, before, err)
			}
			continue
		}
		if before+len(name) > KeyMost {
			t.Fatalf("a key of %d bytes", before+len(name))
		}
		for part := range strings.SplitSeq(name, "/") {
			if len(part) == 0 || len(part) > segmentMost {
				t.Fatalf("a segment of %d bytes", len(part))
			}
		}
		for _, name := range []string{name, strings.ToUpper(name)} {
			got, err := Parse(name)
			if err != nil {
				t.Fatalf("%q of %+v: %v", name, d, err)
			}
			if !got.Same(got.Rounded()) {
				t.Fatalf("%+v is %+v once more", got, got.Rounded())
			}
			want := d.Rounded()
			if full := segments(alphabet.EncodeToString(want.bytes())); before+len(full) > KeyMost { // something was left out
				want.Agents, want.Left, want.Checkpoint, want.CheckpointAt = got.Agents, got.Left, got.Checkpoint, got.CheckpointAt
			}
			if !got.Same(want) || got.Serial != want.Serial {
				t.Fatal(cmp.Diff(want, got))
			}
		}
	}
}

// A workspace of a usual name with all that is usual has a name of one segment.
func TestNameIsShort(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	d := Digest{
		Epoch: 412, Serial: 9, Lineage: 1 << 31, Host: "build-7.acme.example", Since: now, TTL: 3 * time.Minute, Renew: time.Minute, Bytes: 3 << 30, Unwell: true,
		Needs:      []status.Need{status.NeedAnswer, status.NeedConflicts},
		Agents:     []Agent{{"claude", status.AgentWaits, now}, {"codex", status.AgentWorking, now}},
		Only:       []Part{{account.Moving, 2}},
		Checkpoint: "before-the-move", CheckpointAt: now,
	}
	name, err := d.Name(len(".coltec/fleet/acme/widget/dev-a/digest/"))
	if err != nil || strings.Contains(name, "/") {
		t.Errorf("%q, %v", name, err)
	}
	t.Logf("%d characters", len(name))
}

// Who needs somebody is told where there is no room for all.
func TestNameWithoutRoom(t *testing.T) {
	d := Digest{Checkpoint: strings.Repeat("c", 63), Host: strings.Repeat("h", 63)}
	for _, state := range []status.AgentState{status.AgentDone, status.AgentWorking, status.AgentDone, status.AgentWaits, status.AgentDone, status.AgentFailed} {
		d.Agents = append(d.Agents, Agent{Name: strings.Repeat("a", 60), State: state})
		d.Left = append(d.Left, Left{Host: strings.Repeat("l", 60), Count: 1})
	}
	name, err := d.Name(KeyMost - 500)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(name)
	if err != nil || len(got.Agents) != 2 || got.Agents[0].State != status.AgentWaits || got.Agents[1].State != status.AgentFailed || got.Host == "" {
		t.Errorf("%+v, %v", got, err)
	}
	if name, err := d.Name(KeyMost); !errors.Is(err, errRoom) {
		t.Errorf("no room at all: %q, %v", name, err)
	}
}

// The name of anything else is no digest: one character more, fewer or another, what is behind
// the end, another version's.
func TestParseOfAnythingElse(t *testing.T) {
	d := Digest{Epoch: 7, Host: "laptop", Needs: []status.Need{status.NeedAnswer}}
	name, err := d.Name(0)
	if err != nil {
		t.Fatal(err)
	}
	bad := []string{"", "/", "x", name + "0", name[1:], name[:len(name)-1], name + "/", "/" + name, name[:9] + "//" + name[9:], name + "\n", "../" + name, strings.Repeat("0", 201), strings.Repeat("0", 5000), strings.Replace(name, name[:1], "ü", 1)}
	for i := range name {
		other := byte('0')
		if name[i] == '0' {
			other = 'v'
		}
		bad = append(bad, name[:i]+string(other)+name[i+1:])
	}
	for _, name := range bad {
		if d, err := Parse(name); !errors.Is(err, ErrNone) {
			t.Errorf("%q is %+v, %v", name, d, err)
		}
	}
}

// FuzzParse: no name says what cannot be shown, or what no digest says; and what one says is
// said by the name that is written of it.
func FuzzParse(f *testing.F) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		name, _ := random(rnd).Name(0)
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		d, err := Parse(name)
		if err != nil {
			return
		}
		again, err := d.Name(0)
		if err != nil {
			t.Fatalf("%+v has no name: %v", d, err)
		}
		if got, err := Parse(again); err != nil || !got.Same(d) || got.Serial != d.Serial || len(d.Agents) > AgentsMost || len(d.Left) > LeftMost {
			t.Fatalf("%+v, %v, of %+v", got, err, d)
		}
	})
}

// FuzzBytes: the same of what has the right sum, which chance does not come to.
func FuzzBytes(f *testing.F) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		f.Add(random(rnd).Rounded().bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 5 {
			return
		}
		r := reader{b: b[1 : len(b)-4]}
		d := r.digest()
		if r.bad || len(r.b) > 0 {
			return
		}
		if !d.Same(d.Rounded()) {
			t.Fatalf("%+v is written as %+v", d, d.Rounded())
		}
	})
}

// named is the name that bytes have as a digest, with their sum.
func named(b []byte) string {
	return segments(alphabet.EncodeToString(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))))
}

// What a later version writes is told from what nobody does: the one has its sum.
func TestParseOfALaterVersion(t *testing.T) {
	d := Digest{Epoch: 7, Host: "laptop", Needs: []status.Need{status.NeedAnswer}}.Rounded()
	now := d.bytes()
	now = now[:len(now)-sumSize]
	needs := func(mask uint64) []byte { // those are behind version, flags, lineage, five numbers of a byte, and a byte
		return binary.AppendUvarint(slices.Clone(now[:12]), mask)
	}
	if got, err := Parse(named(slices.Concat(needs(1), now[13:]))); err != nil || !got.Same(d) {
		t.Fatalf("the test does not know where needs are: %+v, %v", got, err)
	}
	for why, b := range map[string][]byte{
		"another format":      slices.Concat([]byte{2}, now[1:]),
		"only a format":       {9},
		"one field more":      append(slices.Clone(now), 1),
		"one field less":      now[:len(now)-1],
		"a state of a lease":  slices.Concat([]byte{version, 3 << 1}, now[2:]),
		"a need that is new":  slices.Concat(needs(1<<len(status.AllNeeds())), now[13:]),
		"a need of far later": slices.Concat(needs(1<<62), now[13:]),
	} {
		if d, err := Parse(named(b)); !errors.Is(err, ErrLater) {
			t.Errorf("%s: %+v, %v", why, d, err)
		}
	}
	for _, name := range []string{named(nil), named(now)[1:] + "0"} {
		if d, err := Parse(name); !errors.Is(err, ErrNone) {
			t.Errorf("%q: %+v, %v", name, d, err)
		}
	}
}

// Small letters are made of those capitals alone that a digest may have.
func TestParseOfOtherCapitals(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	seen := false
	for range 50 {
		name, err := random(rnd).Name(0)
		if err != nil {
			t.Fatal(err)
		}
		if kelvin := strings.Replace(name, "k", "\u212a", 1); kelvin != name {
			seen = true
			if d, err := Parse(kelvin); !errors.Is(err, ErrNone) {
				t.Fatalf("%q is %+v, %v", kelvin, d, err)
			}
		}
	}
	if !seen {
		t.Error("no name has a k")
	}
}

// Of more agents than a digest has room for, those are in it that somebody is needed for.
func TestOfManyAgents(t *testing.T) {
	var doc status.Document
	for i := range 3 * AgentsMost {
		state := status.AgentWorking
		if i == 2*AgentsMost {
			state = status.AgentWaits
		}
		doc.Agents = append(doc.Agents, status.Agent{Name: string(rune('a' + i)), State: state})
	}
	d := Of(doc, time.Now())
	if len(d.Agents) != AgentsMost || d.Agents[0].State != status.AgentWaits || !slices.Contains(d.Needs, status.NeedAnswer) {
		t.Errorf("%+v", d)
	}
}

// One holder's time with the lease is not another's, whatever they share.
func TestSameTenure(t *testing.T) {
	a := Digest{Lineage: 1, Epoch: 7, Host: "laptop", Since: epoch.Add(time.Hour)}
	for why, change := range map[string]func(*Digest){
		"lineage": func(d *Digest) { d.Lineage++ }, "epoch": func(d *Digest) { d.Epoch++ },
		"host": func(d *Digest) { d.Host = "desktop" }, "since": func(d *Digest) { d.Since = epoch },
	} {
		b := a
		if change(&b); a.SameTenure(b) {
			t.Errorf("another %s is the same", why)
		}
	}
	b := a
	if b.Serial, b.Lease, b.Needs = 9, Released, []status.Need{status.NeedAnswer}; !a.SameTenure(b) {
		t.Error("what it says later is another's")
	}
}

func TestAbout(t *testing.T) {
	for n, want := range map[int64]int64{-1: 0, 0: 0, 1: 1, 2: 2, 3: 2, 4: 2, 5: 5, 9: 5, 10: 10, 19: 10, 20: 20, 49: 20, 50: 50, 99: 50, 100: 100, 777: 500, 1 << 53: 5e15} {
		if got := About(n); got != want || About(got) != got {
			t.Errorf("%d is about %d, want %d", n, got, want)
		}
	}
	for _, n := range []int64{0, 1, 2, 3, 1000, 1023, 1024, 1e9, 1 << 40, 1<<62 + 1} {
		if got := roundBytes(n); got > n || float64(got) < float64(n)*0.84-1 || roundBytes(got) != got {
			t.Errorf("%d bytes are about %d, and those %d", n, got, roundBytes(got))
		}
	}
}

// What comes and goes within a minute is in no digest, what waits for somebody is at once.
func TestOf(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	since := now.Add(-3 * time.Second)
	doc := status.Document{State: status.Degraded, Agents: []status.Agent{{Name: "claude", State: status.AgentWaits, Since: &since}, {Name: "codex", State: status.AgentNone}}}
	doc.Replicas = []status.Replica{
		{Name: "a", Conflicts: 3, OnlyHere: []account.Part{{Reason: account.Deferred, Count: 7, Since: since}, {Reason: account.Unread, Count: 3, Since: since}}},
		{Name: "b", Conflicts: 4, OnlyHere: []account.Part{{Reason: account.Moving, Count: 4, Since: now.Add(-2 * time.Minute)}, {Reason: account.Held, Count: 40, Since: since}, {Reason: account.Unread, Count: 4, Since: since}}},
	}
	want := Digest{
		Unwell: true, Conflicts: 5, Needs: []status.Need{status.NeedAnswer, status.NeedConflicts, status.NeedDeletions, status.NeedAttention},
		Agents: []Agent{{"claude", status.AgentWaits, now.Add(-time.Minute)}},
		Only:   []Part{{account.Moving, 2}, {account.Unread, 5}, {account.Held, 20}},
	}
	if got := Of(doc, now); !got.Same(want) {
		t.Error(cmp.Diff(want, got))
	}
	ended := Digest{Lease: Released, Needs: []status.Need{status.NeedUnsaved}}.With(want)
	if !slices.Equal(ended.Rounded().Needs, []status.Need{status.NeedConflicts, status.NeedDeletions, status.NeedUnsaved}) || len(ended.Agents) > 0 || ended.Unwell || ended.Conflicts != 5 {
		t.Errorf("once it was given back: %+v", ended)
	}
	if !want.NeedsMore(Digest{}) || want.NeedsMore(want) || (Digest{}).NeedsMore(want) {
		t.Error("somebody is waited for, or not")
	}
}

// A code stands for the same for ever, and each need, state and reason has one.
func TestCodes(t *testing.T) {
	for _, n := range status.AllNeeds() {
		if needCode(n) < 0 {
			t.Errorf("need %s has no code: put it at the end", n)
		}
	}
	if needs[0] != status.NeedAnswer || needs[10] != status.NeedAttention || states[1] != status.AgentWaits || states[3] != status.AgentFailed || reasons[0] != account.Moving || reasons[7] != account.Unread {
		t.Error("a code stands for something else than it did")
	}
	name, err := Digest{Epoch: 5, Serial: 2, Host: "a", TTL: 180 * time.Second, Renew: time.Minute, Needs: []status.Need{status.NeedBlocked}}.Name(0)
	if want := firstName; err != nil || name != want {
		t.Errorf("the digest that the first version wrote as %s is %s", want, name)
	}
}

// firstName is what the first version wrote.
const firstName = "04000000002g405k04u0040005gg00000007lfgrgs"

// What is no news is not written: since when an agent works changes with each of its turns.
func TestSameOfAgents(t *testing.T) {
	early, late := time.Unix(60, 0), time.Unix(120, 0)
	for state, want := range map[status.AgentState]bool{
		status.AgentWorking: true, status.AgentDone: true, status.AgentWaits: false, status.AgentFailed: false,
	} {
		a, b := Digest{Agents: []Agent{{Name: "claude", State: state, Since: early}}}, Digest{Agents: []Agent{{Name: "claude", State: state, Since: late}}}
		if got := a.Same(b); got != want {
			t.Errorf("%s since later is the same: %v", state, got)
		}
		b.Agents[0].State = status.AgentNone
		if a.Same(b) {
			t.Errorf("%s is the same as no state", state)
		}
	}
}
