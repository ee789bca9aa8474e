package gitstate

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/gittest"
)

// copyOf captures a repository, and gives a copy of its shadow.
func copyOf(t *testing.T, root string) string {
	t.Helper()
	shadows := filepath.Join(root, ".coltec/git")
	k := New(Options{Root: root, Shadow: shadows, Stage: func() string { return filepath.Join(root, ".coltec/stage") }})
	if _, err := k.Capture(t.Context(), ".git"); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(filepath.Join(shadows, ".git"))); err != nil {
		t.Fatal(err)
	}
	return to
}

// What is said of commits is what git says of the repository itself.
func TestBetween(t *testing.T) {
	root := t.TempDir()
	gittest.History(t, root, 20, 5)
	git := func(args ...string) string {
		t.Helper()
		out, err := gittest.Run(root, args...)
		if err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(out)
	}
	git("branch", "old", "HEAD~3")
	git("branch", "gone", "HEAD~1")
	git("branch", "same")
	before := copyOf(t, root)
	was := git("rev-parse", "main")
	for i := range 12 {
		git("commit", "-q", "--allow-empty", "-m", fmt.Sprint("later ", i), "-m", "a body")
	}
	git("branch", "-f", "old", "main~2")
	git("branch", "-D", "-q", "gone")
	git("checkout", "-q", "-b", "aside", "HEAD~14")
	git("commit", "-q", "--allow-empty", "-m", "aside \x1b[31m"+strings.Repeat("ä", 200))
	git("tag", "v1", "main")
	git("checkout", "-q", "--detach", "main~5")
	after := copyOf(t, root)
	got, more, err := Between(t.Context(), before, after, t.TempDir())
	if err != nil || more != 0 {
		t.Fatalf("%v, %d more", err, more)
	}
	type sides struct{ Ahead, Behind int }
	by := map[string]sides{}
	for _, c := range got {
		by[c.Ref] = sides{c.Ahead, c.Behind}
		for _, s := range c.Subjects {
			if len(s) > subjectMost || len(c.Subjects) > subjectsMost {
				t.Errorf("%s: %d subjects, %q", c.Ref, len(c.Subjects), s)
			}
		}
	}
	want := map[string]sides{
		"HEAD": {7, 0}, "refs/heads/main": {12, 0}, "refs/heads/old": {13, 0}, "refs/heads/gone": {0, 0}, "refs/heads/aside": {1, 0}, "refs/tags/v1": {12, 0},
	}
	if diff := cmp.Diff(want, by); diff != "" {
		t.Error(diff)
	}
	for _, c := range got {
		if c.Ref == "refs/heads/main" && (len(c.Subjects) != subjectsMost || !strings.HasSuffix(c.Subjects[0], " later 11")) {
			t.Errorf("%q", c.Subjects)
		}
	}
	if n := git("rev-list", "--count", was+"..main"); n != "12" {
		t.Errorf("git counts %s", n)
	}
	if same, more, err := Between(t.Context(), after, after, t.TempDir()); err != nil || len(same)+more > 0 {
		t.Errorf("of one state: %+v, %v", same, err)
	}
	back, _, err := Between(t.Context(), after, before, t.TempDir())
	if err != nil || len(back) != len(got) {
		t.Errorf("the other way: %+v, %v", back, err)
	}
	for _, c := range back {
		if c.Ref == "refs/heads/main" && (c.Ahead != 0 || c.Behind != 12) {
			t.Errorf("the other way: %+v", c)
		}
	}
}

// Another format of objects, a copy that is none, and one whose objects are gone are errors and
// no numbers.
func TestBetweenOddOnes(t *testing.T) {
	root := t.TempDir()
	gittest.History(t, root, 3, 2)
	good := copyOf(t, root)
	gittest.Run(root, "commit", "-q", "--allow-empty", "-m", "later")
	broken := copyOf(t, root)
	packs, err := filepath.Glob(broken + "/objects/pack/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, pack := range packs {
		if err := os.Remove(pack); err != nil {
			t.Fatal(err)
		}
	}
	other := t.TempDir()
	if out, err := gittest.Run(other, "init", "-q", "--object-format=sha256"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := gittest.Run(other, "commit", "-q", "--allow-empty", "-m", "a"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, after := range map[string]string{"another format": copyOf(t, other), "none": t.TempDir()} {
		if got, _, err := Between(t.Context(), good, after, t.TempDir()); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got, _, err := Between(t.Context(), good, broken, t.TempDir()); err == nil && len(got) > 0 && got[0].Ahead > 0 {
		t.Errorf("without objects: %+v", got)
	}
}
