package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// databaseScenes are those in which something that is done wrong with databases shows, by its
// name; each says what it found.
var databaseScenes = map[string]func(t *testing.T, a, b *machine) string{
	// What was committed is in the log alone.
	"member": func(t *testing.T, a, _ *machine) string {
		a.ledger("l.db", "wal", 100)
		shell := a.ledgerShell("l.db", "few", "few")
		defer shell.kill()
		a.start()
		defer a.stop()
		a.sync()
		return a.inBucket("l.db", 2)
	},
	// It is written, and its log brought in, while it is copied.
	"lock": func(t *testing.T, a, _ *machine) (found string) {
		a.ledger("l.db", "wal", 8000)
		a.start()
		defer a.stop()
		writer := a.ledgerWriter("l.db", "checkpoint=20", time.Millisecond)
		defer writer.kill()
		for range 12 {
			_, done := a.written("l.db")
			a.run("sync")
			if found = a.inBucket("l.db", done); found != "" {
				return found
			}
		}
		return ""
	},
	// A log is beside the one that is replaced.
	"stale": func(t *testing.T, a, b *machine) string {
		a.ledger("l.db", "wal", 400)
		a.once()
		b.once()
		b.ledgerShell("l.db", "everything", "few").kill()
		b.once()
		a.ledgerShell("l.db", "few").kill()
		a.once()
		if got := a.beside("l.db"); !slices.Equal(got, []string{"l.db"}) {
			return fmt.Sprintf("beside it: %q", got)
		}
		return ""
	},
}

// inBucket says what is wrong with the newest state of a database in the bucket.
func (m *machine) inBucket(at string, least int) string {
	m.t.Helper()
	to := filepath.Join(m.t.TempDir(), "out")
	m.must("history", "restore", "--at", "0s", "--to", to)
	n, wrong := judgeLedger(m.t, filepath.Join(to, at))
	if wrong == "" && n < least {
		wrong = strconv.Itoa(n) + " transactions, and " + strconv.Itoa(least) + " were done"
	}
	return wrong
}

// What holds databases to be whole notices where one is not: a member left out, no lock, a log
// of another beside it. Of the true program it finds nothing.
func TestDatabaseMutants(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "coltecd")
	if out, err := exec.Command("go", "build", "-tags", "coltec_mutants", "-o", program, "../cmd/coltecd").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for name, scene := range databaseScenes {
		for _, mutant := range []string{"", name} {
			t.Run(name+"/"+mutant, func(t *testing.T) {
				w := newWorld(t)
				a, b := w.machine("a"), w.machine("b")
				for _, m := range []*machine{a, b} {
					m.spec(nil)
					m.program, m.env["COLTEC_TEST_DATABASE_MUTANT"] = program, mutant
				}
				found := scene(t, a, b)
				t.Logf("found: %q", found)
				if (found != "") != (mutant != "") {
					t.Errorf("mutant %q: found %q", mutant, found)
				}
			})
		}
	}
}
