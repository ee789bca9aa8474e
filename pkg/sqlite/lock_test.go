package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
)

// scene is a moment in a database's life at which one lock, or one look, makes the
// difference. play captures it once the part is reached that others act in.
type scene struct {
	mode string
	rows int
	// play prepares, and returns what others do when the capture is in the middle; that
	// says what went wrong for them.
	play func(t *testing.T, l *ledger) (meanwhile func() string)
	want Outcome
	// without it the capture is not what is wanted, or is torn.
	mutant func(*Options)
}

func without(spans ...span) func(*Options) {
	return func(o *Options) {
		o.without = map[span]bool{}
		for _, s := range spans {
			o.without[s] = true
		}
	}
}

var scenes = map[string]scene{
	"the last connection closes": {"wal", 2500, func(t *testing.T, l *ledger) func() string {
		w := l.shell(0)
		w.must("PRAGMA wal_autocheckpoint=0", "everything")
		return func() string { return w.wrong("close") }
	}, Captured, without(shared)},

	"the log is brought in": {"wal", 2500, func(t *testing.T, l *ledger) func() string {
		w, other := l.shell(0), l.shell(0)
		w.must("PRAGMA wal_autocheckpoint=0", "few")
		other.must("SELECT count(*) FROM commits")
		return func() string { return w.wrong("everything") + other.wrong("PRAGMA wal_checkpoint(PASSIVE)") }
	}, Captured, without(logCheck)},

	"the log begins anew": {"wal", 2500, func(t *testing.T, l *ledger) func() string {
		w := l.shell(0)
		w.must("everything", "PRAGMA wal_checkpoint(PASSIVE)")
		return func() string { return w.wrong("everything") }
	}, Captured, without(logReaders[1:]...)},

	"all others die, and somebody comes": {"wal", 2500, func(t *testing.T, l *ledger) func() string {
		w, next := l.shell(0), l.shell(0)
		w.must("PRAGMA wal_autocheckpoint=0", "everything")
		next.must("hello")
		return func() string {
			w.kill()
			return next.wrong("few")
		}
	}, Captured, without(logInUse)},

	"a writer died in the -shm": {"wal", 2500, func(t *testing.T, l *ledger) func() string {
		w := l.shell(0)
		w.must("PRAGMA wal_autocheckpoint=0", "everything")
		return func() string {
			w.kill()
			f, err := os.OpenFile(l.path+string(Index), os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt([]byte("half"), 16); err != nil {
				t.Fatal(err)
			}
			return ""
		}
	}, Busy, func(o *Options) { o.blind = true }},

	"a transaction is to end": {"delete", 2500, func(t *testing.T, l *ledger) func() string {
		w := l.shell(0)
		w.must("PRAGMA cache_size=10000", "BEGIN", "everything")
		return func() string {
			w.ask("COMMIT") // an error where we are in the way
			return ""
		}
	}, Captured, without(shared)},

	"half of a large transaction is written": {"delete", 2500, func(t *testing.T, l *ledger) func() string {
		w := l.shell(0)
		w.must("PRAGMA cache_size=5", "BEGIN", "everything")
		untouched(t, l)
		return func() string { return "" }
	}, Busy, without(pending, shared)},

	"a writer waits for readers": {"delete", 100, func(t *testing.T, l *ledger) func() string {
		reader, w := l.shell(0), l.shell(time.Minute)
		reader.must("BEGIN", "SELECT count(*) FROM accounts")
		w.must("BEGIN", "few")
		w.send("COMMIT")
		waitFor(t, func() bool {
			f, err := os.Open(l.path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			_, held, err := holder(f, pending)
			return held && err == nil
		})
		return func() string { return "" }
	}, Busy, without(pending)},

	"a large one is written": {"delete", 16000, func(t *testing.T, l *ledger) func() string {
		w := l.shell(0)
		w.must("SELECT count(*) FROM accounts")
		untouched(t, l)
		return func() string { return w.wrong("everything") }
	}, Busy, func(o *Options) { o.blind = true }},

	"an old log is used again": {"wal", 2500, func(t *testing.T, l *ledger) func() string {
		w := l.shell(0)
		w.must("PRAGMA wal_autocheckpoint=0", "everything")
		w.kill()
		untouched(t, l)
		return func() string { return l.shell(0).wrong("everything", "PRAGMA wal_checkpoint(PASSIVE)") }
	}, Busy, func(o *Options) { o.blind = true }},
}

// untouched waits until the database and what belongs to it are no longer young.
func untouched(t testing.TB, l *ledger) {
	t.Helper()
	c := capture{dir: l.dir, name: ledgerName}
	waitFor(t, func() bool {
		s, err := c.stamps()
		return err == nil && s.age(time.Now()) > grain
	})
}

func waitFor(t testing.TB, is func() bool) {
	t.Helper()
	for deadline := time.After(hang); !is(); {
		select {
		case <-deadline:
			t.Fatal("it does not come")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// run captures in a scene, and says what is not as it should be.
func (s scene) run(t *testing.T, j judge, mutate func(*Options)) (r Result, wrong string) {
	l := newLedger(t, s.mode, s.rows)
	meanwhile := s.play(t, l)
	parts := 0
	o := Options{hold: hang, step: func() {
		if parts++; parts == 2 {
			wrong = meanwhile()
		}
	}}
	if mutate != nil {
		mutate(&o)
	}
	to := root(t, t.TempDir())
	r, err := Capture(context.Background(), l.dir, ledgerName, to, o)
	if err != nil {
		return r, err.Error()
	}
	if r.Outcome == Captured {
		_, torn := j.of(filepath.Join(to.Name(), ledgerName))
		wrong += torn
	}
	return r, wrong
}

// At each of these moments others do what would tear a copy, or wait for it, but for one
// lock or one look.
func TestCaptureBeside(t *testing.T) {
	sample.Long(t)
	j := newJudge(t)
	for name, s := range sample.Cases(t, 4, scenes) {
		t.Run(name, func(t *testing.T) {
			r, wrong := s.run(t, j, nil)
			if wrong != "" || r.Outcome != s.want {
				t.Errorf("%s (%s): %s; want %s", r.Outcome, r.Reason, wrong, s.want)
			}
		})
	}
}

// Without that lock or look the test above fails.
func TestCaptureBesideMutants(t *testing.T) {
	sample.Long(t)
	j := newJudge(t)
	for name, s := range sample.Cases(t, 1, scenes) {
		t.Run(name, func(t *testing.T) {
			r, wrong := s.run(t, j, s.mutant)
			if wrong == "" && r.Outcome == s.want {
				t.Errorf("nothing shows it: %+v", r)
			}
			t.Logf("%s %s %.200s", r.Outcome, r.Reason, wrong)
		})
	}
}
