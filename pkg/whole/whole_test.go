package whole

import (
	"context"
	"errors"
	"slices"
	"testing"

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
