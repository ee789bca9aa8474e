package engine

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// An empty listing was filled up with the directories that the base knows, and then
// passed for one that is not: what was here was deleted.
func TestAnEmptyMirrorDeletesNothing(t *testing.T) {
	y := newYard(t, 1)
	a := y.box("a")
	a.e.members[0].Layout = "mirror"
	file := filepath.Join(a.dir, "d", "f")
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte("1"), 0o644), a.do(false)); err != nil {
		t.Fatal(err)
	}
	if string(y.bucket.Body("r/d/f")) != "1" {
		t.Fatal("it was not pushed")
	}
	y.bucket.Drop("r/d/f")
	if err := a.do(false); err != nil {
		t.Fatal(err)
	}
	if body, err := os.ReadFile(file); err != nil || string(body) != "1" {
		t.Errorf("here: %q, %v", body, err)
	}
	if string(y.bucket.Body("r/d/f")) != "1" {
		t.Error("it does not go there again")
	}
}
