package fleet

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/digest"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// bucket is one of which a test says what lies in it, and when that was written by this machine's
// clock.
type bucket struct {
	objects map[string]time.Time
	ahead   time.Duration // the store's clock, of this machine's
	clock   time.Time     // the store's; zero: it does not say it
	heads   map[string]store.Head
	read    []string
}

func (b *bucket) ListEach(_ context.Context, _ string, o rclone.ListOptions, f func(rclone.Object) error) error {
	if o.Clock != nil && !b.clock.IsZero() {
		defer o.Clock(b.clock)
	}
	for key, at := range b.objects {
		if !at.IsZero() {
			at = at.Add(b.ahead)
		}
		if err := f(rclone.Object{Key: strings.TrimPrefix(key, fleetPrefix+"/"), ModTime: at}); err != nil {
			return err
		}
	}
	return nil
}

func (b *bucket) Download(_ context.Context, keys []string, dir string, _ func(rclone.Progress)) (rclone.Transfer, error) {
	for _, key := range keys {
		b.read = append(b.read, key)
		body, err := json.Marshal(b.heads[key])
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(filepath.Join(dir, key)), 0o700), os.WriteFile(filepath.Join(dir, key), body, 0o600)); err != nil {
			return rclone.Transfer{}, err
		}
	}
	return rclone.Transfer{}, nil
}

// held is a head of a workspace that somebody has.
func held(name, host string, epoch int64) store.Head {
	return store.Head{Format: 1, Workspace: name, Lineage: "l", Epoch: epoch, State: store.Held, TTL: 180, Renew: 60, Holder: store.Holder{Host: host}}
}

// keyOf is the key of a digest of a head.
func keyOf(t *testing.T, h store.Head, change func(*digest.Digest)) string {
	t.Helper()
	d := h.Digest()
	if change != nil {
		change(&d)
	}
	name, err := store.DigestName(h.Workspace, d)
	if err != nil {
		t.Fatal(err)
	}
	return store.DigestKey(h.Workspace, name)
}

// Which digest counts, and when none does: then the head is read, as it was before there were any.
func TestWhichDigestCounts(t *testing.T) {
	const name = "o/p/e"
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	laptop := held(name, "laptop", 7)
	asks := func(d *digest.Digest) { d.Needs, d.Serial = []status.Need{status.NeedAnswer}, 5 }
	released := held(name, "laptop", 7)
	released.State = store.Released
	older := held(name, "desktop", 6)
	other := held(name, "desktop", 7)
	other.Lineage = "another"
	again := held(name, "desktop", 1) // after a purge
	again.Lineage = "another"
	twin := held(name, "desktop", 7) // both hold it: the store knows no conditions
	later := laterKey(t, name)
	last := func(d *digest.Digest) { d.Serial = 6 }
	for why, tt := range map[string]struct {
		digests map[string]time.Time
		head    time.Duration // its age
		is      store.Head
		read    bool
		where   string
		state   string
		needs   status.Need
	}{
		"none":                         {nil, time.Minute, laptop, true, "laptop", Elsewhere, ""},
		"one":                          {map[string]time.Time{keyOf(t, laptop, asks): ago(time.Hour)}, time.Minute, laptop, false, "laptop", Elsewhere, status.NeedAnswer},
		"two, the older came later":    {map[string]time.Time{keyOf(t, laptop, asks): ago(time.Hour), keyOf(t, laptop, nil): ago(time.Second)}, time.Minute, laptop, false, "laptop", Elsewhere, status.NeedAnswer},
		"one of an older epoch, later": {map[string]time.Time{keyOf(t, laptop, nil): ago(time.Hour), keyOf(t, older, asks): ago(time.Second)}, time.Minute, laptop, false, "laptop", Elsewhere, ""},
		"of another head, the later":   {map[string]time.Time{keyOf(t, other, asks): ago(time.Second), keyOf(t, laptop, nil): ago(time.Hour)}, time.Minute, laptop, true, "laptop", Elsewhere, ""},
		"begun again after a purge that was cut off":         {map[string]time.Time{keyOf(t, laptop, asks): ago(time.Hour), keyOf(t, again, nil): ago(time.Minute)}, time.Minute, again, true, "desktop", Elsewhere, ""},
		"the same, and somebody is asked there":              {map[string]time.Time{keyOf(t, laptop, nil): ago(time.Hour), keyOf(t, again, asks): ago(time.Minute)}, time.Minute, again, true, "desktop", Elsewhere, status.NeedAnswer},
		"two machines of one epoch":                          {map[string]time.Time{keyOf(t, laptop, asks): ago(time.Minute), keyOf(t, twin, nil): ago(time.Minute)}, time.Minute, twin, true, "desktop", Elsewhere, ""},
		"two machines of one epoch, the other head":          {map[string]time.Time{keyOf(t, laptop, asks): ago(time.Minute), keyOf(t, twin, nil): ago(time.Minute)}, time.Minute, laptop, true, "laptop", Elsewhere, status.NeedAnswer},
		"a later version's, since":                           {map[string]time.Time{keyOf(t, laptop, asks): ago(time.Hour), later: ago(time.Minute)}, time.Minute, held(name, "new", 8), true, "new", Elsewhere, ""},
		"a later version's, before":                          {map[string]time.Time{keyOf(t, laptop, asks): ago(time.Hour), later: ago(2 * time.Hour)}, time.Minute, laptop, false, "laptop", Elsewhere, status.NeedAnswer},
		"a later version's alone":                            {map[string]time.Time{later: ago(time.Minute)}, time.Minute, held(name, "new", 8), true, "new", Elsewhere, ""},
		"a store without times, given back":                  {map[string]time.Time{keyOf(t, released, last): {}}, never, held(name, "old", 8), true, "old", Elsewhere, ""},
		"a store without times":                              {map[string]time.Time{keyOf(t, laptop, asks): {}}, never, laptop, true, "laptop", Elsewhere, status.NeedAnswer},
		"a head without a time, given back":                  {map[string]time.Time{keyOf(t, released, last): ago(time.Minute)}, never, held(name, "old", 8), true, "old", Elsewhere, ""},
		"a digest without a time, given back":                {map[string]time.Time{keyOf(t, released, last): {}}, time.Minute, held(name, "old", 8), true, "old", Elsewhere, ""},
		"asleep for days":                                    {map[string]time.Time{keyOf(t, laptop, asks): ago(73 * time.Hour)}, 72 * time.Hour, laptop, true, "laptop", Lost, ""},
		"awake again, and nothing said yet":                  {map[string]time.Time{keyOf(t, laptop, asks): ago(73 * time.Hour)}, time.Second, held(name, "laptop", 8), true, "laptop", Elsewhere, ""},
		"rubbish":                                            {map[string]time.Time{store.DigestKey(name, "x"): now, store.DigestKey(name, "v0v0/v0"): now, store.DigestKey(name, "a") + "/b\x1b": now}, time.Minute, laptop, true, "laptop", Elsewhere, ""},
		"rubbish beside one":                                 {map[string]time.Time{store.DigestKey(name, "v0v0"): now, keyOf(t, laptop, asks): ago(time.Hour)}, time.Minute, laptop, false, "laptop", Elsewhere, status.NeedAnswer},
		"given back, and nobody said it":                     {map[string]time.Time{keyOf(t, laptop, asks): ago(3 * time.Hour)}, 2 * time.Hour, released, true, "", Free, ""},
		"given back":                                         {map[string]time.Time{keyOf(t, released, func(d *digest.Digest) { d.Serial = 6 }): ago(time.Hour), keyOf(t, laptop, asks): ago(2 * time.Hour)}, time.Hour + time.Second, released, false, "", Free, ""},
		"given back, and taken by a version without digests": {map[string]time.Time{keyOf(t, released, nil): ago(time.Hour)}, time.Minute, held(name, "old", 8), true, "old", Elsewhere, ""},
		"taken by such a version a day ago":                  {map[string]time.Time{keyOf(t, laptop, asks): ago(30 * time.Hour)}, time.Minute, held(name, "old", 8), true, "old", Elsewhere, ""},
		"not seen for longer than the lease":                 {map[string]time.Time{keyOf(t, laptop, asks): ago(time.Hour)}, 4 * time.Minute, laptop, true, "laptop", Lost, ""},
		"lost, with something only there": {map[string]time.Time{keyOf(t, laptop, func(d *digest.Digest) { d.Only = []digest.Part{{Reason: account.Unread, Count: 2}} }): ago(time.Hour)},
			4 * time.Minute, laptop, true, "laptop", Lost, status.NeedLost},
	} {
		for _, ahead := range []time.Duration{0, time.Hour, -24 * time.Hour} {
			t.Run(fmt.Sprint(why, ", the store's clock ahead by ", ahead), func(t *testing.T) {
				b := &bucket{ahead: ahead, clock: now.Add(ahead), objects: map[string]time.Time{store.HeadKey(name): {}}, heads: map[string]store.Head{store.HeadKey(name): tt.is}}
				if tt.head != never {
					b.objects[store.HeadKey(name)] = ago(tt.head)
				}
				maps.Copy(b.objects, tt.digests)
				seen, _, err := Heads(t.Context(), b, now, patience, patience)
				if err != nil || len(seen) != 1 || len(b.read) > 0 != tt.read {
					t.Fatalf("%+v, %q read, %v", seen, b.read, err)
				}
				r := Rows(nil, seen, now)[0]
				if r.State != tt.state || r.Where != tt.where || r.Needs != tt.needs {
					t.Errorf("%s on %q needs %q", r.State, r.Where, r.Needs)
				}
			})
		}
	}
}

// never is the age of what a store tells no time of.
const never = time.Duration(-1)

// laterKey is the key of a digest that a later version wrote: this one's, in another format.
func laterKey(t *testing.T, workspace string) string {
	t.Helper()
	alphabet := base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)
	body := []byte{2, 1, 2, 3}
	name := alphabet.EncodeToString(binary.BigEndian.AppendUint32(body, crc32.ChecksumIEEE(body)))
	if _, err := digest.Parse(name); !errors.Is(err, digest.ErrLater) {
		t.Fatalf("%s is %v", name, err)
	}
	return store.DigestKey(workspace, name)
}

// A digest without a head is of no workspace: one that was removed.
func TestDigestWithoutAHead(t *testing.T) {
	b := &bucket{objects: map[string]time.Time{keyOf(t, held("o/p/gone", "laptop", 1), nil): time.Now()}}
	if seen, _, err := Heads(t.Context(), b, time.Now(), patience, patience); err != nil || len(seen) > 0 {
		t.Errorf("%+v, %v", seen, err)
	}
}

// What a digest says is in the row, in words a person can go on with.
func TestRowOfADigest(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	h := held("o/p/e", "laptop", 7)
	key := keyOf(t, h, func(d *digest.Digest) {
		d.Unwell, d.Conflicts, d.Bytes = true, 3, 4e9
		d.Needs = []status.Need{status.NeedAnswer, status.NeedConflicts, status.NeedAttention}
		d.Agents = []digest.Agent{{Name: "claude", State: status.AgentWaits, Since: now.Add(-time.Hour)}, {Name: "codex", State: status.AgentWorking}}
		d.Only = []digest.Part{{Reason: account.Unread, Count: 2}}
		d.Left = []digest.Left{{Host: "desktop", Count: 20, At: now.Add(-24 * time.Hour)}}
		d.Checkpoint, d.CheckpointAt = "before", now.Add(-time.Hour)
	})
	b := &bucket{objects: map[string]time.Time{store.HeadKey(h.Workspace): now.Add(-time.Minute), key: now.Add(-time.Hour)}}
	seen, _, err := Heads(t.Context(), b, now, patience, patience)
	if err != nil || len(seen) != 1 || len(b.read) > 0 {
		t.Fatalf("%+v, %v", seen, err)
	}
	rows := Rows(nil, seen, now)
	Cost(rows, Price{Gigabyte: 0.015, Million: 4.5})
	r := rows[0]
	text := strings.Join(r.Attention, "\n")
	for _, want := range []string{"claude waits for you since 11:00", "only on laptop: about 2 files that cannot be read", "about 2 local versions", "desktop stopped at 2026-11-29T12:00:00Z and has what the bucket has not: about 20 changes"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if !strings.HasPrefix(text, "claude waits") {
		t.Errorf("who waits is not first:\n%s", text)
	}
	if r.Needs != status.NeedAnswer || len(r.Agents) != 2 || r.Conflicts != 2 || r.Checkpoint == nil || r.Checkpoint.Name != "before" || len(r.OnlyHere) != 1 || r.OnlyHere[0].Count != 2 || r.LastSave == nil {
		t.Errorf("%+v", r)
	}
	if c := r.CostMonth; c == nil || *c < 0.24 || *c > 0.26 { // 4 GB, rounded, and 43,200 renewals
		t.Errorf("it costs %v", c)
	}
}

// Those that need somebody come first, the most urgent before others.
func TestNeedsFirst(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	here := func(name string, doc status.Document, running bool) Local {
		if doc.State == "" {
			doc.State = status.Running
		}
		return Local{Workspace: name, Folder: "/" + name, Container: "c", Running: running, Status: &doc, Written: now}
	}
	replica := func(r status.Replica) []status.Replica { return []status.Replica{r} }
	only := func(reason account.Reason) []account.Part {
		return []account.Part{{Reason: reason, Count: 1, Since: now}}
	}
	far := held("far", "laptop", 1)
	var seen []Seen
	for i, state := range []store.HeadState{store.Held, store.Dirty} {
		h := far
		h.Workspace, h.State = fmt.Sprint("far", i), state
		seen = append(seen, see(&h, nil, now))
	}
	seen = append(seen, Seen{Head: store.Head{Workspace: "bad"}, At: now, Bad: errors.New("no head")})
	rows := Rows([]Local{
		here("well", status.Document{}, true),
		here("blocked", status.Document{State: status.Degraded, Replicas: replica(status.Replica{State: status.ReplicaBlocked})}, true),
		here("unwell", status.Document{State: status.Degraded}, true),
		here("brake", status.Document{Replicas: replica(status.Replica{OnlyHere: only(account.Held)})}, true),
		here("conflict", status.Document{Replicas: replica(status.Replica{Conflicts: 1})}, true),
		here("fenced", status.Document{Lease: status.Lease{State: status.LeaseFenced}, Replicas: replica(status.Replica{Pending: 1})}, true),
		here("failed", status.Document{Units: []status.Unit{{State: "failed"}}}, true),
		here("asks", status.Document{Agents: []status.Agent{{Name: "claude", State: status.AgentWaits}}}, true),
		here("down", status.Document{Replicas: replica(status.Replica{Pending: 1})}, false),
		{Workspace: "silent", Folder: "/silent", Container: "c", Running: true},
		{Workspace: "off", Folder: "/off", Container: "c", Running: true, Disabled: true, Status: &status.Document{Replicas: replica(status.Replica{Conflicts: 1})}},
	}, seen, now)
	var got []string
	for _, r := range rows {
		got = append(got, fmt.Sprintf("%s %s", r.Workspace, r.Needs))
	}
	want := []string{
		"asks asks", "fenced fenced", "conflict conflicts", "brake deletions", "blocked blocked", "failed failed", "down unsaved", "far1 unsaved",
		"silent silent", "bad unreadable", "unwell attention", "far0 ", "off ", "well ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Fifty workspaces cost two requests at most, and a thousand one for each thousand objects:
// what there is to say of them is in the listing.
func TestRequestsOfManyWorkspaces(t *testing.T) {
	for _, tt := range []struct{ workspaces, most int }{{50, 2}, {1000, 3}} {
		t.Run(fmt.Sprint(tt.workspaces), func(t *testing.T) {
			s := s3test.Start(t)
			now := time.Now()
			for i := range tt.workspaces {
				fill(t, s, fmt.Sprintf("acme/widget/dev-%d", i), now)
			}
			proxy := s.Proxy(t)
			root, runs := counted(t, s, proxy.Endpoint)
			began := time.Now()
			seen, left, err := Heads(t.Context(), root, now, patience, patience)
			if err != nil || len(seen) != tt.workspaces || left != 0 {
				t.Fatalf("%d workspaces, %d left, %v", len(seen), left, err)
			}
			t.Logf("%d requests, %.2f s", proxy.Total().Requests, time.Since(began).Seconds())
			if n := proxy.Total().Requests; n > tt.most {
				t.Errorf("%d requests: %v", n, proxy.Counts())
			}
			rows := Rows(nil, seen, now)
			if i := slices.IndexFunc(rows, func(r Row) bool { return r.Needs != status.NeedAnswer || len(r.Agents) != 2 }); i >= 0 {
				t.Errorf("%+v", rows[i])
			}
			if b, err := os.ReadFile(runs); err != nil || strings.Count(string(b), "\n") != 1 {
				t.Errorf("rclone ran: %q, %v", b, err)
			}
		})
	}
}

// fill puts the head and the digest of a workspace in which an agent waits into a bucket.
func fill(t *testing.T, s *s3test.Server, name string, now time.Time) {
	t.Helper()
	h := held(name, "laptop", 3)
	h.Holder.Since = now
	body, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	key := keyOf(t, h, func(d *digest.Digest) {
		d.Agents = []digest.Agent{{Name: "claude", State: status.AgentWaits, Since: now}, {Name: "codex", State: status.AgentWorking, Since: now}}
		d.Needs, d.Checkpoint, d.CheckpointAt = []status.Need{status.NeedAnswer}, "before-the-move", now
	})
	put(t, s, store.HeadKey(name), string(body))
	put(t, s, key, store.DigestBody)
}

// put writes an object behind a store's back.
func put(t *testing.T, s *s3test.Server, key, text string) {
	t.Helper()
	file := filepath.Join(s.Dir, s.Bucket, filepath.FromSlash(key))
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func TestParsePrice(t *testing.T) {
	for text, want := range map[string]Price{"r2": {0.015, 4.5}, "s3": {0.023, 5}, "0.5,1": {0.5, 1}, "0,0": {}} {
		if got, err := ParsePrice(text); err != nil || got != want {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "r3", "1", "1,", ",1", "-1,1", "NaN,1", "1,Inf", "1,2,3", "1e400,1"} {
		if got, err := ParsePrice(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
	if _, known := PriceAt("s3", "Minio"); known {
		t.Error("a store of one's own has no list price")
	}
}
