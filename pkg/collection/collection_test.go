package collection

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/gentest"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// world is a workspace whose garbage is collected.
type world struct {
	*gentest.Workspace
	t *testing.T
}

func newWorld(t *testing.T) *world { return &world{gentest.New(t), t} }

func (w *world) there(key string) bool { return w.Prefix.Body(path.Join(store.Dir, key)) != nil }

// begin begins a run that keeps what is younger than a day alone.
func (w *world) begin() *Run {
	w.t.Helper()
	r, err := Begin(w.t.Context(), All, w.Bucket, &w.Head, w.Now, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// collect is a run over the replica, whose outcome the head gets.
func (w *world) collect() *Run {
	w.t.Helper()
	r := w.begin()
	if _, err := r.Replica(w.t.Context(), gentest.Replica, w.Prefix, w.Layout); err != nil {
		w.t.Fatal(err)
	}
	r.Mark(&w.Head)
	return r
}

// restores reads the newest generation, and the content of all its files.
func (w *world) restores() {
	w.t.Helper()
	fresh := store.NewSnapshot(w.Prefix, w.t.TempDir())
	t, err := fresh.Tree(w.t.Context(), w.Manifest())
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
	w.Save("a", "b", "c", "d", "e", "f", "g", "h")
	first = w.Object("a")
	w.Pass(time.Hour)
	w.Save("a")
	if w.Head.Recent[0].Replicas[gentest.Replica].Manifest == w.Manifest() || w.Object("a") == first {
		t.Fatal("nothing was replaced")
	}
	w.Pass(60 * time.Hour)
	if r := w.collect(); r.Found != 1 || r.Deleted != 0 || r.Dropped != 1 {
		t.Fatalf("found %d, deleted %d, dropped %d", r.Found, r.Deleted, r.Dropped)
	}
	return w, first
}

// A fork of a generation that is collected meanwhile is whole, as nothing is deleted for two
// days after it was condemned; later there is no such fork, and no part of one.
func TestForkBesideACollection(t *testing.T) {
	for name, collect := range map[string]func(w *world){
		"condemned": func(w *world) { w.Pass(60 * time.Hour); w.collect() },
		"deleted":   func(w *world) { w.Pass(60 * time.Hour); w.collect(); w.Pass(60 * time.Hour); w.collect() },
	} {
		w := newWorld(t)
		w.Save("a", "b")
		seed := w.Head.Recent[0]
		read, err := store.NewSnapshot(w.Prefix, t.TempDir()).Tree(t.Context(), seed.Replicas[gentest.Replica].Manifest)
		if err != nil {
			t.Fatal(err)
		}
		w.Pass(time.Hour)
		w.Save("a")
		head := w.Head
		collect(w)
		to := w.Bucket.At("fork")
		f := store.Fork{
			Root: w.Bucket, Workspace: "o/p/f", Head: "mem:", Source: &head, Generation: seed, Now: w.Now, Local: t.TempDir(),
			Replicas: []store.ForkReplica{{Name: gentest.Replica, Tree: read, To: to, Prefix: "fork", Copy: func(ctx context.Context, keys []string) (rclone.Transfer, error) {
				return w.Prefix.CopyTo(ctx, keys, to)
			}}},
		}
		_, made, err := f.Make(t.Context())
		if name == "condemned" && (err != nil || !made) || name == "deleted" && !errors.Is(err, store.ErrForkGone) {
			t.Errorf("%s: %v, %v", name, made, err)
		}
		if _, err := store.ReadHead(t.Context(), w.Bucket, "o/p/f"); (err == nil) != (name == "condemned") {
			t.Errorf("%s: the head: %v", name, err)
		}
	}
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
	w.Save("a")
	w.Pass(time.Hour)
	w.Save("a")
	w.Pass(store.Grace - 2*time.Hour)
	if r := w.collect(); r.Dropped != 1 || r.Found != 0 || len(w.Head.Condemned) != 0 || w.Head.Collection != 0 {
		t.Errorf("dropped %d, found %d; %v", r.Dropped, r.Found, w.Head.Condemned)
	}
	if !w.Head.Collected.Equal(w.Now) {
		t.Errorf("collected at %v", w.Head.Collected)
	}
}

func TestCondemnedThenDeleted(t *testing.T) {
	w, first := aged(t)
	list := w.Head.Condemned[gentest.Replica]
	if list.Keys != 1 || !list.Since.Equal(w.Now) || !w.there(list.List) || w.Head.Collection != 1 {
		t.Errorf("%+v, collection %d", list, w.Head.Collection)
	}
	w.Pass(store.Grace - time.Minute) // one list at a time
	if r := w.collect(); r.Found != 0 || r.Deleted != 0 || !w.there(first) || w.Head.Collection != 1 {
		t.Errorf("before it is due: found %d, deleted %d", r.Found, r.Deleted)
	}
	if diff := cmp.Diff(list, w.Head.Condemned[gentest.Replica]); diff != "" {
		t.Error(diff)
	}
	w.Pass(time.Minute)
	if r := w.collect(); r.Deleted != 1 || w.there(first) {
		t.Errorf("deleted %d", r.Deleted)
	}
	w.restores() // the manifest that the newest differs from is of a generation that is not kept
}

// A list that stayed was garbage of the next run, whose list was that of the one after it: a
// bucket that nobody wrote to never came to rest.
func TestListsAreNoGarbage(t *testing.T) {
	w, _ := aged(t)
	dir := path.Dir(store.HeadKey(gentest.Name))
	w.Bucket.Set(path.Join(dir, "clock-x"), []byte("x"))
	for range 4 {
		w.Pass(store.Grace)
		r := w.collect()
		if err := r.Head(t.Context(), w.Bucket, ""); err != nil {
			t.Fatal(err)
		}
		r.Mark(&w.Head)
	}
	if len(w.Head.Condemned) != 0 || w.Head.Collection != 2 {
		t.Errorf("condemned: %v, by %d runs", w.Head.Condemned, w.Head.Collection)
	}
	for _, key := range w.Bucket.Keys() {
		if path.Base(path.Dir(key)) == "c" {
			t.Errorf("%s is left", key)
		}
	}
}

func TestCondemnedIsNeededAgain(t *testing.T) {
	w, first := aged(t)
	g := w.Head.Recent[0].Replicas[gentest.Replica].Manifest
	old, err := w.Layout.Tree(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	w.Entries = old.Entries
	w.Publish()
	w.Pass(store.Grace)
	if r := w.collect(); r.Deleted != 0 || !w.there(first) {
		t.Errorf("deleted %d", r.Deleted)
	}
	w.restores()
}

// A generation that is kept for longer is as good as the newest.
func TestKeptGenerationsAreNeeded(t *testing.T) {
	w := newWorld(t)
	w.Save("a")
	w.Pass(time.Hour)
	w.Save("a")
	w.Pass(60 * time.Hour)
	r, err := Begin(t.Context(), All, w.Bucket, &w.Head, w.Now, 30*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	sizes, err := r.Replica(t.Context(), gentest.Replica, w.Prefix, w.Layout)
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
	w.Prefix.Drop(path.Join(store.Dir, w.Manifest()))
	w.Pass(store.Grace)
	r := w.begin()
	fresh := store.NewSnapshot(w.Prefix, t.TempDir())
	if _, err := r.Replica(t.Context(), gentest.Replica, w.Prefix, fresh); err == nil || r.Deleted != 0 || !w.there(first) {
		t.Errorf("deleted %d, %v", r.Deleted, err)
	}
}

func TestAdoptedListing(t *testing.T) {
	w := newWorld(t)
	w.Prefix.Set(store.Dir+"/plain/now", []byte("x"))
	w.Prefix.Set(store.Dir+"/plain/before", []byte("x"))
	w.Head.Adopted = map[string]string{gentest.Replica: store.Dir + "/plain/now"}
	w.Save("a")
	for range 2 {
		w.Pass(store.Grace)
		w.collect()
	}
	if w.there("plain/before") || !w.there("plain/now") {
		t.Errorf("%q", w.Prefix.Keys())
	}
}

func TestBesideTheHead(t *testing.T) {
	w := newWorld(t)
	dir := path.Dir(store.HeadKey(gentest.Name))
	kept := []string{"head.json", "log-2", "another"}
	for _, name := range append(kept, "log-1", "clock-x", "probe-x") {
		w.Bucket.Set(path.Join(dir, name), []byte("x"))
	}
	for i := range 2 {
		w.Pass(store.Grace)
		r := w.begin()
		if !r.HeadDue() {
			t.Fatalf("run %d is not due", i)
		}
		if err := r.Head(t.Context(), w.Bucket, path.Join(dir, "log-2")); err != nil {
			t.Fatal(err)
		}
		if r.Mark(&w.Head); i == 0 && (r.Found != 3 || w.begin().HeadDue()) {
			t.Errorf("found %d", r.Found)
		}
	}
	slices.Sort(kept)
	if diff := cmp.Diff(kept, w.Bucket.At(dir).Keys()); diff != "" {
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
