package feature

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/coltec/coltec/features"
	"github.com/coltec/coltec/internal/sample"
)

// shells are what /bin/sh is in images: Debian's, Fedora's, Alpine's.
var shells = map[string][]string{"dash": {"dash"}, "bash": {"bash", "--posix"}, "busybox": {"busybox", "sh"}}

// TestEntrypoint has process 1 read entrypoint.sh as the dev container CLI does, in a root
// of its own, and get a TERM then.
func TestEntrypoint(t *testing.T) {
	sample.Long(t)
	const marker = ".coltec-was-started"
	tests := map[string]struct {
		user   string
		args   []string                       // the container's own command
		before func(t *testing.T, dir string) // dir has tmp, var/tmp, run and local
		want   string                         // what coltecd is asked for, then what process 1 says
		at     string                         // the marker is there afterwards
	}{
		"first start": {at: "tmp", want: "on\nstop --timeout 9s\n"},
		"restart":     {before: touch("tmp/" + marker), at: "tmp", want: "start\non\nstop --timeout 9s\n"},
		// The redirection of a special builtin that fails ends dash, and so the container.
		"no /tmp":                    {before: without("tmp"), at: "var/tmp", want: "on\nstop --timeout 9s\n"},
		"restart without /tmp":       {before: both(without("tmp"), touch("var/tmp/"+marker)), at: "var/tmp", want: "start\non\nstop --timeout 9s\n"},
		"nothing can be written to":  {before: without("tmp", "var/tmp", "run", "local/share/coltec"), want: "on\nstop --timeout 9s\n"},
		"a link that leads nowhere":  {before: link("none"), at: "tmp", want: "start\non\nstop --timeout 9s\n"},
		"a link to another's file":   {before: link("precious"), at: "tmp", want: "start\non\nstop --timeout 9s\n"},
		"a directory in its place":   {before: mkdir("tmp/" + marker), at: "tmp", want: "start\non\nstop --timeout 9s\n"},
		"another user":               {user: "vscode", at: "tmp", want: "on\nbecome vscode -- stop --timeout 9s\n"},
		"a user without a name":      {user: "1000", at: "tmp", want: "on\nbecome 1000 -- stop --timeout 9s\n"},
		"another user, at a restart": {user: "1000", before: touch("tmp/" + marker), at: "tmp", want: "become 1000 -- start\non\nbecome 1000 -- stop --timeout 9s\n"},
		// The CLI's exec replaces the shell, and with it the trap.
		"a command of its own": {args: []string{"server", "--port", "a b"}, at: "tmp", want: "on\nfirst --user root -- server --port a b\n"},
		"and another user":     {user: "1000", args: []string{"server"}, at: "tmp", want: "on\nfirst --user 1000 -- server\n"},
	}
	for name, argv := range shells {
		if _, err := exec.LookPath(argv[0]); err != nil {
			t.Run(name, func(t *testing.T) {
				if os.Getenv("CI") != "" {
					t.Fatal(err)
				}
				t.Skip(err)
			})
			continue
		}
		for what, tt := range tests {
			t.Run(name+"/"+what, func(t *testing.T) {
				dir := t.TempDir()
				for _, d := range []string{"tmp", "var/tmp", "run", "local/share/coltec", "local/bin"} {
					mkdir(d)(t, dir)
				}
				writeScript(t, filepath.Join(dir, "precious"), "precious")
				if tt.user != "" {
					writeScript(t, filepath.Join(dir, "local/share/coltec/user"), tt.user+"\n")
				}
				if tt.before != nil {
					tt.before(t, dir)
				}
				writeScript(t, filepath.Join(dir, "local/bin/coltecd"), "#!/bin/sh\necho \"$@\"\n")
				writeScript(t, filepath.Join(dir, "local/bin/id"), "#!/bin/sh\necho 0\n")
				script := inRoot(t, dir)
				// The wait is for the start in the background: its word comes first.
				cmd := exec.Command(argv[0], append(append(slices.Clone(argv[1:]), "-c", `trap "exit 0" TERM
. "$0"
wait
echo on
exec "$@"
kill -TERM $$
sleep 60`, script), tt.args...)...)
				cmd.Env = []string{"PATH=" + dir + "/local/bin:" + os.Getenv("PATH")}
				out, err := cmd.CombinedOutput()
				if err != nil || string(out) != tt.want {
					t.Errorf("%v: got %q, want %q", err, out, tt.want)
				}
				for _, d := range []string{"tmp", "var/tmp", "run", "local/share/coltec"} {
					if _, err := os.Lstat(filepath.Join(dir, d, marker)); (err == nil) != (d == tt.at) {
						t.Errorf("the marker in %s: %v", d, err)
					}
				}
				if b, err := os.ReadFile(filepath.Join(dir, "precious")); string(b) != "precious" {
					t.Errorf("a link was followed: %q, %v", b, err)
				}
				if _, err := os.Lstat(filepath.Join(dir, "none")); err == nil {
					t.Error("a link was followed to what was not there")
				}
			})
		}
	}
}

// inRoot writes entrypoint.sh with its places below dir, and returns its path.
func inRoot(t *testing.T, dir string) string {
	t.Helper()
	b, err := fs.ReadFile(features.FS(), "entrypoint.sh")
	if err != nil {
		t.Fatal(err)
	}
	places := regexp.MustCompile(`(^|[\s(])(?:/usr)?(/local|/var/tmp|/tmp|/run)\b`)
	text := places.ReplaceAllString(string(b), "${1}"+dir+"${2}")
	path := filepath.Join(dir, "entrypoint.sh")
	writeScript(t, path, text)
	return path
}

func writeScript(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func touch(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { t.Helper(); writeScript(t, filepath.Join(dir, name), "") }
}

func mkdir(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func without(names ...string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		for _, name := range names {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func link(to string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.Symlink(filepath.Join(dir, to), filepath.Join(dir, "tmp/.coltec-was-started")); err != nil {
			t.Fatal(err)
		}
	}
}

func both(a, b func(*testing.T, string)) func(*testing.T, string) {
	return func(t *testing.T, dir string) { t.Helper(); a(t, dir); b(t, dir) }
}
