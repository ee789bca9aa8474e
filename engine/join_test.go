package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/hint"
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

// A fork of another workspace was joined as if it were one of this one: what its fork point had
// and was never here counted as deleted here.
func TestAJoinOfAnothersFork(t *testing.T) {
	g, root, fork := forked(t)
	g.fork(fork)
	child := g.stems[2]
	must(child.rounds())
	g.fork(root)
	beside := g.stems[3]
	must(beside.rounds())
	must(os.WriteFile(filepath.Join(child.tree, "c"), []byte("3"), 0o644))
	must(child.rounds())
	join := func(from, into *stem, unrelated bool) (Joined, error) {
		return joiner{naming{into.e.loop}}.join(t.Context(), JoinOptions{Fork: from.name(), DryRun: true, Unrelated: unrelated})
	}
	for _, row := range []struct {
		name       string
		from, into *stem
		related    bool
	}{
		{"a fork", fork, root, true},
		{"a fork of a fork, into that", child, fork, true},
		{"a fork of a fork", child, root, false},
		{"one beside it", fork, beside, false},
		{"one beside it, of another", child, beside, false},
	} {
		_, err := join(row.from, row.into, false)
		if (err == nil) != row.related || err != nil && (!strings.Contains(err.Error(), "is a fork of ") || len(hint.Of(err)) != 1) {
			t.Errorf("%s: %v %q", row.name, err, hint.Of(err))
		}
		if _, err := join(row.from, row.into, true); err != nil {
			t.Errorf("%s, all the same: %v", row.name, err)
		}
	}
	must(root.e.lease.Collected(t.Context(), func(h *store.Head) { h.Lineage = "another" })) // a head that was lost, and made anew
	if _, err := join(fork, root, false); err == nil {
		t.Error("a fork of an earlier head of it was joined")
	}
}

// A person took the name of the fork point away and gave it to a later generation: what the fork had
// done before that counted as there on both sides, and so as deleted here.
func TestAJoinOfAForkPointThatIsNone(t *testing.T) {
	g, root, fork := forked(t)
	join := func() (Joined, error) {
		return joiner{naming{root.e.loop}}.join(t.Context(), JoinOptions{Fork: fork.name()})
	}
	pins := func(change func(*store.Head)) { must(fork.e.lease.Collected(t.Context(), change)) }
	point, _ := g.head(fork).Checkpoint(store.Forked)
	for name, change := range map[string]func(*store.Head){
		"another generation": func(h *store.Head) { h.Pin(store.Forked, "", "h", g.now()) },
		"none":               func(*store.Head) {},
	} {
		pins(func(h *store.Head) { h.Unpin(store.Forked) })
		pins(change)
		if done, err := join(); err == nil || !strings.Contains(err.Error(), "has lost what it was made of") {
			t.Errorf("%s: %+v, %v", name, done, err)
		}
	}
	pins(func(h *store.Head) { h.Unpin(store.Forked); h.Checkpoints = append(h.Checkpoints, point) })
	if _, err := join(); err != nil {
		t.Error(err)
	}
	if body, err := os.ReadFile(filepath.Join(root.tree, "b")); err != nil || string(body) != "2" {
		t.Errorf("%q, %v", body, err)
	}
}

// A join that deletes much was held by the brake until somebody found out that a sync lets it go,
// and then joined again.
func TestAJoinOfManyDeletions(t *testing.T) {
	for _, once := range []bool{true, false} {
		dir := filepath.Join(t.TempDir(), "h")
		must(os.MkdirAll(dir, 0o755))
		g := newGrove(1, dir, "")
		t.Cleanup(g.end)
		root := g.stems[0]
		const files = 60
		for i := range files {
			must(os.WriteFile(filepath.Join(root.tree, fmt.Sprint("f", i)), fmt.Append(nil, i), 0o644))
		}
		must(root.rounds())
		g.fork(root)
		fork := g.stems[1]
		must(fork.rounds())
		for i := range files - 1 {
			must(os.Remove(filepath.Join(fork.tree, fmt.Sprint("f", i))))
		}
		must(fork.rounds())
		join := func(o JoinOptions) (Joined, error) {
			o.Fork = fork.name()
			return joiner{naming{root.e.loop}}.join(t.Context(), o)
		}
		if !once {
			done, err := join(JoinOptions{})
			if !errors.Is(err, account.ErrOnlyHere) || !strings.Contains(strings.Join(hint.Of(err), " "), "--allow-delete") || !strings.Contains(strings.Join(hint.Of(err), " "), done.Checkpoint) {
				t.Fatalf("it is held back with %v %q", err, hint.Of(err))
			}
			if _, is := g.head(root).Joined[fork.name()]; is {
				t.Error("it counts as joined while deletions wait")
			}
		}
		if _, err := join(JoinOptions{AllowDelete: true}); err != nil {
			t.Fatalf("in one step: %v: %v", once, err)
		}
		h := g.head(root)
		if _, is := h.Joined[fork.name()]; !is || h.Replicas["r"].Files != 1 || root.e.members[0].report.held != 0 {
			t.Errorf("in one step: %v: %+v, %d files, %d wait", once, h.Joined, h.Replicas["r"].Files, root.e.members[0].report.held)
		}
	}
}

// Each join made a checkpoint that stayed for ever, until no more fitted.
func TestUndosOfJoins(t *testing.T) {
	g, root, fork := forked(t)
	must(root.e.lease.Collected(t.Context(), func(h *store.Head) { h.Pin("before-join-mine", "a person's", "h", g.now()) }))
	last := ""
	for i := range store.UndosMax + 3 {
		must(os.WriteFile(filepath.Join(fork.tree, "b"), fmt.Append(nil, i), 0o644))
		must(fork.rounds())
		g.pass(time.Second)
		done, err := joiner{naming{root.e.loop}}.join(t.Context(), JoinOptions{Fork: fork.name()})
		must(err)
		last = done.Checkpoint
	}
	h := g.head(root)
	undos := 0
	for _, c := range h.Checkpoints {
		if c.Undo {
			undos++
		}
	}
	_, mine := h.Checkpoint("before-join-mine")
	_, newest := h.Checkpoint(last)
	if undos != store.UndosMax || !mine || !newest {
		t.Errorf("%d stay, a person's %v, the newest %v", undos, mine, newest)
	}
}
