package replica

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/store"
)

// A tree that is as it was is not received; one in which something is to be placed is, and
// so is any while the last one was not placed.
func TestReceiveChanged(t *testing.T) {
	one, two := started(t, map[string]string{"a": "1"})
	w := one.w
	two.mustAcquire()
	remote := func() *store.Tree {
		read, err := two.Layout.Tree(t.Context(), w.ref)
		w.must(err)
		return read
	}
	receive := func(want bool) {
		t.Helper()
		changed, err := two.ReceiveChanged(remote(), w.ref, w.epoch, w.generation)
		if err != nil || changed != want || (two.base.Header.Generation == w.generation) != want {
			t.Errorf("changed %v, generation %d of %d, %v", changed, two.base.Header.Generation, w.generation, err)
		}
	}
	w.generation++ // of another replica
	receive(false)
	one.write(map[string]string{"b": "2"})
	one.pushAll()
	receive(true)
	if len(two.base.Unplaced) == 0 || two.base.Header.Restored {
		t.Errorf("%+v", two.base.Header)
	}
	w.generation++
	receive(true) // still to be placed
	if out, err := two.settle(SettleOptions{}); err != nil || out.Placed != 1 || out.Idle {
		t.Errorf("%+v, %v", out, err)
	}
}

// Where nothing waits to be placed, a settling looks at nothing.
func TestSettleOfNothing(t *testing.T) {
	one, two := started(t, map[string]string{"a": "1"})
	if out := two.mustAcquire(); out.Idle || out.Placed != 1 {
		t.Errorf("what comes: %+v", out)
	}
	two.capitals = 3
	kept := filepath.Join(two.StageDir(), "in", "kept")
	one.w.must(os.MkdirAll(kept, 0o700))
	out, err := two.settle(SettleOptions{Allowed: 7})
	if err != nil || !out.Idle || len(out.Problems) != 1 || out.Problems[0].Path != ".COLTEC" {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := os.Lstat(kept); err != nil || two.base.Header.Allowed != 0 {
		t.Errorf("something was done: %v, %d", err, two.base.Header.Allowed)
	}
	two.base.Header.Restored = false // it was cut off at its end
	if out, err = two.settle(SettleOptions{}); err != nil || out.Idle || !two.base.Header.Restored {
		t.Errorf("%+v, %v", out, err)
	}

	one.write(map[string]string{"b": "2"})
	one.pushAll()
	remote, err := two.Layout.Tree(t.Context(), one.w.ref)
	one.w.must(err)
	one.w.must(two.Receive(remote, one.w.ref, one.w.epoch, one.w.generation))
	two.base.Header.Restored = true // but for what had to wait
	if out, err = two.settle(SettleOptions{}); err != nil || out.Idle || out.Placed != 1 {
		t.Errorf("what waits in a tree that was restored: %+v, %v", out, err)
	}
}

// A tree that is missing, and one whose base was taken away, are two errors; neither says
// that anything is gone.
func TestCheck(t *testing.T) {
	one, _ := started(t, map[string]string{"a": "1"})
	must, away := one.w.must, one.Path+".away"
	must(one.Check())
	must(os.Rename(one.at(localfs.Dir), one.at("elsewhere")))
	if err := one.Check(); !errors.Is(err, ErrLost) || errors.Is(err, ErrRoot) || !strings.Contains(err.Error(), one.Path+" was removed, or the directory replaced: nothing is pushed before") {
		t.Errorf("without its base: %v", err)
	}
	must(os.Rename(one.at("elsewhere"), one.at(localfs.Dir)))
	must(one.Check())
	must(os.Rename(one.Path, away))
	if err := one.Check(); !errors.Is(err, ErrRoot) || errors.Is(err, ErrLost) {
		t.Errorf("without its tree: %v", err)
	}
	must(os.Mkdir(one.Path, 0o755))
	if err := one.Check(); !errors.Is(err, ErrLost) {
		t.Errorf("with another tree: %v", err)
	}
	must(errorsJoin(os.Remove(one.Path), os.WriteFile(one.Path, nil, 0o644)))
	if err := one.Check(); !errors.Is(err, ErrRoot) {
		t.Errorf("with a file in its place: %v", err)
	}
	must(errorsJoin(os.Remove(one.Path), os.Rename(away, one.Path)))
	must(one.Check())
	if err := New(one.Options).Check(); !errors.Is(err, ErrLost) {
		t.Errorf("a replica that was not opened: %v", err)
	}
}
