package replica

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/killpoint"
)

// Where two names cannot change places at once, a take is in steps; at no moment is the path without a
// file: one that is killed then would be a file that was deleted. Links are taken as they are.
func TestTakeInSteps(t *testing.T) {
	for name, change := range map[string]func(file, kept string) error{
		"files": func(_, _ string) error { return nil },
		"a link has the name": func(file, _ string) error {
			return errors.Join(os.Remove(file), os.Symlink("../somewhere/else", file))
		},
		"a link is kept": func(_, kept string) error {
			return errors.Join(os.Remove(kept), os.Symlink("/etc/passwd", kept))
		},
		"a link to nothing, for a link": func(file, kept string) error {
			return errors.Join(os.Remove(kept), os.Symlink("nothing", kept), os.Remove(file), os.Symlink(kept, file))
		},
		"nothing has the name": func(file, _ string) error { return os.Remove(file) },
		"a closed directory":   func(file, _ string) error { return os.Chmod(filepath.Dir(file), 0o555) },
	} {
		t.Run(name, func(t *testing.T) {
			root, k := keptIn(t, "d/f")
			file, kept := filepath.Join(root, "d/f"), filepath.Join(root, conflictsPath(k.ID))
			if err := change(file, kept); err != nil {
				t.Fatal(err)
			}
			before := filesIn(t, root)
			reached, there := false, error(nil)
			killpoint.Arm("conflict:between", 1, func() { // one that is killed here leaves what it sees
				reached = true
				_, there = os.Lstat(file)
			})
			defer killpoint.Arm("conflict:between", 0, func() {})
			replaced, err := TakeConflict(root, "", k, Decision{inSteps: true})
			if err != nil {
				t.Fatal(err)
			}
			if reached != (before["d/f"] != "") || there != nil {
				t.Errorf("in the middle: %v, %v", reached, there)
			}
			after := filesIn(t, root)
			if after["d/f"] != before[conflictsPath(k.ID)] || after[replaced] != before["d/f"] || after[conflictsPath(k.ID)] != "" {
				t.Errorf("before %q, after %q, replaced %q", before, after, replaced)
			}
		})
	}
}

// One that was edited since it was shown stays, and nothing is left of the attempt.
func TestTakeInStepsOfAnotherThing(t *testing.T) {
	root, k := keptIn(t, "f")
	sides, err := SidesOf(root, "", k, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := sides.Seen()
	at := time.Now().Add(-time.Hour)
	if err := errors.Join(os.WriteFile(filepath.Join(root, "f"), []byte("edited"), 0o644), os.Chtimes(filepath.Join(root, "f"), at, at)); err != nil {
		t.Fatal(err)
	}
	before := filesIn(t, root)
	if _, err := TakeConflict(root, "", k, Decision{Seen: seen, inSteps: true}); !errors.Is(err, ErrOther) {
		t.Errorf("%v", err)
	}
	for path, text := range filesIn(t, root) {
		if before[path] != text && !strings.HasPrefix(path, ".coltec/base") {
			t.Errorf("%s is %q", path, text)
		}
	}
}
