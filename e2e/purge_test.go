package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/status"
)

// withoutContainers has coltec find a Docker that has no container.
func (m *machine) withoutContainers() {
	m.t.Helper()
	docker := filepath.Join(m.t.TempDir(), "docker")
	if err := os.WriteFile(docker, []byte("#!/bin/sh\n"), 0o755); err != nil {
		m.t.Fatal(err)
	}
	m.env["COLTEC_DOCKER"] = docker
}

// of lists the objects of a workspace.
func (w *world) of(env string) (keys []string) {
	for key := range w.objects() {
		if strings.Contains(key, "/"+env+"/") {
			keys = append(keys, key)
		}
	}
	return keys
}

// A purge removes a workspace from its bucket, and nothing else: a fork of it is whole, and a
// machine that was away has its files, and begins the workspace anew.
func TestPurge(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a, away, holder := w.ofEnv("dev"), w.ofEnv("dev"), w.ofEnv("dev")
	a.seed()
	a.once()
	away.once()
	source, said, err := a.made("dev", "--data", "agent_context=true")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	a.withoutContainers()
	if said, err := a.host("fork", source, "try"); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	before := len(w.of("dev"))
	if said, err := a.host("rm", "--purge", "--dry-run", source); err != nil || !strings.Contains(said, "objects in the bucket go") || len(w.of("dev")) != before {
		t.Fatalf("%v\n%s", err, said)
	}
	if said, err := a.host("rm", "--purge", source); err == nil || !strings.Contains(said, "nobody can be asked") || len(w.of("dev")) != before {
		t.Errorf("%v\n%s", err, said)
	}
	holder.spec(func(o *specOptions) {
		o.TTL, o.Renew = "10m", "1m"
		o.Replicas = append(o.Replicas, holder.replica("agent-context", filepath.Join(holder.dir, "agent-context")))
	})
	holder.start()
	holder.await("it has the lease", func(doc status.Document) bool { return doc.Lease.State == status.LeaseHeld })
	for _, flags := range [][]string{{"--yes"}, {"--yes", "--force"}} { // its time has not run out
		said, err := a.host(append([]string{"rm", "--purge", source}, flags...)...)
		if err == nil || !strings.Contains(said, "lease") || len(w.of("dev")) < before {
			t.Errorf("%v: %v\n%s", flags, err, said)
		}
	}
	holder.stop()

	if said, err := a.host("rm", "--purge", "--yes", source); err != nil || !strings.Contains(said, "objects deleted in the bucket") {
		t.Fatalf("%v\n%s", err, said)
	}
	if left := w.of("dev"); len(left) > 0 {
		t.Errorf("it left %q", left)
	}
	if _, err := os.Stat(filepath.Join(source, ".devcontainer/workspace-spec.yaml")); err != nil {
		t.Errorf("the files are gone: %v", err)
	}
	f := w.ofEnv("try")
	f.once()
	sameTree(t, a.carried(), f.carried())

	away.write("made while away.txt", "x")
	want := away.carried()
	away.once()
	sameTree(t, want, away.carried())
	fresh := w.ofEnv("dev")
	fresh.once()
	sameTree(t, want, fresh.carried())
}

// crashInPurge kills coltec at a step of a purge. A machine that comes then keeps its files and
// loses nothing of what it pushes, and the next purge removes all.
func crashInPurge(t *testing.T, at string) {
	w := newWorld(t)
	a, away, late := w.ofEnv("dev"), w.ofEnv("dev"), w.ofEnv("dev")
	a.seed()
	a.once()
	away.once()
	late.once()
	source, said, err := a.made("dev", "--data", "agent_context=true")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	a.withoutContainers()
	purge := func() (string, error) { return a.host("rm", "--purge", "--yes", source) }
	killed := func() {
		t.Helper()
		a.env[killpoint.Variable] = at
		defer delete(a.env, killpoint.Variable)
		if said, err := purge(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("it was not killed: %v\n%s", err, said)
		}
	}
	killed()
	if at == "purge:held" {
		if w.objects()[".coltec/fleet/acme/widget/dev/head.json"] == 0 {
			t.Error("the head is gone")
		}
	} else { // it has a base of what is gone
		away.write("made while away.txt", "x")
		want := away.carried()
		away.once()
		sameTree(t, want, away.carried())
		fresh := w.ofEnv("dev")
		fresh.once()
		sameTree(t, want, fresh.carried())
		late.once()
		sameTree(t, want, late.carried())
		killed()
	}
	if said, err := purge(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if left := w.of("dev"); len(left) > 0 {
		t.Errorf("it left %q", left)
	}
	want := late.carried()
	late.once()
	sameTree(t, want, late.carried())
}
