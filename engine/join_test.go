package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/store"
)

// forked is a workspace, and a fork of it that has one file more.
func forked(t *testing.T) (g *grove, root, fork *stem) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "h")
	must(os.MkdirAll(dir, 0o755))
	g = newGrove(1, dir, "")
	t.Cleanup(g.end)
	root = g.stems[0]
	must(os.WriteFile(filepath.Join(root.tree, "a"), []byte("1"), 0o644))
	must(root.rounds())
	g.fork(root)
	fork = g.stems[1]
	must(fork.rounds())
	must(os.WriteFile(filepath.Join(fork.tree, "b"), []byte("2"), 0o644))
	must(fork.rounds())
	return g, root, fork
}

// A replica that a person holds stays as it is, and what the fork has of it is not taken for
// joined: after that the same join brings it.
func TestAJoinWaitsForWhatIsPaused(t *testing.T) {
	g, root, fork := forked(t)
	join := func() (Joined, error) {
		return joiner{naming{root.e.loop}}.join(t.Context(), JoinOptions{Fork: fork.name()})
	}
	m := root.e.members[0]
	root.e.stepMember(m, evPaused{true})
	done, err := join()
	if err == nil || !strings.Contains(err.Error(), "paused") {
		t.Errorf("joined while it is paused: %+v, %v", done, err)
	}
	if _, err := os.Lstat(filepath.Join(root.tree, "b")); err == nil {
		t.Error("a file came to a replica that is paused")
	}
	h := g.head(root)
	if _, is := h.Joined[fork.name()]; is || len(h.Checkpoints) > 0 {
		t.Errorf("the head says it was joined: %+v, %+v", h.Joined, h.Checkpoints)
	}
	root.e.stepMember(m, evPaused{false})
	if done, err := join(); err != nil || len(done.Paths) != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	if _, err := os.Lstat(filepath.Join(root.tree, "b")); err != nil {
		t.Error(err)
	}
}

// A generation of the fork that changed nothing of what both have is nothing new, and no fork
// without a replica in common.
func TestAJoinOfNothingNew(t *testing.T) {
	_, root, fork := forked(t)
	join := func() (Joined, error) {
		return joiner{naming{root.e.loop}}.join(t.Context(), JoinOptions{Fork: fork.name()})
	}
	if _, err := join(); err != nil {
		t.Fatal(err)
	}
	must(fork.e.lease.Commit(t.Context(), store.NewID(), nil, func(*store.Head) {}))
	if done, err := join(); err != nil || done.From != done.To || done.Checkpoint != "" {
		t.Errorf("%+v, %v", done, err)
	}
}

// A replica that is younger than the fork is joined from nothing where the generation that was
// joined last is kept no more.
func TestAJoinOfAReplicaYoungerThanTheFork(t *testing.T) {
	_, root, fork := forked(t)
	must(os.WriteFile(filepath.Join(fork.tree, "c"), []byte("3"), 0o644))
	must(fork.rounds())
	must(fork.e.lease.Collected(t.Context(), func(h *store.Head) { h.Checkpoints[0].Replicas = nil }))
	gone := store.Generation{Number: 2, Replicas: map[string]store.Ref{"r": {Manifest: "m/1-2-" + strings.Repeat("0", 62)}}}
	must(root.e.lease.Collected(t.Context(), func(h *store.Head) {
		h.Join(fork.name(), store.Join{Lineage: fork.e.lease.Head().Lineage, Generation: gone})
	}))
	done, err := joiner{naming{root.e.loop}}.join(t.Context(), JoinOptions{Fork: fork.name()})
	if err != nil || len(done.Left) > 0 {
		t.Errorf("%+v, %v", done, err)
	}
	if body, err := os.ReadFile(filepath.Join(root.tree, "b")); err != nil || string(body) != "2" {
		t.Errorf("%q, %v", body, err)
	}
}
