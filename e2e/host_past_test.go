package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/control"
)

// The host tells of a workspace's past by its name, without a container: what the bucket has,
// and nothing of a tree that may be at the same path here.
func TestPastFromTheHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine("a")
	m.spec(nil)
	m.write("notes.txt", "one")
	m.start()
	m.must("checkpoint", "first", "-m", "it works")
	m.write("notes.txt", "two")
	m.sync()
	m.stop()
	m.trust()
	bin := t.TempDir() // Docker may be here or not, and run or not: it has no container of the workspace
	if err := os.WriteFile(filepath.Join(bin, "docker"), []byte("#!/bin/sh\n[ \"$1\" = ps ]\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.env["PATH"] = bin + ":" + m.env["PATH"]
	host := func(code int, words string, args ...string) string {
		t.Helper()
		cmd := m.command(t.Context(), args...)
		cmd.Path = coltec
		var out, said strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &said
		_ = cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(out.String()+said.String(), words) {
			t.Errorf("coltec %q ended with %d, want %d and %q:\n%s%s", args, got, code, words, out.String(), said.String())
		}
		return out.String()
	}
	var gens []control.Generation
	if err := json.Unmarshal([]byte(host(0, "", "history", m.dir, "--json")), &gens); err != nil || len(gens) < 2 {
		t.Fatalf("%v: %+v", err, gens)
	}
	host(0, "SHA256", "history", m.dir, "ls", "notes.txt")
	host(0, "generation", "history", m.dir, "show", "first")
	host(0, "it works", "checkpoints", m.dir)
	host(0, "no conflicts", "conflicts", m.dir)
	host(1, "is not running here", "history", m.dir, "restore", "--at", "first")
	then := filepath.Join(t.TempDir(), "then it was")
	host(0, "as it was in generation", "history", m.dir, "restore", "notes.txt", "--at", "first", "--to", then)
	if text, err := os.ReadFile(filepath.Join(then, "notes.txt")); err != nil || string(text) != "one" {
		t.Errorf("%q, %v", text, err)
	}
	var garbage []control.Garbage
	if err := json.Unmarshal([]byte(host(0, "", "gc", m.dir, "--dry-run", "--json")), &garbage); err != nil || len(garbage) != 1 || garbage[0].Needed.Objects == 0 || garbage[0].Kept != len(gens) {
		t.Errorf("%v: %+v", err, garbage)
	}
	host(1, "bring it up: coltec up", "sync", m.dir)
	host(1, "bring it up: coltec up", "checkpoint", m.dir, "second")
	host(1, "bring it up: coltec up", "gc", m.dir)
	host(2, "history needs", "history")
}

// Garbage is told before it goes, and what goes is what was told.
func TestGarbageIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine("a")
	m.spec(nil)
	m.write("notes.txt", "one")
	m.start()
	m.sync()
	before := answer[[]control.Garbage](m, "gc", "--dry-run")
	done := answer[control.Collected](m, "gc")
	after := answer[[]control.Garbage](m, "gc", "--dry-run")
	if len(before) != 1 || before[0].Garbage.Objects != done.Condemned || done.Deleted != 0 || done.Kept != before[0].Kept || done.Dropped != before[0].Dropped {
		t.Errorf("%+v was told, and %+v was done", before, done)
	}
	if len(after) != 1 || after[0].Needed.Objects == 0 {
		t.Errorf("%+v", after)
	}
	m.stop()
	m.refused(1, "coltecd is not running", "gc")
}
