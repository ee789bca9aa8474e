package gitstate

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/coltec/coltec/internal/sample"
)

// A copy of which a part is missing, or cut off, is not made a repository as if it were
// whole. One without its list of refs was placed as a repository without a branch, and one
// without a pack with no commits.
func TestSpoiledCopies(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	remove := func(file string) error { return os.Remove(file) }
	cut := func(file string) error {
		body, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return errors.Join(os.Remove(file), os.WriteFile(file, body[:len(body)-3], 0o644))
	}
	spoil := func(file string) error {
		body, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		body[len(body)-4] ^= 0x15
		return errors.Join(os.Remove(file), os.WriteFile(file, body, 0o644))
	}
	a := newPlace(t)
	a.history("work", 5)
	a.git("work", "tag", "-a", "v1", "-m", "annotated")
	a.capture("work/.git")
	cases := []struct {
		name, file string
		damage     func(string) error
	}{
		{"no mark", Mark, remove},
		{"the mark is cut off", Mark, cut},
		{"no HEAD", "HEAD", remove},
		{"no refs", "packed-refs", remove},
		{"refs are cut off", "packed-refs", cut},
		{"no configuration", "config", remove},
		{"no pack", "objects/pack/*.pack", remove},
		{"a pack is cut off", "objects/pack/*.pack", cut},
		{"a pack is damaged", "objects/pack/*.pack", spoil},
		{"no index of a pack", "objects/pack/*.idx", remove},
		{"an index of a pack is cut off", "objects/pack/*.idx", cut},
	}
	for _, c := range sample.Some(t, 5, cases) {
		t.Run(c.name, func(t *testing.T) {
			for _, beside := range []bool{false, true} {
				b := newPlace(t)
				if beside {
					b.history("work", 2)
				}
				arrives := b.arrival(a, "work/.git")
				b.bring(a, arrives)
				files, err := filepath.Glob(filepath.Join(globEscape(arrives.From), c.file))
				if err != nil || len(files) == 0 {
					t.Fatalf("no %s: %v", c.file, err)
				}
				if err := c.damage(files[0]); err != nil {
					t.Fatal(err)
				}
				before := ""
				if beside {
					before = b.answersOf()
				}
				err = b.k.Restore(t.Context(), arrives)
				if err == nil {
					t.Errorf("beside another %v: it is placed", beside)
				}
				if _, err := os.Lstat(filepath.Join(b.root, "work/.git")); !beside && err == nil {
					t.Error("there is a repository")
				}
				if beside && b.answersOf() != before {
					t.Errorf("what was here is another:\n%s\nnot\n%s", b.answersOf(), before)
				}
			}
		})
	}
}

// A branch whose commit is damaged where it comes from is no reason to refuse all else of the
// repository: that is said there, and the rest is joined.
func TestADamagedBranchKeepsNothingAway(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	a, b := newPlace(t), newPlace(t)
	a.history("work", 4)
	b.hop(a, true, "work/.git")
	a.git("work", "branch", "good", a.commit("work", "good"))
	a.git("work", "branch", "bad", a.commit("work", "bad"))
	bad := a.objectID("work", "rev-parse", "bad")
	file := a.loose("work", "bad")
	if err := errors.Join(os.Chmod(file, 0o644), os.Truncate(file, 0)); err != nil {
		t.Fatal(err)
	}
	if err := a.tried("work/.git"); !errors.As(err, new(*PartialError)) {
		t.Fatalf("it said %v", err)
	}
	b.join(a, true, "work/.git")
	if x, y := a.git("work", "rev-parse", "good"), b.git("work", "rev-parse", "good"); x != y {
		t.Errorf("good is %s, not %s", y, x)
	}
	if body, err := os.ReadFile(filepath.Join(b.root, "work/.git/refs/heads/bad")); err != nil || string(body) != bad+"\n" {
		t.Errorf("bad is %q, not %s: %v", body, bad, err)
	}
	b.git("work", "commit", "-q", "--allow-empty", "-m", "goes on") // while the branch is as bad there
	if err := b.tried("work/.git"); !errors.As(err, new(*PartialError)) {
		t.Errorf("there it said %v", err)
	}
	a.join(b, true, "work/.git")
	if x, y := a.git("work", "rev-parse", "HEAD"), b.git("work", "rev-parse", "HEAD"); x != y {
		t.Errorf("HEAD is %s, not %s", x, y)
	}
}
