package rewind

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/databases"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/repositories"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

// treeOf makes a tree of words: "d/" is a directory, "f=2" a file with a content.
func treeOf(words string, excludes ...string) *store.Tree {
	t := &store.Tree{Filters: filter.Excludes(excludes)}
	for _, w := range strings.Fields(words) {
		e := tree.Entry{Kind: tree.File, Mode: 0o644}
		name, content, _ := strings.Cut(w, "=")
		if e.Path = strings.TrimSuffix(name, "/"); e.Path != name {
			e.Kind, e.Mode = tree.Dir, 0o755
		} else {
			e.Size = int64(len(content))
			copy(e.Sum[:], content)
		}
		t.Entries = append(t.Entries, e)
	}
	tree.Sort(t.Entries)
	return t
}

// words are what treeOf makes a tree of.
func words(entries []tree.Entry) string {
	var out []string
	for _, e := range entries {
		switch {
		case e.Kind == tree.Dir:
			out = append(out, e.Path+"/")
		case e.Size > 0:
			out = append(out, e.Path+"="+string(e.Sum[:e.Size]))
		default:
			out = append(out, e.Path)
		}
	}
	return strings.Join(out, " ")
}

func sides(t *testing.T, now, then *store.Tree, under string, excludes ...string) Sides {
	t.Helper()
	f, err := filter.Compile(filter.Excludes(excludes))
	if err != nil {
		t.Fatal(err)
	}
	return Sides{Now: now, Then: then, Under: under, Filter: f, Wholes: whole.Kinds{repositories.Kind{Mode: repositories.Wholes}, databases.Kind{}}}
}

func TestTree(t *testing.T) {
	const git, db = ".coltec/git/d/.git", ".coltec/databases/d/x.db"
	for name, tt := range map[string]struct {
		now, then *store.Tree
		under     string
		excludes  []string
		want      string
	}{
		"all of it":                          {now: treeOf("a=1 b=2 d/ d/x=3"), then: treeOf("a=0 e/ e/y=4"), want: "a=0 e/ e/y=4"},
		"what was kept aside stays":          {now: treeOf(".coltec/conflicts/s-h/a=1 a=2"), then: treeOf(".coltec/conflicts/r-h/b=1 a=1"), want: ".coltec/conflicts/s-h/a=1 a=1"},
		"what is excluded now does not come": {now: treeOf("a=1"), then: treeOf("a=0 secret=s"), excludes: []string{"secret"}, want: "a=0"},
		"what was excluded then stays":       {now: treeOf("a=1 x.log=1 d/ d/y.log=2 d/z=3"), then: treeOf("a=0", "*.log"), want: "a=0 d/ d/y.log=2 x.log=1"},
		"a file in the place of a directory": {now: treeOf("d/ d/x.log=1"), then: treeOf("d=0", "*.log"), want: "d=0"},
		"wholes":                             {now: treeOf(git + "/HEAD=2 " + git + "/n=2 " + db + "/db=2 a=1"), then: treeOf(git + "/HEAD=1 a=0"), want: git + "/HEAD=1 a=0"},
		"a whole of no kind that there is":   {now: treeOf(".coltec/frozen/p/x=2 a=1"), then: treeOf(".coltec/frozen/p/x=1 a=0"), want: ".coltec/frozen/p/x=2 a=0"},
		"a database that is excluded now":    {now: treeOf("a=1"), then: treeOf(db + "/db=1 a=0"), excludes: []string{"*.db"}, want: "a=0"},
		"a repository in what is excluded":   {now: treeOf(git + "/HEAD=2 a=1"), then: treeOf("a=0", "/d/**"), want: git + "/HEAD=2 a=0"},
		"a path":                             {now: treeOf("a=1 d/ d/x=1 d/y=1"), then: treeOf("a=0 d/ d/x=0 d/z=0"), under: "d", want: "a=1 d/ d/x=0 d/z=0"},
		"a path with its wholes":             {now: treeOf(git + "/HEAD=2 .coltec/git/.git/HEAD=2 " + db + "/db=2 a=1"), then: treeOf(git + "/HEAD=1 .coltec/git/.git/HEAD=1 a=0"), under: "d", want: ".coltec/git/.git/HEAD=2 " + git + "/HEAD=1 a=1"},
		"a path that is gone":                {now: treeOf("a=1"), then: treeOf("a=0 d/ d/e/ d/e/f=0 d/g=0"), under: "d/e/f", want: "a=1 d/ d/e/ d/e/f=0"},
		"a path that was not there":          {now: treeOf("a=1 d/ d/x=1"), then: treeOf("a=0 d/"), under: "d/x", want: "a=1 d/"},
		"a name that begins alike":           {now: treeOf("d/ d/x=1 d-x=1"), then: treeOf("d/ d/x=0 d-x=0"), under: "d", want: "d/ d/x=0 d-x=1"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := sides(t, tt.now, tt.then, tt.under, tt.excludes...).Tree()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(words(treeOf(tt.want).Entries), words(got.Entries)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTreeOfAPathThatCannotBe(t *testing.T) {
	const mark = ".coltec/git/d/.git/coltec.json .coltec/databases/x.db/coltec.json"
	for under, want := range map[string]string{
		"d/.git/HEAD": `it is part of "d/.git", which is only valid as a whole`,
		"x.db-wal":    `it is part of "x.db"`,
		"a/b":         `"a" is no directory now`,
		"nothing":     ErrNotThere.Error(),
		".coltec/git": "it is coltecd's own",
	} {
		_, err := sides(t, treeOf(mark+" a=1 d/"), treeOf(mark+" a/ a/b=0 d/"), under).Tree()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", under, err)
		}
		if under == "nothing" && !errors.Is(err, ErrNotThere) {
			t.Errorf("%s: %v", under, err)
		}
	}
}

func TestCount(t *testing.T) {
	for name, tt := range map[string]struct {
		now, then string
		want      Count
	}{
		"nothing":       {"a=1 d/", "a=1 d/", Count{Same: true}},
		"a directory":   {"a=1", "a=1 d/", Count{}},
		"some of each":  {"a=1 b=1 c=1", "a=0 d=0 e=0", Count{Added: 2, Changed: 1, Removed: 2, Lost: 2}},
		"parts of them": {".coltec/git/.git/HEAD=1 .coltec/git/.git/x=1", ".coltec/git/.git/HEAD=2", Count{Changed: 1, Removed: 1}},
	} {
		got, err := sides(t, treeOf(tt.now), treeOf(tt.then), "").Tree()
		if err != nil || got.Count != tt.want {
			t.Errorf("%s: %+v, %v", name, got.Count, err)
		}
	}
}

// Of any two trees the one that a rewind leads to can be a tree, has what the old one has at
// the paths that it is about, and all else as it is; and back again nothing has changed.
func TestTreesOfAllKinds(t *testing.T) {
	const seed = 7
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	names := []string{"a", "b", "d", "d/a", "d/e", "d/e/f", "d-x"}
	random := func() *store.Tree {
		var list []string
		leaf := map[string]bool{}
		for _, n := range names {
			above := slices.Collect(tree.Parents(n))
			if rnd.IntN(3) == 0 || slices.ContainsFunc(above, func(p string) bool { return leaf[p] }) {
				continue
			}
			for _, p := range above {
				if !slices.Contains(list, p+"/") {
					list = append(list, p+"/")
				}
			}
			if slices.Contains(list, n+"/") {
				continue
			}
			if rnd.IntN(3) == 0 {
				list = append(list, n+"/")
				continue
			}
			leaf[n] = true
			list = append(list, fmt.Sprintf("%s=%d", n, rnd.IntN(3)))
		}
		return treeOf(strings.Join(list, " "))
	}
	for range sample.Size(500, 50_000) {
		now, then, under := random(), random(), append(names, "")[rnd.IntN(len(names)+1)]
		s := sides(t, now, then, under)
		got, err := s.Tree()
		if err != nil {
			continue
		}
		for i, e := range got.Entries {
			if !room(got.Entries, e.Path) || i > 0 && tree.Compare(got.Entries[i-1].Path, e.Path) >= 0 {
				t.Fatalf("%s -> %s under %q: no tree: %s", words(now.Entries), words(then.Entries), under, words(got.Entries))
			}
			from := now
			if s.about(e.Path) {
				from = then
			}
			if was := tree.Find(from.Entries, e.Path); (was == nil || !was.Same(&e)) && !s.leads(&e) {
				t.Fatalf("%s -> %s under %q: %s", words(now.Entries), words(then.Entries), under, words(got.Entries))
			}
		}
		for _, e := range then.Entries {
			if s.about(e.Path) && tree.Find(got.Entries, e.Path) == nil {
				t.Fatalf("%s -> %s under %q lacks %s: %s", words(now.Entries), words(then.Entries), under, e.Path, words(got.Entries))
			}
		}
		back, err := sides(t, &store.Tree{Entries: got.Entries}, now, "").Tree()
		if err != nil || words(back.Entries) != words(now.Entries) {
			t.Fatalf("%s -> %s under %q, and back: %s, %v", words(now.Entries), words(then.Entries), under, words(back.Entries), err)
		}
	}
}
