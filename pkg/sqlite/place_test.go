package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/killpoint"
)

// A child places what is below a directory, and is killed on its way.
func TestMain(m *testing.M) {
	if at := os.Getenv("COLTEC_TEST_PLACE"); at != "" {
		if err := placeIn(at); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func placeIn(at string) error {
	p := Placement{Name: ledgerName}
	for name, r := range map[string]**os.Root{"stage": &p.Stage, "dir": &p.Dir, "aside": &p.Aside} {
		var err error
		if *r, err = os.OpenRoot(filepath.Join(at, name)); err != nil {
			return err
		}
	}
	return Place(p)
}

// arrange makes the directories of a placement: stage and dir are copies of others.
func arrange(t *testing.T, at, stage, dir string) {
	t.Helper()
	for name, from := range map[string]string{"stage": stage, "dir": dir, "aside": ""} {
		to := filepath.Join(at, name)
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(to, 0o700); err != nil {
			t.Fatal(err)
		}
		if from != "" {
			copyWholes(t, from, to)
		}
	}
}

func copyWholes(t *testing.T, from, to string) {
	t.Helper()
	for _, role := range []Role{"", Log, Journal, Index} {
		plainCopy(t, filepath.Join(from, ledgerName+string(role)), filepath.Join(to, ledgerName+string(role)))
	}
}

// judged judges a copy of what is in a directory, for it changes what it opens.
func judged(t *testing.T, j judge, dir string) (int, string) {
	t.Helper()
	to := t.TempDir()
	copyWholes(t, dir, to)
	return j.of(filepath.Join(to, ledgerName))
}

// Whatever is there, whatever comes, and wherever a kill hits: what is there opens as the
// one or the other, and the next placement ends with exactly what came, and with what was
// there aside.
func TestPlaceKilledAtEachStep(t *testing.T) {
	sample.Long(t)
	j, wholes, kinds := newJudge(t), t.TempDir(), []string{"alone", "log", "journal"}
	run(t, "wholes", wholes, "300").line()
	// Torn but for their companions: else the test would tell nothing.
	for _, age := range []string{"old", "new"} {
		for _, kind := range kinds[1:] {
			alone := filepath.Join(t.TempDir(), ledgerName)
			plainCopy(t, filepath.Join(wholes, age, kind, ledgerName), alone)
			if n, wrong := j.of(alone); wrong == "" {
				t.Fatalf("%s/%s is whole without its companion, with %d transactions", age, kind, n)
			}
		}
	}
	type move struct{ old, new, point string }
	var all []move
	for _, old := range append(kinds, "nothing") {
		for _, new := range kinds {
			for _, point := range append(killpoint.Names(), "none") {
				all = append(all, move{old, new, point})
			}
		}
	}
	counts := map[string]int{"old/alone": 1, "old/log": 2, "old/journal": 1, "new/alone": 5, "new/log": 6, "new/journal": 5}
	for _, m := range sample.Some(t, 4, all) {
		t.Run(fmt.Sprintf("%s to %s, %s", m.old, m.new, m.point), func(t *testing.T) {
			at, came, was := t.TempDir(), filepath.Join(wholes, "new", m.new), filepath.Join(wholes, "old", m.old)
			oldCount, newCount := counts["old/"+m.old], counts["new/"+m.new]
			arrange(t, at, came, was)
			killed := placing(t, at, m.point)
			if _, err := os.Stat(filepath.Join(at, "dir", ledgerName)); err == nil || m.old != "nothing" {
				if n, wrong := judged(t, j, filepath.Join(at, "dir")); wrong != "" || n != newCount && (n != oldCount || m.old == "nothing" || !killed) {
					t.Fatalf("killed %v: it has %d transactions, not %d or %d: %s", killed, n, oldCount, newCount, wrong)
				}
			} else if !killed {
				t.Fatal(err)
			}
			if killed {
				left := t.TempDir()
				copyWholes(t, filepath.Join(at, "dir"), left)
				arrange(t, at, came, left)
				placing(t, at, "none")
			}
			same(t, came, filepath.Join(at, "dir"))
			if _, err := os.Stat(filepath.Join(at, "aside", ledgerName)); err == nil {
				if n, wrong := judged(t, j, filepath.Join(at, "aside")); wrong != "" || n != oldCount && n != newCount {
					t.Errorf("aside: %d transactions, %s", n, wrong)
				}
			} else if m.old != "nothing" {
				t.Error(err)
			}
			if !killed && m.old != "nothing" {
				same(t, was, filepath.Join(at, "aside"))
			}
		})
	}
}

// placing has a child place, and says whether it was killed at the point.
func placing(t *testing.T, at, point string) (killed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "COLTEC_TEST_PLACE="+at, killpoint.Variable+"="+point)
	out, err := cmd.CombinedOutput()
	if err != nil {
		status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !ok || status.Signal() != syscall.SIGKILL {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return err != nil
}

// same holds that two directories have the same files.
func same(t *testing.T, want, got string) {
	t.Helper()
	for _, role := range []Role{"", Log, Journal, Index} {
		a, errA := os.ReadFile(filepath.Join(want, ledgerName+string(role)))
		b, errB := os.ReadFile(filepath.Join(got, ledgerName+string(role)))
		if os.IsNotExist(errA) != os.IsNotExist(errB) || !slices.Equal(a, b) {
			t.Errorf("%s%s: %d bytes (%v), want %d (%v)", ledgerName, role, len(b), errB, len(a), errA)
		}
	}
}

// Nothing is placed under a process that has the database open, also between its
// transactions, when it has no lock.
func TestPlaceUnderAProcess(t *testing.T) {
	sample.Long(t)
	for _, mode := range []string{"delete", "wal"} {
		at := t.TempDir()
		arrange(t, at, "", "")
		l := newLedgerIn(t, filepath.Join(at, "dir"), mode, 10)
		copyWholes(t, filepath.Join(at, "dir"), filepath.Join(at, "stage"))
		if err := Vacant(l.dir, ledgerName); err != nil {
			t.Fatalf("%s: nobody has it open: %v", mode, err)
		}
		idle := l.shell(0)
		idle.must("SELECT count(*) FROM accounts")
		before, err := os.Stat(l.path)
		if err != nil {
			t.Fatal(err)
		}
		var in *InUse
		if err := placeIn(at); !errors.As(err, &in) || mode == "wal" && in.PID != idle.cmd.Process.Pid {
			t.Errorf("%s: %v", mode, err)
		}
		if now, err := os.Stat(l.path); err != nil || !os.SameFile(now, before) {
			t.Errorf("%s: it was replaced, %v", mode, err)
		}
		idle.kill()
		if err := placeIn(at); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

// What was captured in use is placed elsewhere as it is.
func TestPlaceWhatWasCaptured(t *testing.T) {
	sample.Long(t)
	l, j, at := newLedger(t, "wal", 200), newJudge(t), t.TempDir()
	l.shell(0).must("few", "few", "everything")
	arrange(t, at, "", "")
	r, err := Capture(context.Background(), l.dir, ledgerName, root(t, filepath.Join(at, "stage")), Options{})
	if err != nil || r.Outcome != Captured || r.Means != Pinned || len(r.Names) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := placeIn(at); err != nil {
		t.Fatal(err)
	}
	if n, wrong := j.of(filepath.Join(at, "dir", ledgerName)); n != 3 || wrong != "" {
		t.Errorf("%d transactions, %s", n, wrong)
	}
}

// There is no place for a log that leads elsewhere, nor for a database that does.
func TestLinksAreNotFollowed(t *testing.T) {
	dir, to := root(t, t.TempDir()), root(t, t.TempDir())
	if err := os.Symlink("elsewhere", filepath.Join(dir.Name(), ledgerName)); err != nil {
		t.Fatal(err)
	}
	if r, err := Capture(t.Context(), dir, ledgerName, to, Options{}); err != nil || r.Outcome != Malformed || !strings.Contains(r.Reason, "regular") {
		t.Errorf("%+v, %v", r, err)
	}
}
