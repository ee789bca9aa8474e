package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/coltec/coltec/internal/sample"
)

// liveCopy is a way to copy a database that is written, and the file that is to be its copy.
type liveCopy struct {
	checkpoint int
	copy       func(s *liveScene, to string) error
	sound      bool
}

// liveCopies are a sound one, and the ways in which a database comes out wrong: each must be
// seen by what TestLive holds generations to.
var liveCopies = map[string]liveCopy{
	"by SQLite": {20, (*liveScene).bySQLite, true},
	"a member left out": {1000, func(s *liveScene, to string) error {
		return copyFile(s.path(), to)
	}, false},
	"no lock": {20, func(s *liveScene, to string) error {
		err := copyFile(s.path(), to)
		s.more(40)
		return errors.Join(err, copyFile(s.path()+"-wal", to+"-wal"))
	}, false},
	"a stale log left": {1000, func(s *liveScene, to string) error {
		err := errors.Join(copyFile(s.path(), to), copyFile(s.path()+"-wal", to+"-wal"))
		s.more(40)
		s.word()
		return errors.Join(err, s.bySQLite(to+".new"), os.Rename(to+".new", to))
	}, false},
}

// TestLiveSeesWrongCopies holds that the judge of TestLive notices what is not sound, and has
// nothing to say of what is.
func TestLiveSeesWrongCopies(t *testing.T) {
	sample.Long(t)
	for name, c := range liveCopies {
		t.Run(name, func(t *testing.T) {
			s := newLiveScene(t, c.checkpoint)
			s.more(40)
			s.word()
			to := filepath.Join(t.TempDir(), s.ledger.path)
			if err := c.copy(s, to); err != nil {
				t.Fatal(err)
			}
			s.load()
			v, err := newLiveJudge(t).of(to)
			if err != nil {
				t.Fatal(err)
			}
			kind, story := s.ledger.wrong(judged{number: 1, seen: clockNow(), states: map[string]verdict{s.ledger.path: v}, from: "a copy"}, verdict{}, false)
			if (kind == "") != c.sound {
				t.Errorf("%+v; found: %q %s", v, kind, story)
			}
			t.Logf("%+v: %s", v, kind)
		})
	}
}

// liveMutants are what coltecd leaves out, and a play in which that matters.
var liveMutants = []struct {
	name string
	job  liveJob
	play func(x *live, c *liveCrewOf)
}{
	{"lock", liveJob{Databases: []string{"lock.db"}, Mode: "wal", Checkpoint: 20, Rows: 8000, Rate: 200}, (*live).savedThrice},
	{"member", liveJob{Databases: []string{"log.db"}, Mode: "wal", Checkpoint: 1000, Rows: 200, Rate: 75}, (*live).savedThrice},
	{"stale", liveJob{Databases: []string{"stale.db"}, Mode: "wal", Checkpoint: 1000, Rows: 200, Rate: 75}, (*live).thereAndBack},
}

// liveTries bounds how often a play is given until its mutant is caught: who writes when is
// chance.
const liveTries = 12

// TestLiveCatchesMutants holds that what TestLive holds coltecd to notices one that captures a
// database without a lock or without its log, or that leaves the log of another beside one; and
// has nothing to say of the true one.
func TestLiveCatchesMutants(t *testing.T) {
	sample.Long(t)
	program := filepath.Join(t.TempDir(), "coltecd")
	if out, err := exec.Command("go", "build", "-tags", "coltec_mutants", "-o", program, "../cmd/coltecd").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, m := range liveMutants {
		t.Run(m.name, func(t *testing.T) {
			truth := newLive(t, 1)
			truth.runs(program, "")
			m.play(truth, truth.only(m.job))
			for _, story := range truth.stories {
				t.Error("the true one: ", story)
			}
			x := newLive(t, 1)
			x.runs(program, m.name)
			n := 0
			for c := x.only(m.job); n < liveTries && len(x.faults) == 0; n++ {
				m.play(x, c)
			}
			t.Logf("caught at play %d: %v", n, x.faults)
			if len(x.faults) == 0 {
				t.Errorf("a coltecd with the mutant %q passes", m.name)
			}
		})
	}
}

// runs has the machines run a program with a mutant.
func (x *live) runs(program, mutant string) {
	for _, m := range append(x.m[:], x.reader) {
		m.program = program
		m.env["COLTEC_TEST_DATABASE_MUTANT"] = mutant
	}
}

// only is a crew of one, that does not write yet.
func (x *live) only(job liveJob) *liveCrewOf {
	job.Sync, job.Journal = "OFF", x.outside
	for _, path := range job.Databases {
		x.ledgers[path] = newLedger(path, x.outside)
	}
	return &liveCrewOf{x: x, jobs: []liveJob{job}, procs: []*liveProc{{job: job}}}
}

// savedThrice saves a database that is written.
func (x *live) savedThrice(c *liveCrewOf) {
	x.t.Helper()
	c.begin(c.procs[0])
	x.start()
	for range 3 {
		c.more(20)
		x.sync()
	}
	c.end(true)
	x.stop()
	x.judge()
}

// thereAndBack has a database written on at the other machine, and comes back to where the log
// of an earlier state was left.
func (x *live) thereAndBack(c *liveCrewOf) {
	x.t.Helper()
	for range 2 {
		c.again(x.outside, x.ledgers)
		x.once()
		x.hop()
	}
}

// liveScene is a database that a program writes.
type liveScene struct {
	t      *testing.T
	dir    string
	ledger *ledger
}

func newLiveScene(t *testing.T, checkpoint int) *liveScene {
	s := &liveScene{t, t.TempDir(), newLedger("state.db", t.TempDir())}
	job := liveJob{
		Databases: []string{s.ledger.path}, Mode: "wal", Checkpoint: checkpoint, Sync: "OFF", Rows: 200, Rate: 200, Journal: filepath.Dir(s.ledger.journal),
	}
	job.start(t, s.dir)
	return s
}

func (s *liveScene) path() string { return filepath.Join(s.dir, s.ledger.path) }

func (s *liveScene) load() {
	s.t.Helper()
	if err := s.ledger.load(); err != nil {
		s.t.Fatal(err)
	}
}

// more returns when there are so many transactions more.
func (s *liveScene) more(n int) {
	s.t.Helper()
	s.load()
	was := len(s.ledger.acked)
	eventually(s.t, "the program writes", func() error {
		s.load()
		if got := len(s.ledger.acked) - was; got < n {
			return fmt.Errorf("%d transactions more", got)
		}
		return nil
	})
}

// word promises what was acknowledged until now.
func (s *liveScene) word() {
	s.t.Helper()
	s.load()
	s.ledger.words = append(s.ledger.words, liveWord{1, by(s.ledger.acked, clockNow()), "a copy was asked for"})
}

// bySQLite is SQLite's own way to copy a database that is written.
func (s *liveScene) bySQLite(to string) error {
	out, err := exec.Command("sqlite3", "-bail", s.path(), ".timeout 60000", "VACUUM INTO '"+to+"'").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o644)
}
