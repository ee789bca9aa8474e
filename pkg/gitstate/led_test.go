package gitstate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whoever owns what the tree is in leads the tree elsewhere while git is at work, to where
// another repository of that name is: nothing is written or removed there.
func TestTreeLedElsewhere(t *testing.T) {
	from, to := newPlace(t), newPlace(t)
	from.history("work", 3)
	shadow := filepath.Join(from.root, ".coltec/git")
	if _, err := from.k.Capture(t.Context(), "work/.git"); err != nil {
		t.Fatal(err)
	}
	stage := filepath.Join(to.k.Stage(), "../git-in/shadow")
	if err := errors.Join(os.MkdirAll(filepath.Dir(stage), 0o755), os.CopyFS(stage, os.DirFS(filepath.Join(shadow, "work/.git")))); err != nil {
		t.Fatal(err)
	}
	to.history("work", 1)
	outside := t.TempDir()
	if err := os.CopyFS(outside, os.DirFS(to.root)); err != nil {
		t.Fatal(err)
	}
	before := filesOf(t, outside)
	real, err := Git()
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\nif [ ! -L '%[1]s' ]; then mv '%[1]s' '%[1]s.was' && ln -s '%[2]s' '%[1]s'; fi\nexec '%[3]s' \"$@\"\n", to.root, outside, real)
	if err := errors.Join(os.WriteFile(filepath.Join(path, "git"), []byte(script), 0o755), os.Chmod(filepath.Dir(to.root), 0o777)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", path+":"+os.Getenv("PATH"))
	err = to.k.Restore(t.Context(), Arrival{Dir: "work/.git", From: stage})
	if _, swapped := os.Readlink(to.root); swapped != nil {
		t.Fatalf("nothing was led elsewhere: %v, and the restore said %v", swapped, err)
	}
	if err == nil {
		t.Error("the restore says nothing")
	}
	if diff := cmp.Diff(before, filesOf(t, outside)); diff != "" {
		t.Errorf("outside (-was +is), and the restore said %v:\n%s", err, diff)
	}
}
