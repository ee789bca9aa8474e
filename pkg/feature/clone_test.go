package feature

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/coltec/coltec/features"
	"github.com/coltec/coltec/internal/sample"
)

// TestCloneWithOtherLineEnds: git for Windows turns line ends by default, and scripts
// were errors of syntax in the container.
func TestCloneWithOtherLineEnds(t *testing.T) {
	sample.Long(t)
	dir, clone := t.TempDir(), filepath.Join(t.TempDir(), "clone")
	if _, err := Write(dir, Binaries{}); err != nil {
		t.Fatal(err)
	}
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	writeScript(t, filepath.Join(dir, "another.sh"), "echo\n")
	git("-C", dir, "init", "-q")
	git("-C", dir, "add", ".")
	git("-C", dir, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-qm", "all")
	git("clone", "-q", "-c", "core.autocrlf=true", dir, clone)
	if b, err := os.ReadFile(filepath.Join(clone, "another.sh")); err != nil || !bytes.Contains(b, []byte("\r\n")) {
		t.Fatalf("this git turns none: %q, %v", b, err)
	}
	names, err := fs.ReadDir(features.FS(), ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range names {
		b, err := os.ReadFile(filepath.Join(clone, Dir, e.Name()))
		if err != nil || bytes.ContainsRune(b, '\r') {
			t.Errorf("%s: %v; it has other line ends", e.Name(), err)
		}
	}
}
