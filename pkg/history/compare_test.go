package history

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/gittest"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/gitstate"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/coltec/coltec/pkg/tree"
)

// repository puts a copy of a repository that git need not read.
func (w *world) repository(at string, files map[string]string) {
	for name, body := range files {
		w.Put(".coltec/git/"+at+"/"+name, body)
	}
}

// without leaves a file out of the next generation.
func (w *world) without(path string) {
	w.Entries = slices.DeleteFunc(slices.Clone(w.Entries), func(e tree.Entry) bool { return e.Path == path })
}

// differ compares the generations 1 and 2, of which each puts what it has.
func (w *world) differ(look Look, gens ...func()) []Difference {
	w.t.Helper()
	for _, put := range gens {
		put()
		w.Publish()
	}
	r := w.reader()
	a, err := r.At(w.t.Context(), "1", w.Now)
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := r.At(w.t.Context(), "2", w.Now)
	if err != nil {
		w.t.Fatal(err)
	}
	found, err := r.Differences(w.t.Context(), w.replica, a, b, look)
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

const someID = "1111111111111111111111111111111111111111"

func small() map[string]string {
	return map[string]string{gitstate.Mark: "{}", "HEAD": "ref: refs/heads/main\n", "packed-refs": someID + " refs/heads/main\n", "objects/pack/pack-1.pack": "0123456789"}
}

func sizeOfAll(files map[string]string) (n int64) {
	for _, body := range files {
		n += int64(len(body))
	}
	return n
}

// A repository that only got a pack was said to have been added, and its sizes were those of
// what differs in it.
func TestCompareWholes(t *testing.T) {
	const at = "lib/.git"
	was := small()
	more := map[string]string{"objects/pack/pack-2.pack": "01234"}
	for name, tt := range map[string]struct {
		first, second func(w *world)
		want          []Difference
	}{
		"a pack came": {
			func(w *world) { w.repository(at, was) }, func(w *world) { w.repository(at, more) },
			[]Difference{{Path: at, What: "changed", Kind: "repository", Before: sizeOfAll(was), After: sizeOfAll(was) + 5}},
		},
		"a pack went": {
			func(w *world) { w.repository(at, was); w.repository(at, more) }, func(w *world) { w.without(".coltec/git/" + at + "/objects/pack/pack-2.pack") },
			[]Difference{{Path: at, What: "changed", Kind: "repository", Before: sizeOfAll(was) + 5, After: sizeOfAll(was)}},
		},
		"a branch moved": {
			func(w *world) { w.repository(at, was) },
			func(w *world) {
				w.repository(at, map[string]string{"packed-refs": strings.Repeat("2", 40) + " refs/heads/main\n"})
			},
			[]Difference{{Path: at, What: "changed", Kind: "repository", Before: sizeOfAll(was), After: sizeOfAll(was), Refs: []RefChange{{"refs/heads/main", someID, strings.Repeat("2", 40)}}}},
		},
		"it came": {
			func(w *world) { w.Put("a", "a") }, func(w *world) { w.repository(at, was) },
			[]Difference{{Path: at, What: "added", Kind: "repository", After: sizeOfAll(was), Refs: []RefChange{{"HEAD", "", "ref: refs/heads/main"}, {"refs/heads/main", "", someID}}}},
		},
		"it went": {
			func(w *world) { w.Put("a", "a"); w.repository(at, was) },
			func(w *world) {
				for name := range was {
					w.without(".coltec/git/" + at + "/" + name)
				}
			},
			[]Difference{{Path: at, What: "removed", Kind: "repository", Before: sizeOfAll(was), Refs: []RefChange{{"HEAD", "ref: refs/heads/main", ""}, {"refs/heads/main", someID, ""}}}},
		},
		"nothing differs": {
			func(w *world) { w.repository(at, was) }, func(w *world) {}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			got := w.differ(Look{}, func() { tt.first(w) }, func() { tt.second(w) })
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Refs that were too many to be read were said to be gone, all of them.
func TestCompareTooManyRefs(t *testing.T) {
	w := newWorld(t)
	large := strings.Repeat(someID+" refs/heads/"+strings.Repeat("x", 200)+"\n", compareRefFile/200)
	found := w.differ(Look{}, func() { w.repository(".git", small()) }, func() { w.repository(".git", map[string]string{"packed-refs": large}) })
	if len(found) != 1 || len(found[0].Refs) != 0 || found[0].Note == "" {
		t.Errorf("%+v", found)
	}
	w = newWorld(t)
	var many strings.Builder
	for i := range 3 * compareRefs {
		fmt.Fprintf(&many, "%s refs/tags/%05d\n", someID, i)
	}
	found = w.differ(Look{}, func() { w.repository(".git", small()) }, func() { w.repository(".git", map[string]string{"packed-refs": many.String()}) })
	if len(found) != 1 || len(found[0].Refs) != compareRefs || !strings.HasPrefix(found[0].Note, "and ") {
		t.Errorf("%d refs, %q", len(found[0].Refs), found[0].Note)
	}
}

// What is in a repository is told of where somebody asks for a path in it.
func TestCompareUnder(t *testing.T) {
	for under, want := range map[string]int{"": 2, "lib": 1, "lib/.git": 1, "lib/.git/config": 1, "lib/.gitignore": 0, "a": 1, "b": 0} {
		w := newWorld(t)
		found := w.differ(Look{Under: under},
			func() { w.repository("lib/.git", small()); w.Put("a", "1") },
			func() { w.repository("lib/.git", map[string]string{"HEAD": someID}); w.Put("a", "2") })
		if len(found) != want {
			t.Errorf("%q: %+v", under, found)
		}
	}
}

// The refs of each repository, and each text, were fetched by a run of rclone of their own.
func TestCompareFetchesAtOnce(t *testing.T) {
	w := newWorld(t)
	const many = 40
	put := func(text string) func() {
		return func() {
			for i := range many {
				w.Put(fmt.Sprint("file", i), text)
				w.repository(fmt.Sprintf("%d/.git", i), map[string]string{"coltec": "{}", "HEAD": text, "packed-refs": text})
			}
		}
	}
	fetches := 0
	first, second := put("one\n"), put("two\n")
	first()
	w.Publish()
	second()
	w.Publish()
	r := w.reader()
	a, err := r.At(t.Context(), "1", w.Now)
	if err != nil {
		t.Fatal(err)
	}
	b, err := r.At(t.Context(), "2", w.Now)
	if err != nil {
		t.Fatal(err)
	}
	w.Bucket.Hook(func(e storetest.Event) error {
		if e.Op == storetest.Download && !e.Done && slices.ContainsFunc(e.Keys, func(key string) bool { return strings.Contains(key, "/o/") }) {
			fetches++
		}
		return nil
	})
	found, err := r.Differences(t.Context(), w.replica, a, b, Look{Texts: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 2*many {
		t.Errorf("%d differ, want %d", len(found), 2*many)
	}
	for _, d := range found {
		if d.Kind == "file" && !strings.Contains(d.Diff, "+two") || d.Kind == "repository" && len(d.Refs) != 1 {
			t.Errorf("%+v", d)
		}
	}
	if most := 1 + many/compareAtOnce; fetches > most {
		t.Errorf("%d fetches, want %d at most", fetches, most)
	}
}

// Repositories and databases are opened where somebody asks for it, each once and within bounds;
// what cannot be opened is said, and is no error of all.
func TestCompareInside(t *testing.T) {
	sample.Long(t)
	root := t.TempDir()
	gittest.History(t, root, 10, 5)
	shadows := filepath.Join(root, ".coltec/git")
	k := gitstate.New(gitstate.Options{Root: root, Shadow: shadows, Stage: func() string { return filepath.Join(root, ".coltec/stage") }})
	state := func() map[string]string {
		t.Helper()
		if _, err := k.Capture(t.Context(), ".git"); err != nil {
			t.Fatal(err)
		}
		return filesIn(t, filepath.Join(shadows, ".git"))
	}
	first := state()
	if out, err := gittest.Run(root, "commit", "-q", "--allow-empty", "-m", "later"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	second := state()
	w := newWorld(t)
	found := w.differ(Look{Wholes: true},
		func() {
			w.repository("lib/.git", first)
			w.repository("odd/.git", small())
			w.repository("odd/.git", map[string]string{"config": "[core]\n\trepositoryformatversion = 1\n[extensions]\n\trefStorage = reftable\n"})
		},
		func() {
			w.repository("lib/.git", second)
			w.repository("odd/.git", map[string]string{"packed-refs": strings.Repeat("2", 40) + " refs/heads/main\n"})
		})
	if len(found) != 2 || len(found[0].Commits) != 1 || found[0].Commits[0].Ahead != 1 || !strings.HasSuffix(found[0].Commits[0].Subjects[0], " later") || found[0].Note != "" {
		t.Errorf("%+v", found)
	}
	if len(found) == 2 && (len(found[1].Commits) > 0 || !strings.Contains(found[1].Note, "cannot be opened")) {
		t.Errorf("%+v", found[1])
	}
	without := w.differ(Look{})
	if len(without) != 2 || len(without[0].Commits) > 0 || without[0].Note != "" {
		t.Errorf("nobody asked: %+v", without)
	}
}
