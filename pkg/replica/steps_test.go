package replica

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/localfs"
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
			replaced, err := takeInSteps(t, root, k, false, nil)
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

// takeInSteps is a take as where two names cannot change places at once. change is what another program
// does once it is known what has the name.
func takeInSteps(t *testing.T, root string, k ConflictCopy, exact bool, change func(file string) error) (replaced string, err error) {
	t.Helper()
	err = localfs.WithOwn(root, "", 0, func(files *localfs.Root, own string) error {
		take := taking{files: files, path: k.Path, staged: conflictsPath(k.ID), exact: exact}
		was, err := take.ready()
		if err == nil && change != nil {
			err = change(filepath.Join(root, k.Path))
		}
		if err == nil && was != nil {
			err = take.inTwo(was)
		}
		if err == nil {
			err = take.finish(own, k)
		}
		replaced = take.replaced
		return err
	})
	return replaced, err
}

// What changed at the last moment stays, as what was kept does, and nothing is left of the attempt.
func TestTakeInStepsOfAnotherThing(t *testing.T) {
	edit := func(file string) error { return os.WriteFile(file, []byte("edited"), 0o644) }
	for name, tt := range map[string]struct {
		exact  bool
		change func(file string) error
		now    string // what has the name in the end
		taken  bool
	}{
		"edited":                 {true, edit, "edited", false},
		"edited, whatever it is": {false, edit, "kept aside", true},
		"written anew": {true, func(file string) error {
			return errors.Join(os.WriteFile(file+".new", []byte("edited"), 0o644), os.Rename(file+".new", file))
		}, "edited", false},
		"written anew, whatever": {false, func(file string) error {
			return errors.Join(os.WriteFile(file+".new", []byte("edited"), 0o644), os.Rename(file+".new", file))
		}, "edited", false},
		"removed, and written anew": {false, func(file string) error {
			return errors.Join(os.Rename(file, file+".old"), os.WriteFile(file, []byte("edited"), 0o644), os.Remove(file+".old"))
		}, "edited", false},
	} {
		t.Run(name, func(t *testing.T) {
			root, k := keptIn(t, "d/f")
			_, err := takeInSteps(t, root, k, tt.exact, tt.change)
			after := filesIn(t, root)
			if (err == nil) != tt.taken || err != nil && !errors.Is(err, ErrOther) || after["d/f"] != tt.now {
				t.Errorf("%v, %q", err, after)
			}
			if !tt.taken && (len(after) != 2 || after[conflictsPath(k.ID)] != "kept aside") {
				t.Errorf("there is %q", after)
			}
		})
	}
}

// Who takes away what is kept, in the middle of a take in steps, is told of like any other program that
// writes there: the error was that of a system call.
func TestTakeInStepsOfNothing(t *testing.T) {
	root, k := keptIn(t, "d/f")
	killpoint.Arm("conflict:between", 1, func() {
		if err := os.Remove(filepath.Join(root, conflictsPath(k.ID))); err != nil {
			t.Error(err)
		}
	})
	defer killpoint.Arm("conflict:between", 0, func() {})
	_, err := takeInSteps(t, root, k, false, nil)
	if !errors.Is(err, ErrOther) || len(hint.Of(err)) != 1 {
		t.Errorf("%v, %q", err, hint.Of(err))
	}
	if after := filesIn(t, root); len(after) != 1 || after["d/f"] != "has the name" {
		t.Errorf("there is %q", after)
	}
}

// Where it cannot be written down that a version is aside no more, a take in steps is undone, and in that
// too there is no moment in which the path has no file. What another program wrote meanwhile is somewhere.
func TestTakeInStepsUndone(t *testing.T) {
	for name, written := range map[string]bool{"as it was": false, "written meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			root, k := keptIn(t, "d/f")
			file := filepath.Join(root, "d/f")
			if err := os.Mkdir(filepath.Join(root, localfs.Dir, droppedFile), 0o700); err != nil {
				t.Fatal(err)
			}
			before := filesIn(t, root)
			reached, there := false, error(nil)
			killpoint.Arm("conflict:exchanged", 1, func() {
				if written {
					there = errors.Join(os.WriteFile(file+".new", []byte("written"), 0o644), os.Rename(file+".new", file))
				}
				killpoint.Arm("conflict:between", 1, func() {
					reached = true
					_, err := os.Lstat(file)
					there = errors.Join(there, err)
				})
			})
			defer killpoint.Arm("conflict:exchanged", 0, func() {})
			defer killpoint.Arm("conflict:between", 0, func() {})
			if _, err := takeInSteps(t, root, k, false, nil); err == nil {
				t.Fatal("it was taken")
			}
			if !reached || there != nil {
				t.Errorf("in the middle: %v, %v", reached, there)
			}
			after := filesIn(t, root)
			if written {
				before[conflictsPath(k.ID)] = "written"
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Error(diff)
			}
		})
	}
}
