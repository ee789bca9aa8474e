package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/digest"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// What digests come to is the same in whatever order a store lists them: of each lineage the last
// of each holder of its latest epoch.
func TestVoicesInAnyOrder(t *testing.T) {
	seed := sample.Seed(t)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 500 {
		var all []told
		for range 1 + rnd.IntN(12) {
			all = append(all, told{digest.Digest{
				Lineage: uint32(rnd.IntN(2)), Epoch: int64(rnd.IntN(3)), Host: []string{"a", "b"}[rnd.IntN(2)], Serial: int64(rnd.IntN(3)),
			}, time.Unix(int64(rnd.IntN(3)), 0)})
		}
		heard := func() string {
			rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			var v voices
			for _, x := range all {
				v.add(x)
			}
			var lines []string
			for _, x := range v.told {
				lines = append(lines, fmt.Sprintf("lineage %d epoch %d host %s serial %d at %d", x.Lineage, x.Epoch, x.Host, x.Serial, x.at.Unix()))
			}
			slices.Sort(lines)
			return strings.Join(lines, "\n")
		}
		first := heard()
		for range 5 {
			if diff := cmp.Diff(first, heard()); diff != "" {
				t.Fatalf("in another order: %s", diff)
			}
		}
	}
}

// Whoever may write into the bucket fills no memory, and what it writes hides nobody: beside ten
// thousand digests the head is read, which says how it is.
func TestTenThousandDigests(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	h := held("o/p/e", "laptop", 7)
	for why, change := range map[string]func(*digest.Digest, int){
		"of as many heads":  func(d *digest.Digest, i int) { d.Lineage += uint32(i) },
		"of as many hosts":  func(d *digest.Digest, i int) { d.Host = fmt.Sprint("host", i) },
		"of earlier epochs": func(d *digest.Digest, i int) { d.Epoch = int64(i % 7) },
		"of one lease":      func(d *digest.Digest, i int) { d.Serial = int64(i) },
	} {
		t.Run(why, func(t *testing.T) {
			b := &bucket{objects: map[string]time.Time{store.HeadKey(h.Workspace): now.Add(-time.Minute)}, heads: map[string]store.Head{store.HeadKey(h.Workspace): h}}
			for i := range 10_000 {
				b.objects[keyOf(t, h, func(d *digest.Digest) { change(d, i) })] = now.Add(-time.Duration(i) * time.Second)
			}
			b.objects[keyOf(t, h, func(d *digest.Digest) { d.Serial, d.Needs = 10_000, []status.Need{status.NeedAnswer} })] = now.Add(-time.Minute)
			found, _, err := list(t.Context(), b, now, patience)
			if err != nil || len(found) != 1 || len(found[0].voices.told) > voicesMost {
				t.Fatalf("%+v, %v", found, err)
			}
			seen, _, err := Heads(t.Context(), b, now, patience, patience)
			if err != nil || len(seen) != 1 {
				t.Fatalf("%+v, %v", seen, err)
			}
			if r := Rows(nil, seen, now)[0]; r.State != Elsewhere || r.Where != "laptop" {
				t.Errorf("%+v", r)
			}
		})
	}
}

// No key says anything of another workspace than that it lies beside, and none is no key: with
// markup, codes of a terminal, letters that change the direction, 1,024 bytes.
func TestOddKeys(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	laptop, desktop := held("o/p/e", "laptop", 7), held("o/p/e", "desktop", 8)
	_, name, _ := store.SplitDigestKey(keyOf(t, desktop, nil))
	b := &bucket{
		objects: map[string]time.Time{
			store.HeadKey("o/p/e"): now, fleetPrefix + "/o/p/x/../e/digest/" + name: now, fleetPrefix + "/o/p/./e/digest/" + name: now, fleetPrefix + "//o/p/e/digest/" + name: now,
			fleetPrefix + "/o/p/e/digest/" + name + "\x1b[2J": now, fleetPrefix + "/o/p/e/digest/<script>": now, fleetPrefix + "/o/p/e/digest/" + strings.Repeat("0", 1024): now,
			fleetPrefix + "/o/p/e/digest/\u202e" + name: now, fleetPrefix + "/o/p/e/digest": now, fleetPrefix + "/o/p/e/digest/": now, fleetPrefix + "/head.json": now,
		},
		heads: map[string]store.Head{store.HeadKey("o/p/e"): laptop},
	}
	for _, odd := range []string{"o/../e", "o//e", "./p/e", "o/p/..", "o/p/\x1b[2J", "o/p/\u202ee", strings.Repeat("x", 1000) + "/p/e", "o/p/\xff"} {
		b.objects[fleetPrefix+"/"+odd+"/head.json"] = now
	}
	seen, _, err := Heads(t.Context(), b, now, patience, patience)
	if err != nil || !slices.Equal(b.read, []string{store.HeadKey("o/p/e")}) {
		t.Fatalf("%q were read, %v", b.read, err)
	}
	good := 0
	for _, r := range Rows(nil, seen, now) {
		if r.State != Unreadable {
			good++
			if r.Workspace != "o/p/e" || r.Where != "laptop" {
				t.Errorf("%+v", r)
			}
		}
	}
	if good != 1 || len(seen) != 9 {
		t.Errorf("%d of %d: %+v", good, len(seen), seen)
	}
}

// Nobody waits on a machine that is gone, as far as anybody knows; what only it has is said.
func TestLostSaysNothingOfAgents(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	h := held("o/p/e", "laptop", 7)
	key := keyOf(t, h, func(d *digest.Digest) {
		d.Unwell, d.Needs = true, []status.Need{status.NeedAnswer, status.NeedAttention}
		d.Agents = []digest.Agent{{Name: "claude", State: status.AgentWaits}}
		d.Only = []digest.Part{{Reason: account.Unread, Count: 2}}
	})
	at := now.Add(-time.Hour)
	b := &bucket{objects: map[string]time.Time{store.HeadKey(h.Workspace): at, key: at}, heads: map[string]store.Head{store.HeadKey(h.Workspace): h}}
	seen, _, err := Heads(t.Context(), b, now, patience, patience)
	if err != nil || len(seen) != 1 {
		t.Fatalf("%+v, %v", seen, err)
	}
	rows := Rows(nil, seen, now)
	Cost(rows, Price{Million: 5})
	r := rows[0]
	text := strings.Join(r.Attention, "\n")
	if r.State != Lost || r.Needs != status.NeedLost || len(r.Agents) > 0 || r.CostMonth != nil || strings.Contains(text, "claude") || strings.Contains(text, "coltecd on") ||
		!strings.Contains(text, "only on laptop: about 2") || !strings.Contains(text, "laptop was last seen 1h0m0s ago") {
		t.Errorf("%+v", r)
	}
}

// A bucket that cannot be asked any more says nothing new: a workspace that lived when it was
// asked last is not lost by that.
func TestWhoCannotAskLosesNobody(t *testing.T) {
	asked := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	h := held("o/p/e", "laptop", 7)
	b := &bucket{objects: map[string]time.Time{store.HeadKey(h.Workspace): asked, keyOf(t, h, nil): asked}, heads: map[string]store.Head{store.HeadKey(h.Workspace): h}}
	for _, read := range []bool{false, true} {
		if read {
			delete(b.objects, keyOf(t, h, nil))
		}
		seen, _, err := Heads(t.Context(), b, asked, patience, patience)
		if err != nil || len(seen) != 1 || len(b.read) > 0 != read {
			t.Fatalf("%+v, %v", seen, err)
		}
		if r := Rows(nil, seen, asked.Add(time.Hour))[0]; r.State != Elsewhere {
			t.Errorf("read %v: an hour later, unasked: %+v", read, r)
		}
	}
}

// Sentences have no time that nobody said, no count of nothing, and no place without a name.
func TestSentencesOfLittle(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for why, tt := range map[string]struct {
		change func(*store.Head, *digest.Digest)
		want   string
	}{
		"left by nobody, at no time": {func(_ *store.Head, d *digest.Digest) { d.Left = []digest.Left{{}} }, "a machine stopped and has what the bucket has not: changes; they are pushed when"},
		"left, as one says it":       {func(_ *store.Head, d *digest.Digest) { d.Left = []digest.Left{{Host: "desktop", Count: 20, At: now}} }, "desktop stopped at 2026-11-30T12:00:00Z and has what the bucket has not: about 20 changes; they"},
		"no room for what was left":  {func(h *store.Head, _ *digest.Digest) { h.State = store.Dirty }, "laptop stopped with changes that are not in the bucket"},
		"only on no machine": {func(_ *store.Head, d *digest.Digest) {
			d.Host, d.Only = "", []digest.Part{{Reason: account.Unread, Count: 2}}
		}, "only on its machine: about 2"},
	} {
		h := held("o/p/e", "laptop", 7)
		d := digest.Digest{}
		tt.change(&h, &d)
		d = func() digest.Digest { full := h.Digest(); full.Left, full.Only = d.Left, d.Only; return full }()
		if strings.Contains(why, "no machine") {
			d.Host = ""
		}
		name, err := store.DigestName(h.Workspace, d)
		if err != nil {
			t.Fatal(err)
		}
		b := &bucket{objects: map[string]time.Time{store.HeadKey(h.Workspace): now, store.DigestKey(h.Workspace, name): now}}
		seen, _, err := Heads(t.Context(), b, now, patience, patience)
		if err != nil || len(seen) != 1 || len(b.read) > 0 {
			t.Fatalf("%s: %+v, %v", why, seen, err)
		}
		if text := strings.Join(Rows(nil, seen, now)[0].Attention, "\n"); !strings.Contains(text, tt.want) {
			t.Errorf("%s: no %q in %q", why, tt.want, text)
		}
	}
}

// Where a coltecd here has nothing to say of the lease any more, the bucket says who has it.
func TestWhereOfAQuietOne(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	doc := func(state status.State, epoch int64) *status.Document {
		return &status.Document{State: state, Lease: status.Lease{Epoch: epoch}}
	}
	old := now.Add(-time.Hour)
	for why, tt := range map[string]struct {
		local Local
		epoch int64 // of laptop's lease
		want  string
	}{
		"killed, and nobody took it":          {Local{Container: "c", Running: true, Status: doc(status.Running, 7), Written: old}, 7, "silent here"},
		"killed, and taken since":             {Local{Container: "c", Running: true, Status: doc(status.Running, 7), Written: old}, 8, "silent laptop"},
		"it never said anything":              {Local{Container: "c", Running: true}, 8, "silent laptop"},
		"stopped, and taken since":            {Local{Container: "c", Running: true, Status: doc(status.Stopped, 7), Written: now}, 8, "stopped laptop"},
		"stopped, and nobody took it":         {Local{Container: "c", Running: true, Status: doc(status.Stopped, 7), Written: now}, 7, "stopped here"},
		"told to do nothing, and taken since": {Local{Container: "c", Running: true, Disabled: true, Status: doc(status.Running, 7), Written: old}, 8, "disabled laptop"},
		"told to do nothing from the start":   {Local{Container: "c", Running: true, Disabled: true}, 8, "disabled laptop"},
		"it runs, and says it itself":         {Local{Container: "c", Running: true, Status: doc(status.Running, 7), Written: now}, 8, "running here"},
	} {
		h := held("o/p/e", "laptop", tt.epoch)
		tt.local.Workspace, tt.local.Folder = h.Workspace, "/e"
		rows := Rows([]Local{tt.local}, []Seen{see(&h, nil, now)}, now)
		if got := rows[0].State + " " + rows[0].Where; got != tt.want {
			t.Errorf("%s: %s, want %s", why, got, tt.want)
		}
	}
}

// Nothing renews the lease of a coltecd that says nothing, or was told to do nothing: it costs
// what it keeps.
func TestCostOfAQuietOne(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	doc := &status.Document{State: status.Running, Lease: status.Lease{Cost: status.Cost{IdlePerMonth: 43_200}}, Replicas: []status.Replica{{Bytes: 1e9}}}
	for why, tt := range map[string]struct {
		local Local
		want  string
	}{
		"it runs":            {Local{Container: "c", Running: true, Status: doc, Written: now}, "1.22"},
		"silent":             {Local{Container: "c", Running: true, Status: doc, Written: now.Add(-time.Hour)}, "1.00"},
		"told to do nothing": {Local{Container: "c", Running: true, Disabled: true, Status: doc, Written: now}, "1.00"},
		"down":               {Local{Container: "c", Status: doc, Written: now}, "1.00"},
	} {
		rows := Rows([]Local{tt.local}, nil, now)
		Cost(rows, Price{Gigabyte: 1, Million: 5})
		if c := rows[0].CostMonth; c == nil || fmt.Sprintf("%.2f", *c) != tt.want {
			t.Errorf("%s: %v, want %s", why, c, tt.want)
		}
	}
}

// When a head was written is by the store's clock, and who looks has another: an hour off on
// either side, a workspace that lives is not lost, and its head is not read for that.
func TestAClockThatIsOff(t *testing.T) {
	sample.Long(t)
	s := s3test.Start(t)
	fill(t, s, "acme/widget/dev", time.Now())
	for _, off := range []time.Duration{0, time.Hour, -time.Hour, 10 * time.Minute, -24 * time.Hour} {
		proxy := s.Proxy(t)
		root, _ := counted(t, s, proxy.Endpoint)
		now := time.Now().Add(off)
		seen, _, err := Heads(t.Context(), root, now, patience, patience)
		if err != nil || len(seen) != 1 {
			t.Fatalf("%s: %+v, %v", off, seen, err)
		}
		r := Rows(nil, seen, now)[0]
		if ago := now.Sub(*r.LastSeen); r.State != Elsewhere || ago < -2*time.Minute || ago > time.Hour/2 || proxy.Counts()[s3test.Get] > 0 {
			t.Errorf("%s off: %s, seen %s ago, %v", off, r.State, ago, proxy.Counts())
		}
	}
}

// Who may only read sees all: nothing is written for a look, and nothing but a listing and reads
// is asked for.
func TestReadOnlyKeys(t *testing.T) {
	sample.Long(t)
	s := s3test.Start(t)
	fill(t, s, "acme/widget/dev", time.Now())
	old := held("acme/widget/old", "desktop", 3)
	body, err := json.Marshal(old)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, store.HeadKey(old.Workspace), string(body))
	proxy := s.Proxy(t)
	reads := []s3test.Kind{s3test.Get, s3test.List, s3test.Head}
	proxy.Inject(s3test.Fault{If: func(r s3test.Request) bool { return !slices.Contains(reads, r.Kind) }, Status: 403, Code: "AccessDenied"})
	root, _ := counted(t, s, proxy.Endpoint)
	seen, _, err := Heads(t.Context(), root, time.Now(), patience, patience)
	if err != nil || len(seen) != 2 {
		t.Fatalf("%+v, %v", seen, err)
	}
	for kind, n := range proxy.Counts() {
		if !slices.Contains(reads, kind) {
			t.Errorf("%d requests of kind %s", n, kind)
		}
	}
	for _, r := range Rows(nil, seen, time.Now()) {
		if r.State != Elsewhere {
			t.Errorf("%+v", r)
		}
	}
}

// A store that lists with delay shows the digest of before, both, or none; whichever it is, the
// row is of one moment, and a head that the listing has and the store has not is no row.
func TestListingsBehind(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	h := held("o/p/e", "laptop", 7)
	before := keyOf(t, h, func(d *digest.Digest) { d.Serial = 1 })
	after := keyOf(t, h, func(d *digest.Digest) { d.Serial, d.Needs = 2, []status.Need{status.NeedAnswer} })
	for why, tt := range map[string]struct {
		digests []string
		needs   status.Need
	}{
		"the one before": {[]string{before}, ""}, "both": {[]string{after, before}, status.NeedAnswer}, "the new one": {[]string{after}, status.NeedAnswer}, "none": {nil, ""},
	} {
		b := &bucket{objects: map[string]time.Time{store.HeadKey(h.Workspace): now}, heads: map[string]store.Head{store.HeadKey(h.Workspace): h}}
		for _, key := range tt.digests {
			b.objects[key] = now
		}
		seen, _, err := Heads(t.Context(), b, now, patience, patience)
		if err != nil || len(seen) != 1 {
			t.Fatalf("%s: %+v, %v", why, seen, err)
		}
		if r := Rows(nil, seen, now)[0]; r.State != Elsewhere || r.Where != "laptop" || r.Needs != tt.needs {
			t.Errorf("%s: %+v", why, r)
		}
	}
	gone := &emptied{bucket{objects: map[string]time.Time{store.HeadKey(h.Workspace): now}}}
	if seen, _, err := Heads(t.Context(), gone, now, patience, patience); err != nil || len(seen) > 0 {
		t.Errorf("of a head that is gone: %+v, %v", seen, err)
	}
}

// emptied is a bucket of which only the listing is left.
type emptied struct{ bucket }

func (*emptied) Download(_ context.Context, keys []string, _ string, _ func(rclone.Progress)) (rclone.Transfer, error) {
	return rclone.Transfer{}, &rclone.Error{Op: "download", Key: keys[0], Class: rclone.NotFound}
}

// FuzzKeys: whatever key lies in a bucket, a look at it says of another workspace what its head
// and its holder do.
func FuzzKeys(f *testing.F) {
	for _, key := range []string{"o/p/e/digest/00", "o/p/x/head.json", "o/p/x/../e/digest/v0", "\x00", "o/p/e/digest/" + strings.Repeat("v", 900), "a/b/\u202e/head.json"} {
		f.Add(key)
	}
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	h := held("o/p/e", "laptop", 7)
	d := h.Digest()
	d.Needs = []status.Need{status.NeedAnswer}
	name, err := store.DigestName(h.Workspace, d)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, key string) {
		b := &bucket{objects: map[string]time.Time{fleetPrefix + "/" + key: now}, heads: map[string]store.Head{store.HeadKey(h.Workspace): h}}
		b.objects[store.HeadKey(h.Workspace)], b.objects[store.DigestKey(h.Workspace, name)] = now, now
		seen, _, err := Heads(t.Context(), b, now, patience, patience)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, r := range Rows(nil, seen, now) {
			found = found || r.Workspace == h.Workspace && r.State == Elsewhere && r.Where == "laptop" && r.Needs == status.NeedAnswer
		}
		if !found {
			t.Fatalf("beside %q: %+v", key, seen)
		}
	})
}

// A listing of several pages says the same as one of one, and costs a request for each.
func TestListingOfSeveralPages(t *testing.T) {
	sample.Long(t)
	s := s3test.Start(t)
	now := time.Now()
	h := held("acme/widget/dev", "laptop", 7)
	body, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, store.HeadKey(h.Workspace), string(body))
	const digests = 2500
	for i := range digests {
		put(t, s, keyOf(t, h, func(d *digest.Digest) {
			if d.Serial = int64(i); i == digests-1 {
				d.Needs = []status.Need{status.NeedAnswer}
			}
		}), store.DigestBody)
	}
	proxy := s.Proxy(t)
	root, _ := counted(t, s, proxy.Endpoint)
	seen, _, err := Heads(t.Context(), root, now, patience, patience)
	if err != nil || len(seen) != 1 || proxy.Counts()[s3test.List] != 3 || proxy.Total().Requests != 3 {
		t.Fatalf("%+v, %v, %v", seen, proxy.Counts(), err)
	}
	if r := Rows(nil, seen, now)[0]; r.Needs != status.NeedAnswer || r.State != Elsewhere {
		t.Errorf("%+v", r)
	}
}
