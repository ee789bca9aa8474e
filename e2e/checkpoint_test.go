package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/account"
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
	b.refused(1, "neither a generation nor a time", "history", "show", "before")
	if list := answer[[]control.Checkpoint](b, "checkpoints"); len(list) != 1 || list[0].Name != "after" {
		t.Errorf("one was removed: %+v", list)
	}
}

// What was written before a checkpoint is asked for is in it, though only what the watch told
// of is walked: in old and new folders, while another program writes all the time.
func TestCheckpointHasWhatWasWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine("a")
	m.spec(func(o *specOptions) { o.Replicas[0].Watch, o.Replicas[0].Interval = true, 3600 })
	m.seed()
	m.start()
	i, ok := m.instance()
	if !ok {
		t.Fatal("it does not run")
	}
	client := control.Dial(i.Socket)
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	defer load.Wait()
	defer cancel()
	load.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			_ = os.WriteFile(m.path(fmt.Sprintf("src/load-%d", n%20)), []byte(fmt.Sprint(n)), 0o644)
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	seed := seedFromEnv(t)
	rnd := rand.New(rand.NewPCG(uint64(seed), 2))
	t.Logf("seed %d", seed)
	for n := range sample.Size(25, 1000) {
		rel := []string{"src/7.txt", fmt.Sprintf("src/n%d", n), fmt.Sprintf("new%d/e/f", n), "edit.txt"}[rnd.IntN(4)]
		body := fmt.Sprintf("written %d", n)
		m.write(rel, body)
		name := fmt.Sprintf("c%d", n)
		made, err := client.Checkpoint(t.Context(), control.CheckpointRequest{Name: name}, nil)
		if err != nil && !errors.Is(err, account.ErrOnlyHere) { // of what is written all the time
			t.Fatalf("%d: %v", n, err)
		}
		if err != nil {
			list, err := client.Checkpoints(t.Context(), control.CheckpointsRequest{}, nil)
			if err != nil || len(list) == 0 {
				t.Fatal(err)
			}
			made = list[len(list)-1]
		}
		versions, err := client.Versions(t.Context(), control.VersionsRequest{Path: m.path(rel)}, nil)
		if err != nil {
			t.Fatalf("%d: %q is in no generation: %v", n, rel, err)
		}
		versions.Versions = slices.DeleteFunc(versions.Versions, func(v control.Version) bool { return v.Generation > made.Number })
		if len(versions.Versions) == 0 || versions.Versions[len(versions.Versions)-1].SHA256 != sumOf(body) {
			t.Fatalf("%d: checkpoint %s, generation %d, has not what was written to %q before: %+v", n, name, made.Number, rel, versions)
		}
		if err := client.RemoveCheckpoint(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
}

// What a paused replica has only here is said: the checkpoint is without it.
func TestCheckpointOfAPausedReplica(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine("a")
	m.spec(func(o *specOptions) {
		o.Replicas = append(o.Replicas, m.replica("context", m.path("agent context")))
	})
	m.write("notes.txt", "one")
	m.write("agent context/memory", "first")
	m.start()
	m.sync()
	m.must("pause", "context")
	m.write("agent context/memory", "second")
	_, talk, code := m.run("checkpoint", "before")
	if code == 0 || !strings.Contains(talk, "the replica is paused") || !strings.Contains(talk, "checkpoint before is generation") {
		t.Errorf("it ended with %d and said %q", code, talk)
	}
	m.must("resume", "context")
	m.must("checkpoint", "after")
}

// A file was written by a name that it has elsewhere, of which no watch of its own directory
// tells: the checkpoint had it as it was before.
func TestCheckpointHasWhatWasWrittenByAnotherName(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	for name, more := range map[string]int{"one": 0, "very many": 1100} { // more than each scan looks at
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			m := w.machine("a")
			m.spec(func(o *specOptions) { o.Replicas[0].Watch, o.Replicas[0].Interval = true, 3600 })
			m.seed()
			link := func(from, to string) {
				t.Helper()
				if err := os.Link(from, to); err != nil {
					t.Fatal(err)
				}
			}
			m.mkdir("apart")
			link(m.path("src/1.txt"), m.path("apart/1.txt"))
			outside := filepath.Join(t.TempDir(), "outside")
			link(m.path("src/2.txt"), outside)
			store := t.TempDir()
			for i := range more {
				m.write(fmt.Sprintf("0/%d", i), fmt.Sprint(i))
				link(m.path(fmt.Sprintf("0/%d", i)), filepath.Join(store, fmt.Sprint(i)))
			}
			m.start()
			m.sync()
			for n := range 3 {
				body := fmt.Sprintf("written %d by another name", n)
				for _, at := range []string{m.path("apart/1.txt"), outside} {
					f, err := os.OpenFile(at, os.O_WRONLY|os.O_TRUNC, 0)
					if err != nil {
						t.Fatal(err)
					}
					_, err = f.WriteString(body)
					if err = errors.Join(err, f.Close()); err != nil {
						t.Fatal(err)
					}
				}
				m.must("checkpoint", fmt.Sprint("c", n))
				to := filepath.Join(t.TempDir(), "to")
				m.must("history", "restore", "--at", fmt.Sprint("c", n), "--to", to, m.path("src"))
				for _, rel := range []string{"1.txt", "2.txt"} {
					got := ""
					_ = filepath.WalkDir(to, func(p string, d os.DirEntry, err error) error {
						if err == nil && d.Name() == rel {
							b, _ := os.ReadFile(p)
							got = string(b)
						}
						return nil
					})
					if got != body {
						t.Errorf("checkpoint c%d has %q in src/%s, and %q was there", n, got, rel, body)
					}
				}
			}
		})
	}
}
