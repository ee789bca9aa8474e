package scaffold

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
)

// repository makes one with these files.
func repository(t *testing.T, files map[string]string) (dir string, git func(args ...string)) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git = func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "protocol.file.allow=always"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	git("init", "-q", "-b", "main")
	git("add", ".")
	git("commit", "-qm", "x")
	return dir, git
}

// The submodules of a template in git were empty folders, without a word: those that it
// extends, those with files, those in others.
func TestGitTemplateWithSubmodules(t *testing.T) {
	sample.Long(t)
	deep, _ := repository(t, map[string]string{"deep.txt": "deep\n"})
	low, lowGit := repository(t, map[string]string{"template.yaml": "name: low\nversion: 1\n", "files/low.txt": "low\n"})
	lowGit("submodule", "--quiet", "add", deep, "files/deep")
	lowGit("commit", "-qm", "y")
	shared, _ := repository(t, map[string]string{"lint.toml": "lint\n"})
	top, git := repository(t, map[string]string{"top/template.yaml": "name: top\nversion: 1\nextends: ../low\n", "top/files/top.txt": "top\n"})
	git("submodule", "--quiet", "add", low, "low")
	git("submodule", "--quiet", "add", shared, "top/files/shared")
	git("commit", "-qm", "y")
	git("tag", "v1")
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	for _, ref := range []string{"", "#v1", "#main"} {
		tm, err := carried.Open("file://"+top+"//top"+ref, ".")
		if err != nil {
			t.Fatal(err)
		}
		tree, err := tm.Render(Answers{})
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"top.txt": "top\n", "low.txt": "low\n", "shared/lint.toml": "lint\n", "deep/deep.txt": "deep\n"} {
			if string(tree[name].Data) != want {
				t.Errorf("%s: %s: %q", ref, name, tree[name].Data)
			}
		}
		for name := range tree {
			if strings.Contains(name, ".git") {
				t.Errorf("%s is git's", name)
			}
		}
	}
	// One that cannot be had is named, and nothing is left.
	if err := os.RemoveAll(shared); err != nil {
		t.Fatal(err)
	}
	if _, err := carried.Open("file://"+top+"//top", "."); err == nil || !strings.Contains(err.Error(), "submodule") || !strings.Contains(err.Error(), "top/files/shared") {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("clones are left: %v %v", left, err)
	}
}

// A template from elsewhere names no folder of this machine as its submodule.
func TestSubmoduleTransports(t *testing.T) {
	for url, want := range map[string]string{
		"https://example.com/x": "https:http:ssh", "ssh://x/y": "https:http:ssh", "git@x:y": "https:http:ssh", "http://x": "https:http:ssh", "file:///x": "https:http:ssh:file",
	} {
		if got := transports(url); got != want {
			t.Errorf("%s: %s", url, got)
		}
	}
}
