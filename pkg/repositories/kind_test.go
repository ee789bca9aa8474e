package repositories

import (
	"slices"
	"testing"

	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

// Which paths belong to which repository is told by their names alone.
func TestPathsOfRepositories(t *testing.T) {
	kinds := whole.Kinds{Kind{}}
	for path, want := range map[string]struct {
		around, of string
		bulk       bool
	}{
		"a/b":                               {},
		".git":                              {around: ".git"},
		"a/.git/refs/heads/x":               {around: "a/.git"},
		"a/.git/modules/m/.git/HEAD":        {around: "a/.git"},
		"a/.github/x":                       {},
		layout.Dir:                          {},
		layout.Dir + "/a/.git/HEAD":         {around: layout.Dir + "/a/.git", of: "a/.git"},
		layout.Dir + "/.git/modules/m/HEAD": {around: layout.Dir + "/.git", of: ".git"},
		layout.Dir + "/a/.git/objects/pack/p.idx": {around: layout.Dir + "/a/.git", of: "a/.git", bulk: true},
		layout.Dir + "/bare":                      {of: "bare"},
		"objects/pack/p.idx":                      {},
	} {
		if got := (Kind{}).Around(path); got != want.around {
			t.Errorf("%s is in %q, want %q", path, got, want.around)
		}
		if got, ok := kinds.Of(path); got != want.of || ok != (want.of != "") {
			t.Errorf("%s is a row of %q, want %q", path, got, want.of)
		}
		if got := kinds.Bulk(path); got != want.bulk {
			t.Errorf("%s is bulk: %v", path, got)
		}
	}
}

func rowsOf(rows ...string) (all []tree.Entry) {
	for _, path := range rows {
		e := tree.Entry{Path: path, Kind: tree.File, Mode: 0o644}
		if dir, ok := cutDir(path); ok {
			e = tree.Entry{Path: dir, Kind: tree.Dir, Mode: 0o755}
		}
		all = append(all, e)
	}
	tree.Sort(all)
	return all
}

func cutDir(path string) (string, bool) {
	if path[len(path)-1] == '/' {
		return path[:len(path)-1], true
	}
	return path, false
}

func pathsOf(entries []tree.Entry) (all []string) {
	for _, e := range entries {
		all = append(all, e.Path)
	}
	return all
}

// A tree from before repositories were wholes has them as files: those that are not carried
// as files any more, have no shadow, and are repositories.
func TestAsFiles(t *testing.T) {
	entries := rowsOf("a/.git/", "a/.git/HEAD", "a/.git/config", "a/f", "b/.git/HEAD", layout.Dir+"/b/.git/coltec.json",
		"c/.git/config", "d/.git", "e/.git/HEAD")
	carries := func(path string, dir bool) bool { return tree.Within(path, "e") }
	got := Kind{Mode: Wholes}.AsFiles(entries, carries)
	if len(got) != 1 || !slices.Equal(pathsOf(got["a/.git"]), []string{"a/.git", "a/.git/HEAD", "a/.git/config"}) {
		t.Errorf("as files: %v", got)
	}
	for _, mode := range []Mode{Files, Counted} {
		if got := (Kind{Mode: mode}).AsFiles(entries, carries); len(got) > 0 {
			t.Errorf("%s: %v", mode, got)
		}
	}
}

// What a tree has shadows of is laid where it belongs, without what only a shadow has; a
// file that led to the repository is in its way. What would lead git elsewhere is left out.
func TestLaidOut(t *testing.T) {
	kinds := whole.Kinds{Kind{}}
	shadow := layout.Dir + "/a/.git"
	entries := rowsOf("a/.git", "a/f", "b/.git", shadow+"/coltec.json", shadow+"/HEAD", shadow+"/objects/info/alternates", shadow+"/commondir", shadow+"/worktrees/w/commondir", shadow+"/modules/m/commondir",
		".coltec/conflicts/x/a/f", "a/g")
	link := tree.Entry{Path: shadow + "/refs/heads/x", Kind: tree.Link, Link: "../../../../elsewhere"}
	entries = append(entries, link, tree.Entry{Path: layout.Dir + "/c/.git", Kind: tree.Link, Link: "/etc"})
	tree.Sort(entries)
	t1, left := kinds.Harmless(&store.Tree{Entries: entries})
	if got, want := pathsOf(kinds.Laid(t1).Entries), []string{"a/.git/HEAD", "a/.git/worktrees/w/commondir", "a/f", "a/g", "b/.git"}; !slices.Equal(got, want) {
		t.Errorf("laid: %q, want %q", got, want)
	}
	var refused []string
	for _, u := range left {
		refused = append(refused, u.Path)
	}
	if want := []string{"a/.git/commondir", "a/.git/modules/m/commondir", "a/.git/objects/info/alternates", "a/.git/refs/heads/x", "c/.git"}; !slices.Equal(refused, want) {
		t.Errorf("left out: %q, want %q", refused, want)
	}
	if got := kinds.Shadowed(entries, "a/.git/HEAD") + kinds.Shadowed(entries, "b/.git") + kinds.Shadowed(entries, "a/f"); got != "a/.git" {
		t.Errorf("with a shadow are %q", got)
	}
}

// A repository is carried as its mode says.
func TestModes(t *testing.T) {
	for mode, want := range map[Mode]int{Files: 0, Counted: 1, Wholes: 1} {
		kinds := whole.Kinds{Kind{Mode: mode}}
		if got := len(kinds.Carry(whole.Options{})); got != want {
			t.Errorf("%q: %d carriers", mode, got)
		}
		if got := kinds.Watched(all{}).File("a/.git/index.lock"); got != (mode != Wholes) {
			t.Errorf("%q: a lock is watched: %v", mode, got)
		}
	}
}
