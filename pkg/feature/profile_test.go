package feature

import (
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/features"
)

// TestProfile: an interactive shell on a terminal asks coltecd once what is wrong, and one that
// it starts asks again. Others ask nothing, and none fails by what it is told.
func TestProfile(t *testing.T) {
	text, err := fs.ReadFile(features.FS(), "profile.sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	put := func(name, text string) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	coltecd := put("coltecd", "#!/bin/sh\necho \"asked $*\"\necho no >&2\nexit 1\n")
	profile := put("profile.sh", strings.ReplaceAll(string(text), "/usr/local/bin/coltecd", coltecd))
	lost := put("lost.sh", strings.ReplaceAll(string(text), "/usr/local/bin/coltecd", filepath.Join(dir, "none")))
	all := maps.Clone(shells)
	all["zsh"] = []string{"zsh", "-f"} // whose own file has the line too
	for name, argv := range all {
		if _, err := exec.LookPath(argv[0]); err != nil {
			t.Errorf("%s is not here: %v", name, err)
			continue
		}
		shell := strings.Join(argv, " ")
		again := "; " + shell + " -ic '. " + profile + "'"
		for what, tt := range map[string]struct {
			command string
			want    int // how often coltecd is asked
		}{
			"a shell on a terminal":     {shell + " -ic '. " + profile + "; . " + profile + "; echo goes on'", 1},
			"and one that it starts":    {shell + ` -ic ". ` + profile + again + `; echo goes on"`, 2},
			"the shell of a script":     {shell + " -c '. " + profile + "; echo goes on'", 0},
			"its output goes elsewhere": {shell + " -ic '. " + profile + "; echo goes on' | cat", 0},
			"it ends at an error":       {shell + " -eic '. " + profile + "; echo goes on'", 1},
			"there is no coltecd":       {shell + " -ic '. " + lost + "; echo goes on'", 0},
		} {
			out, err := exec.CommandContext(t.Context(), "script", "-qec", tt.command, "/dev/null").CombinedOutput()
			said := string(out)
			if err != nil || strings.Count(said, "asked status --brief") != tt.want || !strings.Contains(said, "goes on") || strings.Contains(said, "no\r") {
				t.Errorf("%s, %s: %v: %q", name, what, err, said)
			}
		}
	}
}
