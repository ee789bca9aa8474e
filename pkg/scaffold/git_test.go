package scaffold

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/sample"
)

func TestSplitURL(t *testing.T) {
	for in, want := range map[string][3]string{
		"https://h/r.git":          {"https://h/r.git", ".", ""},
		"https://h/r.git//a/b#v1":  {"https://h/r.git", "a/b", "v1"},
		"git@h:r.git//a":           {"git@h:r.git", "a", ""},
		"file:///srv/r//t#release": {"file:///srv/r", "t", "release"},
	} {
		url, folder, ref := splitURL(in)
		if diff := cmp.Diff(want, [3]string{url, folder, ref}); diff != "" {
			t.Errorf("%s: %s", in, diff)
		}
	}
}

// TestGitTemplate reads a folder of a tag of a real repository, and refuses what
// leads out of it.
func TestGitTemplate(t *testing.T) {
	sample.Long(t)
	if _, err := exec.LookPath("git"); err != nil {
		t.Fatal("git is not installed: it is needed to build and test, see README.md")
	}
	repo, private := t.TempDir(), t.TempDir()
	for path, text := range map[string]string{
		filepath.Join(repo, "low/template.yaml"):   "name: low\nversion: 1\n",
		filepath.Join(repo, "low/files/low.txt"):   "low\n",
		filepath.Join(repo, "top/template.yaml"):   "name: top\nversion: 1\nextends: ../low\n",
		filepath.Join(repo, "top/files/top.txt"):   "tagged\n",
		filepath.Join(repo, "out/template.yaml"):   "name: out\nversion: 1\nextends: ../../" + filepath.Base(private) + "\n",
		filepath.Join(repo, "abs/template.yaml"):   "name: abs\nversion: 1\nextends: " + private + "\n",
		filepath.Join(private, "template.yaml"):    "name: private\nversion: 1\n",
		filepath.Join(private, "files/secret.txt"): "secret\n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(private, filepath.Join(repo, "link")); err != nil {
		t.Fatal(err)
	}
	git := func(args ...string) {
		cmd := exec.Command("git", append([]string{"-C", repo, "-c", "user.name=x", "-c", "user.email=x@example.com"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	git("init", "-q", "-b", "main")
	git("add", ".")
	git("commit", "-qm", "x")
	git("tag", "v1")
	if err := os.WriteFile(filepath.Join(repo, "top/files/top.txt"), []byte("newer\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	git("commit", "-qam", "y")
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	for ref, want := range map[string]string{"#v1": "tagged\n", "#main": "newer\n", "": "newer\n"} {
		tm, err := carried.Open("file://"+repo+"//top"+ref, ".")
		if err != nil {
			t.Fatal(err)
		}
		tree, err := tm.Render(Answers{})
		if err != nil {
			t.Fatal(err)
		}
		if string(tree["top.txt"].Data) != want || string(tree["low.txt"].Data) != "low\n" {
			t.Errorf("%q: %q %q", ref, tree["top.txt"].Data, tree["low.txt"].Data)
		}
	}
	for _, bad := range []string{"//out", "//abs", "//link", "//../x", "//nosuch", "//top#nosuch"} {
		if _, err := carried.Open("file://"+repo+bad, "."); err == nil || !strings.Contains(err.Error(), "cannot read template") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("clones are left: %v %v", left, err)
	}
}
