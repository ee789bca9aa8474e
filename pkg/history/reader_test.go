package history

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/store"
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
