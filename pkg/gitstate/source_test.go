package gitstate

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/gittest"
	"github.com/coltec/coltec/internal/sample"
)

// A repository whose git directory lies outside of the tree was not carried, and nobody
// said so. It is, comes out as one that is in the tree, and what was done there comes back
// to where it lies here.
func TestOutsideOfTheTree(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	type outside struct {
		name string
		make func(a *placed, away string)
	}
	for _, c := range sample.Some(t, 2, []outside{
		{"a separate git directory", func(a *placed, away string) {
			a.history("work", 5)
			a.git("work", "init", "-q", "--separate-git-dir", filepath.Join(away, "separate"))
		}},
		{"a link", func(a *placed, away string) {
			a.history("work", 5)
			if err := os.Rename(filepath.Join(a.root, "work/.git"), filepath.Join(away, "linked.git")); err != nil {
				t.Fatal(err)
			}
			a.link(filepath.Join(away, "linked.git"), "work/.git")
		}},
		{"a linked working tree", func(a *placed, away string) {
			gittest.History(t, filepath.Join(away, "main"), 5, 100)
			out, err := gittest.Run(filepath.Join(away, "main"), "worktree", "add", "-q", "-b", "topic", filepath.Join(a.root, "work"))
			if err != nil {
				t.Fatal(out)
			}
		}},
		{"a linked working tree of a bare repository", func(a *placed, away string) {
			gittest.History(t, filepath.Join(away, "main"), 5, 100)
			out, err := gittest.Run(away, "clone", "-q", "--bare", "main", "bare.git")
			if err == nil {
				out, err = gittest.Run(filepath.Join(away, "bare.git"), "worktree", "add", "-q", "-b", "topic", filepath.Join(a.root, "work"))
			}
			if err != nil {
				t.Fatal(out)
			}
		}},
	}) {
		t.Run(c.name, func(t *testing.T) {
			a, b, away := newPlace(t), newPlace(t), t.TempDir()
			c.make(a, away)
			a.write("work/new", "never pushed\n")
			a.git("work", "add", "new")
			a.git("work", "commit", "-q", "-m", "never pushed")
			a.write("work/staged", "staged\n")
			a.git("work", "add", "staged")
			if got := a.k.Repositories([]string{"work/.git"}); len(got) != 1 {
				t.Fatalf("it is not ours: %q", got)
			}
			a.capture("work/.git")
			copyTree(t, a.root, b.root)
			if s, err := os.Lstat(filepath.Join(b.root, "work/.git")); err != nil || s.IsDir() {
				t.Fatalf("what leads there did not come: %v", err)
			}
			// The other machine has nothing at that place.
			if s, _ := os.Lstat(filepath.Join(b.root, "work/.git")); s.Mode().IsRegular() {
				b.write("work/.git", "gitdir: /nonexistent/elsewhere\n")
			} else {
				b.link("/nonexistent/elsewhere", "work/.git")
			}
			b.restore(a, "work/.git")
			for _, q := range [][]string{{"status", "--porcelain=v2", "--branch"}, {"log", "--format=%H"}, {"diff", "--cached"}} {
				if x, y := a.git("work", q...), b.git("work", q...); x != y {
					t.Errorf("git %q: it is\n%s, not\n%s", q, y, x)
				}
			}
			fsck(t, filepath.Join(b.root, "work"))

			b.git("work", "commit", "-q", "-m", "there")
			head := b.git("work", "rev-parse", "HEAD")
			b.capture("work/.git")
			arrives := a.arrival(b, "work/.git")
			arrives.Agreed = true
			a.bring(b, arrives)
			if err := a.k.Restore(t.Context(), arrives); err != nil {
				t.Fatal(err)
			}
			if s, err := os.Lstat(filepath.Join(a.root, "work/.git")); err != nil || s.IsDir() {
				t.Errorf("its place is another now: %v", err)
			}
			if got := a.git("work", "rev-parse", "HEAD"); got != head {
				t.Errorf("HEAD is %s, not %s", got, head)
			}
			a.git("work", "add", "-A")
			if got := a.git("work", "status", "--porcelain"); got != "" {
				t.Errorf("status: %s", got)
			}
			fsck(t, filepath.Join(a.root, "work"))
			if kept := a.git("work", "for-each-ref", KeptRefs); kept != "" {
				t.Errorf("nothing was to be kept:\n%s", kept)
			}
			if a.capture("work/.git") {
				t.Log("captured again") // its index was written anew
			}
		})
	}
}

// Tags and branches that were made elsewhere came into the repository of a linked working
// tree, were left out of its next capture, and so were deleted where they had been made;
// and so was each branch that the working tree was switched from.
func TestRefsOfALinkedTree(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	a, b, away := newPlace(t), newPlace(t), t.TempDir()
	main := &placed{t: t, root: filepath.Join(away, "main")} // the repository, with a working tree of its own
	gittest.History(t, main.root, 5, 100)
	main.git("", "worktree", "add", "-q", "-b", "own", filepath.Join(a.root, "work"))
	main.git("", "branch", "foreign", main.commit("", "of the repository"))
	foreign := main.git("", "rev-parse", "foreign")
	a.capture("work/.git")
	b.write("work/.git", "gitdir: /nonexistent/elsewhere\n")
	b.restore(a, "work/.git")

	to := func(p, from *placed) {
		t.Helper()
		from.capture("work/.git")
		p.join(from, true, "work/.git")
	}
	there := func() { t.Helper(); to(b, a) }
	here := func() { t.Helper(); to(a, b) }
	same := func(want string, of ...string) {
		t.Helper()
		for _, p := range []*placed{a, b} {
			if got, err := p.try("work", append([]string{"rev-parse", "--verify", "-q"}, of...)...); strings.TrimSpace(got) != strings.TrimSpace(want) {
				t.Errorf("%q is %q in %s, not %q: %v", of, got, filepath.Base(filepath.Dir(p.root)), want, err)
			}
		}
	}
	at := func(p *placed, ref string) string { t.Helper(); return p.git("work", "rev-parse", ref) }

	first := at(b, "HEAD")
	b.git("work", "tag", "v1")
	b.git("work", "tag", "v2")
	b.git("work", "branch", "topic", b.commit("work", "on the topic"))
	b.git("work", "symbolic-ref", "refs/heads/alias", "refs/heads/topic")
	topic, log := at(b, "topic"), b.git("work", "reflog", "topic")
	here()
	there()
	same(first, "v1")
	same(topic, "topic")
	same(topic, "alias")
	if got := b.git("work", "reflog", "topic"); got != log {
		t.Errorf("the log of topic is\n%s, not\n%s", got, log)
	}

	a.git("work", "tag", "-d", "v1")
	there()
	same("", "v1")
	same(first, "v2")

	// It goes on there, and so it does here.
	b.git("work", "branch", "-f", "topic", b.commit("work", "goes on"))
	topic = at(b, "topic")
	here()
	there()
	same(topic, "topic")

	// What was done here right before the switch, too; the branch is captured no more
	// while it is checked out.
	a.git("work", "commit", "-q", "--allow-empty", "-m", "on its own")
	there()
	a.git("work", "commit", "-q", "--allow-empty", "-m", "right before the switch")
	own := at(a, "HEAD")
	a.git("work", "switch", "-q", "-c", "next")
	there()
	same(own, "own")
	if x, y := b.git("work", "reflog", "own"), a.git("work", "reflog", "own"); x != y {
		t.Errorf("the log of its branch is\n%s, not\n%s", x, y)
	}

	// What is damaged keeps its last value.
	file := filepath.Join(main.root, ".git/refs/heads/topic")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := a.tried("work/.git"); err == nil || !strings.Contains(err.Error(), "the ref refs/heads/topic is damaged") {
		t.Errorf("it said %v", err)
	}
	b.join(a, true, "work/.git")
	if got := at(b, "topic"); got != topic {
		t.Errorf("topic is %s, not %s", got, topic)
	}
	if err := os.WriteFile(file, []byte(topic), 0o644); err != nil {
		t.Fatal(err)
	}

	// A branch of the repository's with the name of one from elsewhere stays, and stays here.
	b.git("work", "branch", "foreign", b.commit("work", "of the same name"))
	elsewhere := at(b, "foreign")
	here()
	there()
	if got := at(b, "foreign"); got != elsewhere {
		t.Errorf("foreign is %s there, not %s", got, elsewhere)
	}
	if got := main.git("", "rev-parse", "foreign"); got != foreign {
		t.Errorf("foreign is %s, not %s", got, foreign)
	}

	// And one that is the same is not moved under the working tree that has it checked out.
	checkedOut := main.git("", "rev-parse", "HEAD")
	b.git("work", "branch", "main", strings.TrimSpace(checkedOut))
	here()
	b.git("work", "branch", "-f", "main", b.commit("work", "there"))
	moved := at(b, "main")
	for range 2 {
		here()
		there()
		if got := at(b, "main"); got != moved {
			t.Errorf("main is %s there, not %s", got, moved)
		}
		if got := main.git("", "rev-parse", "HEAD"); got != checkedOut {
			t.Errorf("main is %s, not %s", got, checkedOut)
		}
	}
	b.git("work", "branch", "-f", "main", strings.TrimSpace(checkedOut))
	here()
	b.git("work", "branch", "-D", "main")
	here()
	if got := main.git("", "rev-parse", "HEAD", "main@{0}"); got != checkedOut+checkedOut {
		t.Errorf("main and its log are %s, not %s", got, checkedOut)
	}
	if got := main.git("", "status", "--porcelain"); got != "" {
		t.Errorf("status: %s", got)
	}

	a.capture("work/.git")
	shadow := filepath.Join(a.k.Shadow, "work/.git")
	l, err := list(shadow)
	if err != nil {
		t.Fatal(err)
	}
	for i := range l.items {
		body, _ := os.ReadFile(filepath.Join(shadow, l.items[i].path))
		if strings.Contains(string(body), strings.TrimSpace(foreign)) || strings.HasSuffix(l.items[i].path, "/main") || strings.Contains(string(body), "refs/heads/main") {
			t.Errorf("%s is not the tree's alone:\n%s", l.items[i].path, body)
		}
	}
	packs, err := openIndexes(shadow, 20)
	if err != nil || packs.has(strings.TrimSpace(foreign)) {
		t.Errorf("a commit that is not the tree's is carried: %v", err)
	}
	packs.close()
	fsck(t, filepath.Join(a.root, "work"))
	fsck(t, filepath.Join(b.root, "work"))
}

// What leads to nothing is said; what leads into the tree is carried there.
func TestOutsideAndNotThere(t *testing.T) {
	t.Parallel()
	a := newPlace(t)
	a.write("work/.git", "gitdir: /nonexistent/elsewhere\n")
	if got := a.k.Repositories([]string{"work/.git"}); len(got) != 1 {
		t.Errorf("it is not ours: %q", got)
	}
	if err := a.tried("work/.git"); err == nil || !strings.Contains(err.Error(), "outside of the tree, at /nonexistent/elsewhere, which is not there") {
		t.Errorf("it said %v", err)
	}
	a.history("main", 3)
	a.git("main", "worktree", "add", "-q", "../linked")
	a.write("text/.git", "no such file\n")
	if got := a.k.Repositories([]string{"linked/.git", "text/.git", "main/.git", "none/.git"}); len(got) != 1 || got[0] != "main/.git" {
		t.Errorf("ours are %q", got)
	}
}

// A repository outside of the tree was busy when what leads to it was first seen, or its copy
// was lost: from then on that counted as something from the bucket. What was led to from here
// once is known; what leads elsewhere since, and came, is not.
func TestWhatLedOutsideIsKnown(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	a, away := newPlace(t), t.TempDir()
	came := false
	again := func() {
		o := a.k.Options
		o.Doors, o.Came = filepath.Join(a.root, ".coltec/doors"), func(string) bool { return came }
		a.k = New(o)
	}
	again()
	a.history("work", 3)
	a.git("work", "init", "-q", "--separate-git-dir", filepath.Join(away, "mine"))
	gittest.History(t, filepath.Join(away, "theirs"), 3, 3)
	lock := filepath.Join(away, "mine/index.lock")
	if err := os.WriteFile(lock, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := a.tried("work/.git"); !errors.Is(err, ErrBusy) {
		t.Fatalf("it said %v", err)
	}
	came = true // it was pushed
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	for _, lost := range []string{"nothing", ".coltec/git"} {
		again()
		if err := os.RemoveAll(filepath.Join(a.root, lost)); err != nil {
			t.Fatal(err)
		}
		if err := a.tried("work/.git"); err != nil {
			t.Errorf("without %s: %v", lost, err)
		}
	}
	a.write("work/.git", "gitdir: "+filepath.Join(away, "theirs/.git")+"\n")
	if err := a.tried("work/.git"); err == nil || !strings.Contains(err.Error(), "may have come from the bucket") {
		t.Errorf("it said %v", err)
	}
	came = false // somebody here has led there
	for range 2 {
		if err := a.tried("work/.git"); err != nil {
			t.Error(err)
		}
		came = true
	}
}

// Whoever moved a repository, and left a link in its place, was told that the bucket may have
// led there, and to remove and make anew what leads there. To name the new place does.
func TestWhatWasMovedIsNamed(t *testing.T) {
	t.Parallel()
	for kind, lead := range map[string]func(door, to string) error{
		"a file": func(door, to string) error { return os.WriteFile(door, []byte("gitdir: "+to+"\n"), 0o644) },
		"a link": func(door, to string) error { return errors.Join(os.RemoveAll(door), os.Symlink(to, door)) },
	} {
		t.Run(kind, func(t *testing.T) {
			a, away := newPlace(t), t.TempDir()
			came := false
			o := a.k.Options
			o.Doors, o.Came = filepath.Join(a.root, ".coltec/doors"), func(string) bool { return came }
			a.k = New(o)
			was, at, door := filepath.Join(away, "was"), filepath.Join(away, "at"), filepath.Join(a.root, "work/.git")
			a.history("work", 3)
			if err := errors.Join(os.Rename(door, was), lead(door, was)); err != nil {
				t.Fatal(err)
			}
			if err := a.tried("work/.git"); err != nil {
				t.Fatal(err)
			}
			came = true // it was pushed
			if err := errors.Join(os.Rename(was, at), os.Symlink(at, was)); err != nil {
				t.Fatal(err)
			}
			err := a.tried("work/.git")
			if err == nil || !strings.Contains(err.Error(), "at "+at+", and was at "+was) || !strings.Contains(err.Error(), "have .git name "+at+" itself") || strings.Contains(err.Error(), "remove") {
				t.Errorf("it said %v", err)
			}
			if err := lead(door, at); err != nil {
				t.Fatal(err)
			}
			if err := a.tried("work/.git"); err == nil || !strings.Contains(err.Error(), "may have come from the bucket") {
				t.Errorf("what names another place, and has come, is said to have been moved: %v", err)
			}
			came = false // it is as nothing that came
			if err := a.tried("work/.git"); err != nil {
				t.Error(err)
			}
		})
	}
}
