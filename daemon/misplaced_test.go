package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/spec"
)

// A path that is not where the project is; the containers are in e2e.
func TestMisplacedPaths(t *testing.T) {
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(top, "project")
	for _, dir := range []string{"project/.devcontainer", "project/src", "bare", "full/x", "specs"} {
		if err := os.MkdirAll(filepath.Join(top, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"link": folder, "dangling": "/nowhere/at/all"} {
		if err := os.Symlink(target, filepath.Join(top, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		paths     []string
		direction string
		folder    string // of the spec; "" for the project
		misplaced []bool
		unsaved   bool
	}{
		"not there":               {[]string{"gone"}, "", "", []bool{true}, false},
		"not there, deep":         {[]string{"gone/and/gone"}, "", "", []bool{true}, false},
		"begins alike":            {[]string{"project-b"}, "", "", []bool{true}, false},
		"a link to nowhere":       {[]string{"dangling"}, "", "", []bool{true}, false},
		"with a slash":            {[]string{"gone/./"}, "", "", []bool{true}, false},
		"pushes only":             {[]string{"gone"}, spec.PushOnly, "", []bool{true}, false},
		"pulls only":              {[]string{"gone"}, spec.PullOnly, "", []bool{false}, false},
		"one of two":              {[]string{"gone", "project/src"}, "", "", []bool{true, false}, false},
		"beside the project":      {[]string{"project", "gone"}, "", "", []bool{false, false}, false},
		"in the project":          {[]string{"project/not/yet"}, "", "", []bool{false}, false},
		"around the project":      {[]string{"."}, "", "", []bool{false}, false},
		"a link to it":            {[]string{"link"}, "", "", []bool{false}, false},
		"in it by a link":         {[]string{"link/not/yet"}, "", "", []bool{false}, false},
		"there, with files":       {[]string{"full"}, "", "", []bool{false}, true},
		"there, and no layer":     {[]string{"bare"}, "", "", []bool{false}, true}, // the project is on the same mount
		"no workspace is known":   {[]string{"gone"}, "", "specs", []bool{false}, false},
		"reads what is elsewhere": {[]string{"full"}, spec.PullOnly, "", []bool{false}, false},
	} {
		t.Run(name, func(t *testing.T) {
			sp := &spec.Spec{Persistence: spec.Persistence{Enabled: true, Mode: spec.Replicated}}
			for _, p := range tt.paths {
				sp.Persistence.Sync = append(sp.Persistence.Sync, spec.Sync{Name: p, Path: top + "/" + p, Direction: tt.direction})
			}
			s := setting{spec: sp, folder: folder}
			if tt.folder != "" {
				s.folder = filepath.Join(top, tt.folder)
			}
			words := s.misplacements()
			for i, p := range tt.paths {
				word := words[p]
				if (word != "") != tt.misplaced[i] {
					t.Errorf("%s: %q", p, word)
				}
				for _, want := range []string{filepath.Join(top, p), folder, "mkdir -p " + filepath.Join(top, p) + "/.coltec"} {
					if word != "" && !strings.Contains(word, want) {
						t.Errorf("%s: %q does not say %q", p, word, want)
					}
				}
			}
			if got := s.unsaved(); (got != "") != tt.unsaved {
				t.Errorf("unsaved: %q", got)
			}
			if _, err := os.Stat(filepath.Join(top, "gone")); err == nil {
				t.Error("a folder was made")
			}
		})
	}
}
