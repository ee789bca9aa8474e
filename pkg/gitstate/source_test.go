package gitstate

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/gittest"
)

// A repository whose git directory lies outside of the tree was not carried, and nobody
// said so. It is, comes out as one that is in the tree, and what was done there comes back
// to where it lies here.
func TestOutsideOfTheTree(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(a *placed, away string)
	}{
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
	} {
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

// What leads to nothing is said; what leads into the tree is carried there.
func TestOutsideAndNotThere(t *testing.T) {
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
