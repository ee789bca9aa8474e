package history

import (
	"bytes"
	"path"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/gentest"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
)

func (w *world) verify(deep bool) *Verdict {
	w.t.Helper()
	v, err := w.reader().Verify(w.t.Context(), w.replica, deep)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func (w *world) key(object string) string { return path.Join(store.Dir, object) }

func TestVerify(t *testing.T) {
	w := newWorld(t)
	w.Save("a", "b")
	first := w.Object("a")
	w.Save("a")
	second := w.Object("a")
	w.Prefix.Set(store.Dir+"/o/1.0-orphan", []byte("123"))
	w.Prefix.Set(store.Dir+"/history/x", []byte("nobody's garbage"))
	v := w.verify(true)
	if !v.OK() || v.Generations != 2 || v.Objects != 5 || v.Orphans != 1 || v.OrphanBytes != 3 || len(v.Lost) != 0 {
		t.Errorf("all is there: %+v", v)
	}
	whole := w.Prefix.Body(w.key(first))
	for name, tt := range map[string]struct {
		spoil   func(key string)
		shallow bool // it is seen without fetching
	}{
		"gone":         {w.Prefix.Drop, true},
		"cut short":    {func(key string) { w.Prefix.Set(key, whole[:len(whole)-1]) }, true},
		"another byte": {func(key string) { w.Prefix.Set(key, bytes.ToUpper(whole)) }, false},
	} {
		tt.spoil(w.key(first))
		if got := w.verify(false); got.OK() == tt.shallow {
			t.Errorf("%s: %+v", name, got)
		}
		got := w.verify(true)
		if diff := cmp.Diff([]Lost{{"a", []int64{1}, false}}, got.Lost) + cmp.Diff([]string{first}, got.Missing); diff != "" || got.OK() {
			t.Errorf("%s: %s", name, diff)
		}
		w.Prefix.Set(w.key(first), whole)
	}
	w.Prefix.Drop(w.key(second))
	if diff := cmp.Diff([]Lost{{"a", []int64{2}, true}}, w.verify(false).Lost); diff != "" {
		t.Errorf("of the newest: %s", diff)
	}
	w.Prefix.Drop(w.key(w.Object("b"))) // which both have
	if diff := cmp.Diff([]Lost{{"a", []int64{2}, true}, {"b", []int64{2, 1}, true}}, w.verify(false).Lost); diff != "" {
		t.Errorf("of both: %s", diff)
	}
}

// Without the manifest that others differ from they are lost too, and it is the one to
// be named.
func TestVerifyManifests(t *testing.T) {
	w := newWorld(t)
	w.Save("a", "b", "c", "d", "e", "f", "g", "h")
	base := w.Manifest()
	first := w.Object("a")
	w.Save("a")
	w.Head.Recent = w.Head.Recent[1:] // the first is not kept; what it alone had is garbage
	w.Commit(nil)
	v := w.verify(false)
	if !v.OK() || v.Objects != 10 || v.Orphans != 1 || v.OrphanBytes != int64(len(w.Prefix.Body(w.key(first)))) {
		t.Fatalf("%+v", v)
	}
	w.Prefix.Drop(w.key(base))
	v = w.verify(false)
	if diff := cmp.Diff([]Lost{{"", []int64{3}, true}}, v.Lost); diff != "" {
		t.Error(diff)
	}
	if !slices.Contains(v.Missing, base) {
		t.Errorf("%q", v.Missing)
	}
}

// That nothing could be asked says nothing of what is there.
func TestVerifyWithoutAStore(t *testing.T) {
	w := newWorld(t)
	w.Save("a")
	for _, f := range []storetest.Fault{{Op: storetest.Download}, {Op: storetest.List}} {
		w.Bucket.Inject(f)
		if v, err := w.reader().Verify(t.Context(), w.replica, true); err == nil {
			t.Errorf("%s: %+v", f.Op, v)
		}
	}
}

func TestVerifyMirror(t *testing.T) {
	w := newWorld(t)
	w.replica.Layout = "mirror"
	if v := w.verify(true); !v.OK() || v.Note == "" || v.Replica != gentest.Replica {
		t.Errorf("%+v", v)
	}
}
