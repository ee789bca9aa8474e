package sqlite

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/internal/sample"
)

// beside lets a writer that never waits make so many transactions, while captures are made
// one after the other, or none. It returns what the writer says, and of how many captures.
func beside(t testing.TB, mode string, transactions int, capturing bool) (s stats, outcomes map[Outcome]int, waited time.Duration) {
	l := newLedger(t, mode, 2000)
	to := root(t, t.TempDir())
	w := l.writer("checkpoint=100", 0, time.Millisecond)
	outcomes = map[Outcome]int{}
	waitFor(t, func() bool {
		if capturing {
			r, err := Capture(t.Context(), l.dir, ledgerName, to, Options{Patience: 100 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			outcomes[r.Outcome]++
			waited = max(waited, r.Waited)
		}
		_, done := l.notes()
		return done >= transactions && (!capturing || outcomes[Captured] > 0)
	})
	return w.end(), outcomes, waited
}

// What captures cost a writer, as a figure: a machine that is busy makes any bound untrue.
// The strict figure is BenchmarkWriter's.
func TestWriterBesideCaptures(t *testing.T) {
	sample.Long(t)
	for _, mode := range []string{"wal", "delete"} {
		alone, _, _ := beside(t, mode, 20*captures(t), false)
		with, outcomes, waited := beside(t, mode, 20*captures(t), true)
		t.Logf("%s, without captures: %v", mode, alone)
		t.Logf("%s, beside %v: %v; kept waiting for %v at most", mode, outcomes, with, waited)
		if mode == "wal" && with.Busy > 0 {
			t.Errorf("a writer of a log met a lock of ours %d times", with.Busy)
		}
	}
}

func BenchmarkWriter(b *testing.B) {
	for _, mode := range []string{"wal", "delete"} {
		for name, capturing := range map[string]bool{"alone": false, "captured": true} {
			b.Run(mode+"/"+name, func(b *testing.B) {
				s, outcomes, waited := beside(b, mode, b.N, capturing)
				b.ReportMetric(s.P99, "p99-ms")
				b.ReportMetric(s.Max, "longest-ms")
				b.ReportMetric(float64(s.Busy), "SQLITE_BUSY")
				b.ReportMetric(float64(outcomes[Captured]), "captures")
				b.ReportMetric(float64(waited.Milliseconds()), "held-ms")
			})
		}
	}
}

// What cannot be locked is withheld, and says so; where it may, it is taken when it rests.
func TestCaptureOfWhatCannotBeLocked(t *testing.T) {
	sample.Long(t)
	proc := root(t, "/proc/self")
	if r, err := Capture(t.Context(), proc, "status", root(t, t.TempDir()), Options{}); err != nil || r.Outcome != NotLockable {
		t.Errorf("on a file system that nobody knows: %+v, %v", r, err)
	}
	l, j := newLedger(t, "wal", 100), newJudge(t)
	var fs unix.Statfs_t
	if err := unix.Statfs(l.path, &fs); err != nil {
		t.Fatal(err)
	}
	delete(local, int64(fs.Type))
	defer func() { local[int64(fs.Type)] = true }()
	w := l.shell(0)
	w.must("few")
	if r, _ := l.capture(j, Options{Rest: time.Hour}); r.Outcome != Busy {
		t.Errorf("it was written just now: %+v", r)
	}
	untouched(t, l)
	if r, _ := l.capture(j, Options{}); r.Outcome != NotLockable {
		t.Errorf("without leave: %+v", r)
	}
	to := t.TempDir()
	r, wrong := l.captureTo(j, to, Options{Rest: grain})
	if r.Outcome != Captured || r.Means != Quiet || wrong != "it has 1 transactions: 0 were done before, 0 begun after" { // a shell takes no notes
		t.Errorf("at rest: %+v, %s", r, wrong)
	}
}
