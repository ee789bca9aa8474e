package e2e

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/control"
)

// A state that was given a name comes back by it: on another machine, when it is old, and
// beside a running coltecd and without one.
func TestCheckpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine("a")
	m.spec(func(o *specOptions) {
		o.Replicas = append(o.Replicas, m.replica("context", m.path("agent context")))
	})
	tree := func(m *machine) map[string]node {
		return treeOf(t, m.dir, ".coltec", ".devcontainer", "agent context/.coltec")
	}
	m.write("notes.txt", "one")
	m.write("agent context/memory", "first")
	m.start()
	m.refused(1, "a checkpoint cannot be called", "checkpoint", "2h")
	m.refused(2, "checkpoint needs NAME", "checkpoint")
	// It is of what was written when it was asked for, and nobody synced that.
	made := answer[control.Checkpoint](m, "checkpoint", "before", "-m", "all tests pass")
	if made.Number != m.status().Lease.Generation || len(made.Replicas) != 2 {
		t.Errorf("%+v, and the head is at generation %d", made, m.status().Lease.Generation)
	}
	then := tree(m)
	m.write("notes.txt", "two")
	m.write("agent context/memory", "second")
	if err := os.Remove(m.path("agent context/memory")); err != nil {
		t.Fatal(err)
	}
	m.write("more/x", "more")
	m.sync()
	m.refused(1, "there is a checkpoint of that name", "checkpoint", "before")
	m.must("checkpoint", "after")
	now := tree(m)
	m.must("history", "restore", "--at", "before")
	if diff := cmp.Diff(then, tree(m)); diff != "" {
		t.Errorf("it is not what it was: %s", diff)
	}
	m.must("stop")
	if list := answer[[]control.Checkpoint](m, "checkpoints"); len(list) != 2 || list[0].Name != "before" || list[0].Text != "all tests pass" {
		t.Errorf("without a coltecd: %+v", list)
	}
	m.refused(1, "", "checkpoint", "nobody-is-there")

	b := w.machine("b")
	b.spec(func(o *specOptions) {
		o.Replicas = append(o.Replicas, b.replica("context", b.path("agent context")))
	})
	b.start()
	to := filepath.Join(t.TempDir(), "to")
	b.must("history", "restore", "--at", "after", "--to", to)
	then = treeOf(t, to)
	maps.DeleteFunc(now, func(at string, _ node) bool { return strings.HasPrefix(at, "agent context") })
	if diff := cmp.Diff(now, then); diff != "" {
		t.Errorf("it is not what it was: %s", diff)
	}
	b.must("checkpoint", "--remove", "before")
	b.refused(1, "there is no such checkpoint", "checkpoint", "--remove", "before")
	b.refused(1, "cannot read the time", "history", "show", "before")
	if list := answer[[]control.Checkpoint](b, "checkpoints"); len(list) != 1 || list[0].Name != "after" {
		t.Errorf("one was removed: %+v", list)
	}
}
