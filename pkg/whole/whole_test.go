package whole

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// sort is a kind whose shadows lie in a directory of their own.
type sort struct {
	Kind
	dir string
}

func (s sort) Layout() Layout {
	return Layout{Dir: s.dir, Mark: "mark", Gone: "gone", Bulk: "bulk", Spared: ".data", Stands: ".index"}
}

func (s sort) Of(path string) string { return s.dir + "?" }

// Deletions of rows go with all of their whole or, where deletions are held, not at all; what
// one that stays has no more goes at once. Those of files are another's.
func TestDeletionsOfWholes(t *testing.T) {
	kinds := Kinds{sort{dir: ".coltec/a"}, sort{dir: ".coltec/b"}}
	var gone []tree.Entry
	for _, path := range []string{".coltec/a/x/mark", ".coltec/a/x/state", ".coltec/a/xy/state", ".coltec/b/x/state", "file"} {
		gone = append(gone, tree.Entry{Path: path})
	}
	for held, want := range map[bool][]string{
		false: {".coltec/a/x/mark", ".coltec/a/x/state", ".coltec/a/xy/state", ".coltec/b/x/state"},
		true:  {".coltec/a/xy/state", ".coltec/b/x/state"},
	} {
		var got []string
		for _, e := range kinds.Deletions(gone, held) {
			got = append(got, e.Path)
		}
		if !slices.Equal(got, want) {
			t.Errorf("held %v: %q, want %q", held, got, want)
		}
	}
}

// A row is of the kind in whose directory it lies, and bulk there alone.
func TestRowsOfKinds(t *testing.T) {
	kinds := Kinds{sort{dir: ".coltec/a"}, sort{dir: ".coltec/b"}}
	for path, want := range map[string]string{".coltec/a/x": ".coltec/a?", ".coltec/b/x/bulk/1": ".coltec/b?", ".coltec/a": "", ".coltec/ab/x": "", "x": ""} {
		if got, ok := kinds.Of(path); got != want || ok != (want != "") {
			t.Errorf("%s is of %q, want %q", path, got, want)
		}
	}
	for path, want := range map[string]bool{".coltec/a/x/bulk/1": true, ".coltec/a/x/bulk": false, "x/bulk/1": false, ".coltec/a/x/state": false} {
		if got := kinds.Bulk(path); got != want {
			t.Errorf("%s is bulk: %v", path, got)
		}
	}
}

// A file of the bulk that was not needed here is missing without being gone, while the one
// that stands for it is here; of what a walk could not see nothing is concluded.
func TestRowsThatAreGone(t *testing.T) {
	s := &shadows{
		Layout: sort{dir: ".coltec/a"}.Layout(), whole: map[string]bool{"x": true, "torn": false},
		there:  map[string]bool{".coltec/a/x/bulk/1.index": true, ".coltec/a/x/state": true},
		hidden: func(path string) bool { return path == ".coltec/a/x/hidden" || path == ".coltec/a/x/bulk/3.index" },
	}
	all := &Shadows{of: []*shadows{s}}
	for path, want := range map[string]bool{
		".coltec/a/x/state": false, ".coltec/a/x/other": true, ".coltec/a/x/hidden": false,
		".coltec/a/x/bulk/1.data": false, ".coltec/a/x/bulk/2.data": true, ".coltec/a/x/bulk/3.data": false, ".coltec/a/x/bulk/2.index": true,
		".coltec/a/torn/state": false, ".coltec/a/unknown/state": false, ".coltec/conflicts/x": false, "x": false,
	} {
		if got := all.Gone(path); got != want {
			t.Errorf("%s is gone: %v", path, got)
		}
	}
}

// saying has something to say of what went.
type saying struct {
	Carrier
	err error
}

func (s saying) Removal(context.Context, []tree.Entry, func(string, map[string]bool) (int, error)) (Removal, error) {
	return Removal{Taken: 1, Untracked: 2}, s.err
}

// What several kinds say is taken together, and an error of one is that of all. No kind says
// nothing.
func TestSeveralCarriers(t *testing.T) {
	if got, err := (Carriers{saying{}, saying{}}).Removal(t.Context(), nil, nil); err != nil || got != (Removal{2, 4}) {
		t.Errorf("%+v, %v", got, err)
	}
	broken := errors.New("broken")
	if _, err := (Carriers{saying{}, saying{err: broken}}).Removal(t.Context(), nil, nil); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	var none Carriers
	if err := none.Settle(t.Context(), nil); err != nil || len(none.Notes()) > 0 {
		t.Errorf("%v, %q", err, none.Notes())
	}
}

// content is a kind that is found by its content: x-log belongs to x.
type content struct{ sort }

func (c content) Layout() Layout { return Layout{Dir: c.dir, Mark: "mark", Content: true} }

func (c content) Of(path string) string {
	return strings.TrimPrefix(path[:strings.LastIndexByte(path, '/')], c.dir+"/")
}

func (content) Around(path string) string { return strings.TrimSuffix(path, "-log") }

// What a tree has as a whole that was found by its content is no file at its path, nor is what
// belongs to it; of a kind that goes by a name nothing is said.
func TestPathsOfWholes(t *testing.T) {
	kinds := Kinds{sort{dir: ".coltec/a"}, content{sort{dir: ".coltec/b"}}}
	covers := kinds.Covers([]tree.Entry{{Path: ".coltec/a/x/mark"}, {Path: ".coltec/b/d/y/mark"}, {Path: ".coltec/b/z/other"}})
	for path, want := range map[string]bool{"d/y": true, "d/y-log": true, "d/y-log-log": false, "d": false, "y": false, "x": false, "x-log": false, "z": false} {
		if covers(path) != want {
			t.Errorf("%s is covered: %v", path, !want)
		}
	}
	some := map[string]bool{"d/y": true}
	for path, want := range map[string]bool{"d/y": true, "d/y-log": true, ".coltec/b/d/y/mark": true, ".coltec/b/d/z/mark": false, "d/z": false} {
		if kinds.In(path, some) != want {
			t.Errorf("%s is in it: %v", path, !want)
		}
	}
}

// clearing gives way.
type clearing struct {
	Carrier
	cleared *int
}

func (c clearing) Clear(context.Context) error {
	*c.cleared++
	return nil
}

// Those give way that can.
func TestClear(t *testing.T) {
	n := 0
	if err := (Carriers{saying{}, clearing{cleared: &n}, clearing{cleared: &n}}).Clear(t.Context()); err != nil || n != 2 {
		t.Errorf("%v, %d", err, n)
	}
}

// The wholes of a tree are told by their marks, one in another's directory as one of its own;
// what has no mark is none.
func TestShadowsOfATree(t *testing.T) {
	kinds := Kinds{sort{dir: ".coltec/a"}, sort{dir: ".coltec/b"}}
	var rows store.Tree
	for _, path := range []string{".coltec/a", ".coltec/a/x", ".coltec/a/x/in/y/mark", ".coltec/a/x/in/y/state", ".coltec/a/x/mark", ".coltec/a/x/state", ".coltec/a/xy/state", ".coltec/b/d/x/mark", "x"} {
		rows.Entries = append(rows.Entries, tree.Entry{Path: path})
	}
	got := map[string][]string{}
	for _, s := range kinds.ShadowsIn(&rows) {
		for _, e := range s.Entries {
			name := s.Layout().Dir + " " + s.Name
			got[name] = append(got[name], e.Path)
		}
	}
	want := map[string][]string{".coltec/a x": {"mark", "state"}, ".coltec/a x/in/y": {"mark", "state"}, ".coltec/b d/x": {"mark"}}
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%q, want %q", got, want)
	}
}
