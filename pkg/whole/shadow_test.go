package whole

import (
	"maps"
	"slices"
	"testing"

	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

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
