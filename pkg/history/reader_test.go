package history

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/gentest"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/coltec/coltec/pkg/tree"
)

func TestParseMoment(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-05-01T10:00:00Z": time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC),
		"2026-05-01 10:00":     time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC),
		"2026-05-01":           time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC),
		"2h":                   now.Add(-2 * time.Hour),
		"90m ago":              now.Add(-90 * time.Minute),
		"1.5d":                 now.Add(-36 * time.Hour),
	} {
		if got, err := parseMoment(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "yesterday", "-2h", "-1d", "2026-13-01"} {
		if got, err := parseMoment(text, now); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestNumbered(t *testing.T) {
	gens := []store.Generation{{Number: 2}, {Number: 3}, {Number: 7}}
	if g, err := numbered(gens, 3); err != nil || g.Number != 3 {
		t.Errorf("%v, %v", g, err)
	}
	for _, n := range []int64{1, 5, 9} {
		if g, err := numbered(gens, n); !errors.Is(err, ErrNoGeneration) {
			t.Errorf("%d: %v, %v", n, g, err)
		}
	}
}

func TestCompare(t *testing.T) {
	file := func(path string, size, mtime int64) tree.Entry {
		return tree.Entry{Path: path, Kind: tree.File, Mode: 0o644, Size: size, MTime: mtime}
	}
	before := []tree.Entry{file("changed", 1, 1), file("removed", 4, 1), file("same", 1, 1), file("touched", 1, 1)}
	after := []tree.Entry{file("added", 2, 1), file("changed", 3, 1), file("same", 1, 1), file("touched", 1, 2)}
	want := []Change{{"added", "added", 2}, {"changed", "changed", 3}, {"removed", "removed", 4}, {"touched", "mode or time", 1}}
	if diff := cmp.Diff(want, Compare(before, after)); diff != "" {
		t.Error(diff)
	}
}

func TestBelow(t *testing.T) {
	entries := []tree.Entry{{Path: "a"}, {Path: "a/b"}, {Path: "a/b/c"}, {Path: "a/b/d", Tag: "t"}, {Path: "ab"}}
	var got []string
	for _, e := range below(entries, "a/b") {
		got = append(got, e.Path)
	}
	if diff := cmp.Diff([]string{"b", "b/c", "a/b/d"}, got); diff != "" { // content of a mirror lies by its name
		t.Error(diff)
	}
}

// A head that was lost is not one that never was.
func TestNoHead(t *testing.T) {
	for name, tt := range map[string]struct {
		claim string // the workspace of the claim that is there; "": none
		want  error
	}{
		"nothing was ever there": {"", ErrNothingCommitted},
		"its prefix is there":    {gentest.Name, ErrHeadLost},
		"another's prefix":       {"o/p/another", ErrNothingCommitted},
	} {
		w := newWorld(t)
		if tt.claim != "" {
			w.claim(store.Claim{Workspace: tt.claim, Replica: gentest.Replica})
		}
		_, err := w.reader().Head(t.Context())
		for _, is := range []error{ErrNothingCommitted, ErrHeadLost} {
			if errors.Is(err, is) != (is == tt.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if len(hint.Of(err)) != 1 {
			t.Errorf("%s: %q", name, hint.Of(err))
		}
	}
	w := newWorld(t)
	w.Bucket.Inject(storetest.Fault{Op: storetest.Get})
	if _, err := w.reader().Head(t.Context()); err == nil || errors.Is(err, ErrNothingCommitted) {
		t.Errorf("no network: %v", err)
	}
}

func TestAt(t *testing.T) {
	w := newWorld(t)
	start := w.Now
	for range 3 {
		w.Save("a")
		w.Pass(time.Hour)
	}
	r := w.reader()
	for at, want := range map[string]int64{
		"": 3, "2": 2, "2h": 2, "150m": 1, "90m": 2, start.Format(time.RFC3339): 1, start.Add(time.Hour - time.Second).Format(time.RFC3339): 1, "0s": 3,
	} {
		if g, err := r.At(t.Context(), at, w.Now); err != nil || g.Number != want {
			t.Errorf("%q: %d, %v", at, g.Number, err)
		}
	}
	for _, at := range []string{"200000d", "1e300d", "Infd", "NaNd", "-1d", "1e300h"} { // some were a moment to come, so the newest
		if g, err := r.At(t.Context(), at, w.Now); err == nil {
			t.Errorf("%q: %d", at, g.Number)
		}
	}
	for _, at := range []string{"4h", "99999d", "7", start.Add(-time.Second).Format(time.RFC3339)} {
		if g, err := r.At(t.Context(), at, w.Now); !errors.Is(err, ErrNoGeneration) || len(hint.Of(err)) != 1 {
			t.Errorf("%q: %d, %v, %q", at, g.Number, err, hint.Of(err))
		}
	}
}

func TestFind(t *testing.T) {
	r := &Reader{o: Options{Replicas: []scope.Replica{{Name: "code", Path: "/w"}, {Name: "deep", Path: "/w/a/b"}, {Name: "data", Path: "/data"}}}}
	for path, want := range map[string]string{
		".": "code:", "x/y": "code:x/y", "/w": "code:", "/w/a/b": "deep:", "a/b/c": "deep:c", "/w/a/bc": "code:a/bc", "/data/x/../y": "data:y",
	} {
		x, rel, err := r.Find(path)
		if got := x.Name + ":" + rel; err != nil || got != want {
			t.Errorf("%q: %s, %v", path, got, err)
		}
	}
	for _, path := range []string{"/", "/wx", "../x"} {
		if x, rel, err := r.Find(path); err == nil || len(hint.Of(err)) != 1 {
			t.Errorf("%q: %s:%s", path, x.Name, rel)
		}
	}
	if _, _, err := (&Reader{}).Find("."); err == nil {
		t.Error("found where there are no replicas")
	}
}

func TestTree(t *testing.T) {
	w := newWorld(t)
	w.Commit(map[string]store.Ref{})
	w.Save("a")
	w.Save("b")
	r := w.reader()
	gens, err := r.Log(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Tree(t.Context(), w.replica, gens[0]); !errors.Is(err, ErrNoGeneration) {
		t.Errorf("before it was there: %v", err)
	}
	if got, _, err := r.Tree(t.Context(), w.replica, gens[1]); err != nil || len(got.Entries) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	w.replica.Layout = "mirror"
	r = w.reader()
	if _, _, err := r.Tree(t.Context(), w.replica, gens[1]); err == nil {
		t.Error("a mirror has an older generation")
	}
	if _, _, err := r.Tree(t.Context(), w.replica, gens[2]); err != nil {
		t.Errorf("a mirror as it is: %v", err)
	}
}

func TestVersions(t *testing.T) {
	w := newWorld(t)
	w.Save("other")
	w.Save("a")
	w.Save("other") // a is as it was
	w.Save("a")
	w.Commit(nil) // of another replica
	w.Remove("a")
	w.Save("other")
	versions, err := w.reader().Versions(t.Context(), w.replica, "a")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range versions {
		got = append(got, fmt.Sprintf("%d %v %s %s %d", v.Generation, v.Gone, v.Kind, v.Mode, v.Size))
	}
	if diff := cmp.Diff([]string{"2 false file 0644 6", "4 false file 0644 6", "6 true   0"}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := w.reader().Versions(t.Context(), w.replica, "never"); !errors.Is(err, ErrNotThere) {
		t.Errorf("%v", err)
	}
}

func TestShow(t *testing.T) {
	w := newWorld(t)
	w.Save("a", "b")
	w.Save("a")
	w.Commit(nil)
	r := w.reader()
	gens, err := r.Log(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]Change{{{"a", "added", 6}, {"b", "added", 6}}, {{"a", "changed", 6}}, nil} {
		got, _, err := r.Show(t.Context(), w.replica, gens[i])
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("generation %d: %v %s", i+1, err, diff)
		}
	}
}
