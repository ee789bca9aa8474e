package repositories

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/coltec/coltec/pkg/tree"
)

// A repository goes as its shadow alone, with what was never pushed, and comes as what it was:
// also one that is in a folder of another.
func TestRepositoriesTravel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.place(Wholes), w.place(Wholes)
	a.acquire()
	head := a.commit("code", "f")
	inner := a.commit("code/inner", "g")
	a.write("code/f", "stashed\n")
	a.git("code", "stash", "push", "-q")
	a.push(false)
	for _, row := range w.rows() {
		if strings.Contains("/"+row, "/.git/") && !strings.HasPrefix(row, layout.Dir+"/") {
			t.Errorf("%s is carried as a file", row)
		}
	}
	b.acquire()
	if got := b.git("code", "rev-parse", "HEAD"); got != head {
		t.Errorf("HEAD is %s, want %s", got, head)
	}
	if got := b.git("code/inner", "rev-parse", "HEAD"); got != inner {
		t.Errorf("HEAD of the inner one is %s, want %s", got, inner)
	}
	if got := b.git("code", "stash", "list"); !strings.Contains(got, "stash@{0}") {
		t.Errorf("stashes: %q", got)
	}
	if got := b.git("code", "fsck", "--strict"); got != "" {
		t.Errorf("fsck: %s", got)
	}
	b.expectNotes()
	before := w.ref
	b.push(false)
	if w.ref != before {
		t.Error("what has come is pushed again")
	}
}

// Both sides of a repository went on: the remote one keeps the branch, the other is kept
// under a ref that a note names, and nothing of either is lost.
func TestRepositoriesThatBothWentOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.place(Wholes), w.place(Wholes)
	a.acquire()
	a.commit("code", "f")
	a.push(false)
	b.acquire()
	there := b.commit("code", "there")
	b.push(false)
	here := a.commit("code", "here")
	a.acquire()
	if got := a.git("code", "rev-parse", "main"); got != there {
		t.Errorf("main is %s, want that of the bucket, %s", got, there)
	}
	if got := a.git("code", "for-each-ref", "--format=%(objectname)", "refs/coltec"); got != here {
		t.Errorf("kept is %q, want %s", got, here)
	}
	a.push(false)
	a.expectNotes("1 ref that lost its name is kept")
}

// A repository that the other side removed goes, and is kept with what was replaced. One
// that went on here since stays, and is pushed again.
func TestRepositoriesRemovedThere(t *testing.T) {
	t.Parallel()
	for name, goesOn := range map[string]bool{"as it was": false, "went on here": true} {
		w := newWorld(t)
		a, b := w.place(Wholes), w.place(Wholes)
		a.acquire()
		a.commit("code", "f")
		a.commit("other", "f")
		a.push(false)
		b.acquire()
		w.must(os.RemoveAll(b.at("code")))
		b.push(false)
		if rows := w.rows(); slices.ContainsFunc(rows, func(p string) bool { return strings.HasPrefix(p, layout.Dir+"/code/") }) {
			t.Fatalf("%s: what was removed is still there: %q", name, rows)
		}
		if goesOn {
			a.commit("code", "g")
		}
		a.acquire()
		replaced, err := filepath.Glob(a.at(".coltec/replaced/*/code/.git"))
		w.must(err)
		if a.has("code/.git") != goesOn || (len(replaced) == 1) == goesOn || !a.has("other/.git") {
			t.Errorf("%s: it is there: %v, kept: %q, the other one: %v", name, a.has("code/.git"), replaced, a.has("other/.git"))
		}
		a.push(false)
		again := slices.Contains(w.rows(), layout.Dir+"/code/.git/"+layout.Mark)
		if again != goesOn {
			t.Errorf("%s: it is in the bucket again: %v", name, again)
		}
	}
}

// Deletions that are held hold those of a whole repository too, and not of what another
// one lost: that goes with what took its place.
func TestRepositoriesRemovedWhileDeletionsAreHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.place(Wholes)
	a.acquire()
	a.commit("code", "f")
	a.commit("other", "f")
	a.push(false)
	before := w.rows()
	w.must(os.RemoveAll(a.at("code")))
	a.git("other", "commit", "--allow-empty", "-q", "-m", "next")
	a.git("other", "update-ref", "refs/heads/x", "HEAD")
	a.push(true)
	after := w.rows()
	if missing := slices.DeleteFunc(before, func(p string) bool {
		return slices.Contains(after, p) || strings.HasPrefix(p, layout.Dir+"/other/")
	}); len(missing) > 0 {
		t.Errorf("gone although deletions are held: %q", missing)
	}
	a.push(false)
	if slices.Contains(w.rows(), layout.Dir+"/code/.git/"+layout.Mark) {
		t.Error("it stays when deletions are not held")
	}
}

// A git directory that is gone alone is no word that its work is not needed: the bucket keeps
// it, a note says so, and the account has nothing that only this machine has.
func TestGitDirectoryThatIsGoneAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.place(Wholes)
	a.acquire()
	a.commit("code", "f")
	a.push(false)
	w.must(os.RemoveAll(a.at("code/.git")))
	a.push(false)
	if !slices.Contains(w.rows(), layout.Dir+"/code/.git/"+layout.Mark) {
		t.Error("the bucket lost it")
	}
	a.expectNotes("its git directory is gone")
	if names := a.uncaptured(); len(names) > 0 {
		t.Errorf("the account has %q", names)
	}
}

// While git is at work in one, it is in the account, and no news; the others go on. What
// cannot be captured at all is told, with what is only here for it.
func TestRepositoriesThatCannotBeCaptured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.place(Wholes)
	a.acquire()
	a.commit("busy", "f")
	a.commit("odd", "f")
	a.commit("fine", "f")
	a.write("busy/.git/index.lock", "")
	w.must(os.Remove(a.at("odd/.git/HEAD")), os.MkdirAll(a.at("odd/.git/HEAD"), 0o755))
	a.push(false)
	if names := a.uncaptured(); !slices.Equal(names, []string{"busy/.git", "odd/.git"}) {
		t.Errorf("the account has %q", names)
	}
	a.expectNotes(`the repository "odd/.git" is not carried as it is now`)
	if !slices.Contains(w.rows(), layout.Dir+"/fine/.git/"+layout.Mark) {
		t.Error("the other one did not go")
	}
	w.must(os.Remove(a.at("busy/.git/index.lock")))
	a.push(false)
	if names := a.uncaptured(); !slices.Equal(names, []string{"odd/.git"}) {
		t.Errorf("the account has %q", names)
	}
}

// Repositories that the bucket has as files are placed by who carries wholes, where there are
// none here. One that would lead git elsewhere is not: a note says so, and the base does not
// count as all that there is, so that a later start tries again.
func TestRepositoriesAsFiles(t *testing.T) {
	t.Parallel()
	for name, hostile := range map[string]bool{"fine": false, "borrows objects": true} {
		w := newWorld(t)
		a, b := w.place(Files), w.place(Wholes)
		a.acquire()
		head := a.commit("code", "f")
		if hostile {
			a.write("code/.git/objects/info/alternates", "/somewhere/else\n")
		}
		a.push(false)
		b.acquire()
		if b.has("code/.git") == hostile || b.Received(w.ref) == hostile {
			t.Errorf("%s: it is there: %v; all was seen: %v", name, b.has("code/.git"), b.Received(w.ref))
		}
		if hostile {
			b.expectNotes("is not brought here")
			continue
		}
		b.expectNotes()
		if got := b.git("code", "rev-parse", "HEAD"); got != head {
			t.Errorf("HEAD is %s, want %s", got, head)
		}
	}
}

// With git off what of a repository is only here is told. There is no shadow of it, and it
// has no say in deletions.
func TestRepositoriesThatAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.place(Counted)
	a.acquire()
	a.commit("code", "f")
	a.commit("code", "g")
	a.push(false)
	a.expectNotes("2 commits and 0 stashes are only here, and git is off")
	if a.has(layout.Dir + "/code") {
		t.Error("there is a shadow")
	}
	if rows := w.rows(); !slices.Equal(rows, []string{"code/f", "code/g"}) {
		t.Errorf("in the bucket: %q", rows)
	}
	lost := []tree.Entry{{Path: "code/f", Kind: tree.File}}
	said, err := a.carriers.Removal(t.Context(), lost, func(string, map[string]bool) (int, error) { return 2, nil })
	if err != nil || said.Taken+said.Untracked != 0 {
		t.Errorf("it says %+v, %v", said, err)
	}
}

// A pack that did not have to come here is missing without being gone. When the bucket has it
// no more, the shadow does not count, and all is packed anew.
func TestPacksThatTheBucketLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.place(Wholes)
	a.acquire()
	a.commit("code", "f")
	a.push(false)
	packs, err := filepath.Glob(a.at(layout.Dir + "/code/.git/objects/pack/*.pack"))
	if err != nil || len(packs) == 0 {
		t.Fatal(packs, err)
	}
	for _, pack := range packs {
		w.must(os.Remove(pack))
	}
	before := w.rows()
	a.push(false)
	if after := w.rows(); !slices.Equal(before, after) {
		t.Errorf("in the bucket before: %q, after: %q", before, after)
	}
	a.git("code", "commit", "-q", "--allow-empty", "-m", "next")
	w.generation, w.ref, w.bucket = 0, "", storetest.New()
	a.Layout = store.NewSnapshot(w.bucket.At("p"), a.at(".coltec/manifests"))
	w.must(os.Remove(a.at(".coltec/base")))
	a.acquire()
	a.push(false)
	b := w.place(Wholes)
	b.acquire()
	if got, want := b.git("code", "rev-parse", "HEAD"), a.git("code", "rev-parse", "HEAD"); got != want {
		t.Errorf("HEAD is %s, want %s", got, want)
	}
	if got := b.git("code", "fsck", "--strict"); got != "" {
		t.Errorf("fsck: %s", got)
	}
}

// A switch of branches says why files went; a wiped working tree does not, and neither does a
// repository whose own side could not be captured.
func TestRemoval(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.place(Wholes)
	a.acquire()
	a.commit("code", "f")
	a.git("code", "branch", "small")
	for _, file := range []string{"g", "h", "i"} {
		a.commit("code", file)
	}
	a.write("outside", "1")
	a.push(false)
	lost := func(names ...string) (all []tree.Entry) {
		for _, name := range names {
			row, err := a.Base().Lookup(map[string]bool{name: true})
			w.must(err)
			e := row[name].Entry
			if e.Path == "" {
				t.Fatalf("%s is not in the base", name)
			}
			all = append(all, e)
		}
		return all
	}
	files := lost("outside", "code/g", "code/h", "code/i")
	agreed := func(string, map[string]bool) (int, error) { return 1, nil }
	for _, c := range []struct {
		name string
		do   func()
		want int
	}{
		{"wiped", func() {
			for _, e := range files {
				w.must(os.Remove(a.at(e.Path)))
			}
		}, 0},
		{"switched", func() {
			a.git("code", "reset", "-q", "--hard")
			a.git("code", "switch", "-q", "small")
		}, 3},
		{"cannot be captured", func() {
			a.git("code", "commit", "-q", "--allow-empty", "-m", "next")
			a.write("code/.git/index.lock", "")
		}, 0},
	} {
		c.do()
		_, err := a.Scan(t.Context(), nil)
		w.must(err)
		said, err := a.carriers.Removal(t.Context(), files, agreed)
		if err != nil || said.Taken != c.want {
			t.Errorf("%s: taken are %+v, %v; want %d", c.name, said, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.must(os.Remove(a.at("code/.git/index.lock")))
	_, err := a.Scan(t.Context(), nil)
	w.must(err)
	if _, err := a.carriers.Removal(ctx, files, agreed); !errors.Is(err, context.Canceled) {
		t.Errorf("of what was ended it says %v", err)
	}
}
