package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/trust"
)

// A folder that files are written to is not led elsewhere by what a container wrote.
func TestDestination(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ws/.devcontainer/workspace-spec.yaml", "ws/sub/x", "mine/x", "bare/x", "state/coltec/trust"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p := newProgram(stdio{}, []string{"XDG_STATE_HOME=" + filepath.Join(dir, "state")})
	if err := p.keep(filepath.Join(dir, "bare"), trust.Record{}); err != nil { // its container took the spec away
		t.Fatal(err)
	}
	for path, target := range map[string]string{"ws/link": "../mine", "ws/sub/link": "../../mine", "ws/dangling": "nowhere", "mine/link": "x", "bare/x/link": "../../mine", "into": "ws/sub", "loop": "loop"} {
		if err := os.Symlink(target, filepath.Join(dir, path)); err != nil {
			t.Fatal(err)
		}
	}
	for path, led := range map[string]bool{
		"mine": false, "mine/link/new": false, "new": false, "new/er": false, "ws/out": false, "ws/sub/out": false, "into/out": false, "loop/x": false,
		"ws/link": true, "ws/link/x": true, "ws/sub/link/x/y": true, "ws/dangling": true, "into/link/x": true, "mine/../ws/link/x": true, "bare/out": false, "bare/x/link": true, "bare/x/link/new": true,
	} {
		abs, err := p.destination(filepath.Join(dir, path))
		if (err != nil) != led || err != nil && !strings.Contains(err.Error(), "is a link in a workspace") || err == nil && abs != filepath.Join(dir, path) {
			t.Errorf("%s: %q, %v", path, abs, err)
		}
	}
}

// A name in a sentence stays in it.
func TestPrintable(t *testing.T) {
	for name, want := range map[string]string{"a b/é": "a b/é", "a\nb": `"a\nb"`, "\x1b[2J": `"\x1b[2J"`, "a\xff": `"a\xff"`, "a\u202eb": `"a\u202eb"`} {
		if got := printable(name); got != want {
			t.Errorf("%q is printed as %s, want %s", name, got, want)
		}
	}
}
