package collection

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/coltec/coltec/pkg/tree"
)

const workspace = "o/p/e"

// world is a workspace of one replica, with a clock of its own.
type world struct {
	t       *testing.T
	bucket  *storetest.Bucket
	prefix  *storetest.Bucket
	layout  *store.Snapshot
	now     time.Time
	head    store.Head
	entries []tree.Entry
}

func newWorld(t *testing.T) *world {
	b := storetest.New()
	return &world{
		t: t, bucket: b, prefix: b.At("r"), layout: store.NewSnapshot(b.At("r"), t.TempDir()),
		now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), head: store.Head{Workspace: workspace, Epoch: 1},
	}
}

func (w *world) pass(d time.Duration) {
	w.now = w.now.Add(d)
	w.bucket.Advance(d)
}

// save makes a generation in which each file has other content; an object each.
func (w *world) save(paths ...string) {
	w.t.Helper()
	for _, path := range paths {
		body := fmt.Sprint(path, " of ", w.head.Generation+1)
		e := tree.Entry{Path: path, Kind: tree.File, Mode: 0o644, Size: int64(len(body)), Sum: sha256.Sum256([]byte(body))}
		batch := w.layout.Begin(w.t.TempDir(), 1, nil)
		if _, err := batch.Add(w.t.Context(), &e, strings.NewReader(body)); err != nil {
			w.t.Fatal(err)
		}
		if err := batch.Send(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		w.entries = append(slices.DeleteFunc(w.entries, func(o tree.Entry) bool { return o.Path == path }), e)
	}
	tree.Sort(w.entries)
	w.publish()
}

// publish makes the entries the next generation.
func (w *world) publish() {
	w.t.Helper()
	ref, err := w.layout.Publish(w.t.Context(), store.Publication{
		Entries: each(w.entries), From: w.head.Replicas["r"].Manifest, Workspace: workspace, Replica: "r", Epoch: 1, Generation: w.head.Generation + 1,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.head.Commit(map[string]store.Ref{"r": ref}, w.now)
}

func each(entries []tree.Entry) iter.Seq2[*tree.Entry, error] {
	return func(yield func(*tree.Entry, error) bool) {
		for i := range entries {
			if !yield(&entries[i], nil) {
				return
			}
		}
	}
}

// object is where the content of a file lies.
func (w *world) object(path string) string {
	return tree.Find(w.entries, path).Where[0].Object
}

func (w *world) there(key string) bool { return w.prefix.Body(path.Join(store.Dir, key)) != nil }

// begin begins a run that keeps what is younger than a day alone.
func (w *world) begin() *Run {
	w.t.Helper()
	r, err := Begin(w.t.Context(), All, w.bucket, &w.head, w.now, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// collect is a run over the replica, whose outcome the head gets.
func (w *world) collect() *Run {
	w.t.Helper()
	r := w.begin()
	if _, err := r.Replica(w.t.Context(), "r", w.prefix, w.layout); err != nil {
		w.t.Fatal(err)
	}
	r.Mark(&w.head)
	return r
}

// restores reads the newest generation, and the content of all its files.
func (w *world) restores() {
	w.t.Helper()
	fresh := store.NewSnapshot(w.prefix, w.t.TempDir())
	t, err := fresh.Tree(w.t.Context(), w.head.Replicas["r"].Manifest)
	if err != nil {
		w.t.Fatal(err)
	}
	var files []*tree.Entry
	for i := range t.Entries {
		files = append(files, &t.Entries[i])
	}
	if err := fresh.Fetch(w.t.Context(), files, filepath.Join(w.t.TempDir(), "in"), nil, nil); err != nil {
		w.t.Error(err)
	}
}

// aged is a world in which "a" was saved twice, long enough ago that its first content
// has been condemned; the newest manifest is a difference from the first.
func aged(t *testing.T) (w *world, first string) {
	t.Helper()
	w = newWorld(t)
	w.save("a", "b", "c", "d", "e", "f", "g", "h")
	first = w.object("a")
	w.pass(time.Hour)
	w.save("a")
	if w.head.Recent[0].Replicas["r"].Manifest == w.head.Replicas["r"].Manifest || w.object("a") == first {
		t.Fatal("nothing was replaced")
	}
	w.pass(60 * time.Hour)
	if r := w.collect(); r.Found != 1 || r.Deleted != 0 || r.Dropped != 1 {
		t.Fatalf("found %d, deleted %d, dropped %d", r.Found, r.Deleted, r.Dropped)
	}
	return w, first
}

func TestLast(t *testing.T) {
	at := func(h int) time.Time { return time.Date(2030, 1, 1, h, 0, 0, 0, time.UTC) }
	recent := []store.Generation{{Time: at(2)}, {Time: at(3)}}
	for name, tt := range map[string]struct {
		head store.Head
		want time.Time
	}{
		"looked for":        {store.Head{Collected: at(4), Log: "l", Recent: recent, Holder: store.Holder{Since: at(1)}}, at(4)},
		"never, and a log":  {store.Head{Log: "l", Recent: recent, Holder: store.Holder{Since: at(1)}}, time.Time{}},
		"never, and no log": {store.Head{Recent: recent, Holder: store.Holder{Since: at(1)}}, at(2)},
		"nothing committed": {store.Head{Holder: store.Holder{Since: at(1)}}, at(1)},
	} {
		if got := Last(&tt.head); !got.Equal(tt.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestChosenForRepacking(t *testing.T) {
	live, sizes := map[string]int64{}, map[string]int64{}
	lie := func(key string, n, size int64) { live[key], sizes[key] = n, size }
	lie("o/dead", 1<<20, 8<<20)
	lie("o/live", 8<<20, 8<<20)
	var small []string
	for i := range Few - 1 {
		small = append(small, fmt.Sprint("o/small", i))
		lie(small[i], 1000, 1000)
	}
	if diff := cmp.Diff(map[string]int64{"o/dead": 8 << 20}, All.Worn(live, sizes)); diff != "" {
		t.Errorf("too few small ones: %s", diff)
	}
	lie("o/small", 1000, 1000)
	got := All.Worn(live, sizes)
	if len(got) != Few+1 || got["o/small"] != 1000 || got["o/live"] != 0 {
		t.Errorf("in a collection: %v", got)
	}
	if got := All.Scattered(live, sizes, All.Many); len(got) != 0 {
		t.Errorf("between two: %v", got)
	}
	if got := All.Scattered(live, sizes, Few); len(got) != Few || got["o/small"] != 1000 {
		t.Errorf("%v", got)
	}
}

// Young objects may be on their way to a commit, or be read by somebody who saw an older
// head.
func TestYoungGarbageStays(t *testing.T) {
	w := newWorld(t)
	w.save("a")
	w.pass(time.Hour)
	w.save("a")
	w.pass(store.Grace - 2*time.Hour)
	if r := w.collect(); r.Dropped != 1 || r.Found != 0 || len(w.head.Condemned) != 0 || w.head.Collection != 0 {
		t.Errorf("dropped %d, found %d; %v", r.Dropped, r.Found, w.head.Condemned)
	}
	if !w.head.Collected.Equal(w.now) {
		t.Errorf("collected at %v", w.head.Collected)
	}
}

func TestCondemnedThenDeleted(t *testing.T) {
	w, first := aged(t)
	list := w.head.Condemned["r"]
	if list.Keys != 1 || !list.Since.Equal(w.now) || !w.there(list.List) || w.head.Collection != 1 {
		t.Errorf("%+v, collection %d", list, w.head.Collection)
	}
	w.pass(store.Grace - time.Minute) // one list at a time
	if r := w.collect(); r.Found != 0 || r.Deleted != 0 || !w.there(first) || w.head.Collection != 1 {
		t.Errorf("before it is due: found %d, deleted %d", r.Found, r.Deleted)
	}
	if diff := cmp.Diff(list, w.head.Condemned["r"]); diff != "" {
		t.Error(diff)
	}
	w.pass(time.Minute)
	if r := w.collect(); r.Deleted != 1 || w.there(first) {
		t.Errorf("deleted %d", r.Deleted)
	}
	w.restores() // the manifest that the newest differs from is of a generation that is not kept
}

// A list that stayed was garbage of the next run, whose list was that of the one after it: a
// bucket that nobody wrote to never came to rest.
func TestListsAreNoGarbage(t *testing.T) {
	w, _ := aged(t)
	dir := path.Dir(store.HeadKey(workspace))
	w.bucket.Set(path.Join(dir, "clock-x"), []byte("x"))
	for range 4 {
		w.pass(store.Grace)
		r := w.collect()
		if err := r.Head(t.Context(), w.bucket, ""); err != nil {
			t.Fatal(err)
		}
		r.Mark(&w.head)
	}
	if len(w.head.Condemned) != 0 || w.head.Collection != 2 {
		t.Errorf("condemned: %v, by %d runs", w.head.Condemned, w.head.Collection)
	}
	for _, key := range w.bucket.Keys() {
		if path.Base(path.Dir(key)) == "c" {
			t.Errorf("%s is left", key)
		}
	}
}

func TestCondemnedIsNeededAgain(t *testing.T) {
	w, first := aged(t)
	g := w.head.Recent[0].Replicas["r"].Manifest
	old, err := w.layout.Tree(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	w.entries = old.Entries
	w.publish()
	w.pass(store.Grace)
	if r := w.collect(); r.Deleted != 0 || !w.there(first) {
		t.Errorf("deleted %d", r.Deleted)
	}
	w.restores()
}

// A generation that is kept for longer is as good as the newest.
func TestKeptGenerationsAreNeeded(t *testing.T) {
	w := newWorld(t)
	w.save("a")
	w.pass(time.Hour)
	w.save("a")
	w.pass(60 * time.Hour)
	r, err := Begin(t.Context(), All, w.bucket, &w.head, w.now, 30*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	sizes, err := r.Replica(t.Context(), "r", w.prefix, w.layout)
	if err != nil || r.Found != 0 || r.Dropped != 0 || len(r.Kept()) != 2 {
		t.Errorf("found %d, dropped %d, %v", r.Found, r.Dropped, err)
	}
	if len(sizes) != 4 { // two objects, two manifests
		t.Errorf("%v", sizes)
	}
}

// What a manifest refers to is not known where it cannot be read.
func TestNothingIsDeletedOnAGuess(t *testing.T) {
	w, first := aged(t)
	w.prefix.Drop(path.Join(store.Dir, w.head.Replicas["r"].Manifest))
	w.pass(store.Grace)
	r := w.begin()
	fresh := store.NewSnapshot(w.prefix, t.TempDir())
	if _, err := r.Replica(t.Context(), "r", w.prefix, fresh); err == nil || r.Deleted != 0 || !w.there(first) {
		t.Errorf("deleted %d, %v", r.Deleted, err)
	}
}

func TestAdoptedListing(t *testing.T) {
	w := newWorld(t)
	w.prefix.Set(store.Dir+"/plain/now", []byte("x"))
	w.prefix.Set(store.Dir+"/plain/before", []byte("x"))
	w.head.Adopted = map[string]string{"r": store.Dir + "/plain/now"}
	w.save("a")
	for range 2 {
		w.pass(store.Grace)
		w.collect()
	}
	if w.there("plain/before") || !w.there("plain/now") {
		t.Errorf("%q", w.prefix.Keys())
	}
}

func TestBesideTheHead(t *testing.T) {
	w := newWorld(t)
	dir := path.Dir(store.HeadKey(workspace))
	kept := []string{"head.json", "log-2", "another"}
	for _, name := range append(kept, "log-1", "clock-x", "probe-x") {
		w.bucket.Set(path.Join(dir, name), []byte("x"))
	}
	for i := range 2 {
		w.pass(store.Grace)
		r := w.begin()
		if !r.HeadDue() {
			t.Fatalf("run %d is not due", i)
		}
		if err := r.Head(t.Context(), w.bucket, path.Join(dir, "log-2")); err != nil {
			t.Fatal(err)
		}
		if r.Mark(&w.head); i == 0 && (r.Found != 3 || w.begin().HeadDue()) {
			t.Errorf("found %d", r.Found)
		}
	}
	slices.Sort(kept)
	if diff := cmp.Diff(kept, w.bucket.At(dir).Keys()); diff != "" {
		t.Error(diff)
	}
}

// Only a run that found something makes what is sent from then on lie under other names.
func TestMark(t *testing.T) {
	for _, tt := range []struct {
		found    int
		renumber bool
		want     int64
	}{{0, true, 7}, {1, true, 8}, {1, false, 7}} {
		r := Run{Rules: Rules{Renumber: tt.renumber}, Found: tt.found, now: time.Unix(5, 0)}
		h := store.Head{Collection: 7}
		if r.Mark(&h); h.Collection != tt.want || !h.Collected.Equal(time.Unix(5, 0)) {
			t.Errorf("%+v: %d, %v", tt, h.Collection, h.Collected)
		}
	}
}

func TestCompacts(t *testing.T) {
	for name, tt := range map[string]struct {
		run  Run
		want bool
	}{
		"nothing to do":         {Run{segments: []string{"1"}}, false},
		"a generation less":     {Run{Dropped: 1}, true},
		"several segments":      {Run{segments: []string{"1", "2"}}, true},
		"longer than it can be": {Run{cut: errors.New("too long")}, true},
	} {
		if got := tt.run.Compacts(); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
