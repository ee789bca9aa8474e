package feature

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
)

// TestInstallFromSource has install.sh build a tag of a repository, with a go that says what it
// was asked for: the programs are those that were built, and nothing of the build is left.
func TestInstallFromSource(t *testing.T) {
	sample.Long(t)
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("CI is root")
		}
		t.Skip("install.sh is root's")
	}
	const script = "#!/bin/sh\n"
	source := t.TempDir()
	for _, dir := range []string{"scripts", "cmd/coltecd"} {
		if err := os.MkdirAll(filepath.Join(source, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	writeScript(t, filepath.Join(source, "scripts/build-rclone.sh"), script+`printf '#!/bin/sh\necho rclone of the tag\n' >"$COLTEC_RCLONE_OUT"`)
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-qm", "all"}, {"tag", "v1"}} {
		if out, err := exec.Command("git", append([]string{"-C", source}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v: %s", args, err, out)
		}
	}
	tests := map[string]struct {
		version string
		noGo    bool
		goFails bool
		says    string
		fails   bool
	}{
		"the tag":        {version: "v1", says: "coltec: installed coltecd of v1"},
		"no such tag":    {version: "v2", says: "cannot clone v2 of", fails: true},
		"no version":     {says: "no version is pinned to be built from source", fails: true},
		"no build":       {version: "v1", goFails: true, says: "cannot build v1 of", fails: true},
		"an image alone": {version: "v1", noGo: true, says: "there is no go in this image", fails: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := Write(dir, Binaries{}); err != nil {
				t.Fatal(err)
			}
			here := filepath.Join(dir, Dir)
			text, err := os.ReadFile(filepath.Join(here, "install.sh"))
			if err != nil {
				t.Fatal(err)
			}
			writeScript(t, filepath.Join(here, "install.sh"), strings.ReplaceAll(strings.ReplaceAll(string(text), "/usr/local", dir+"/usr"), "/etc/", dir+"/etc/"))
			tools := filepath.Join(dir, "tools")
			if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(tools, 0o755); err != nil {
				t.Fatal(err)
			}
			if !tt.noGo { // a module cache is read-only
				writeScript(t, filepath.Join(tools, "go"), script+`mkdir -p "$GOMODCACHE/m" && chmod a-w "$GOMODCACHE/m"
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\necho coltecd of %s\n' "$VERSION" >"$2"`)
			}
			if tt.goFails {
				writeScript(t, filepath.Join(tools, "go"), script+"exit 1")
			}
			for _, name := range []string{"git", "awk", "id", "uname", "dirname", "mktemp", "rm", "chmod", "chown", "mv", "ln", "mkdir", "cp", "head", "cat", "grep", "cut"} {
				path, err := exec.LookPath(name)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(path, filepath.Join(tools, name)); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command("/bin/sh", filepath.Join(here, "install.sh"))
			cmd.Env = []string{"PATH=" + tools, "TMPDIR=" + dir + "/tmp", "FROM=source", "VERSION=" + tt.version, "SOURCE=file://" + source}
			out, err := cmd.CombinedOutput()
			if (err != nil) != tt.fails || !strings.Contains(string(out), tt.says) {
				t.Fatalf("%v\n%s", err, out)
			}
			if left, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			if got, err := exec.Command(filepath.Join(dir, "usr/lib/coltec/rclone")).Output(); !tt.fails && (err != nil || string(got) != "rclone of the tag\n") {
				t.Errorf("rclone: %q, %v", got, err)
			}
		})
	}
}
