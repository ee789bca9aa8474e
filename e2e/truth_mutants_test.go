package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
)

// mutant is an account that leaves out a reason, and a stop at which that matters.
type mutant struct {
	reason string
	stop   func(x *truth) ending
}

// mutants are the accounts that TestTruthCatchesMutants makes.
var mutants = []mutant{
	{"moving", func(x *truth) ending {
		c := x.only("churn", x.here().dir)
		x.pause(100, 300)
		return x.leave(c, whiles[0], "30s")
	}},
	{"held", func(x *truth) ending {
		c := x.only("pile", x.here().path("pile"))
		x.pause(1500, 2000)
		c.end()
		x.sync()
		return x.leave(x.only("empty", x.here().path("pile")), "they have ended", "30s")
	}},
	{"deferred", func(x *truth) ending {
		c := x.only("bulk", x.here().dir)
		x.pause(300, 400)
		x.w.proxy.Link(0, 100<<10)
		defer x.w.proxy.Link(0, 0)
		return x.leave(c, "they have ended", "6s")
	}},
}

// mutantStops bounds the stops within which a mutant is caught: how a program is
// scheduled is chance.
const mutantStops = 15

// mutable builds a coltecd whose accounts can leave out a reason.
func mutable(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "coltecd")
	if out, err := exec.Command("go", "build", "-tags", "coltec_mutants", "-o", program, "../cmd/coltecd").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// TestTruthCatchesMutants holds that what TestTruth holds accounts to notices one that
// leaves out a reason, and has nothing to say of the true one.
func TestTruthCatchesMutants(t *testing.T) {
	t.Parallel()
	program := mutable(t)
	for _, m := range mutants {
		t.Run(m.reason, func(t *testing.T) {
			told := newTruth(t, 1)
			told.runs(program, "")
			e := m.goes(told)
			for range mutantStops - 1 { // what is written while it stops may be at rest by chance
				if !e.left.empty() {
					break
				}
				e = m.goes(told)
			}
			if e.left.empty() {
				t.Errorf("nothing stayed, so that there is nothing to leave out: %s", e.text)
			}
			for _, story := range told.stories {
				t.Error("the true account: ", story)
			}
			x := newTruth(t, 1)
			x.runs(program, m.reason)
			n := 0
			for ; n < mutantStops && len(x.lies) == 0; n++ {
				m.goes(x)
			}
			t.Logf("caught at stop %d: %v", n, x.lies)
			if len(x.lies) == 0 {
				t.Errorf("an account without what is %s passes for the truth", m.reason)
			}
		})
	}
}

// runs has the machines run a program whose accounts leave out a reason.
func (x *truth) runs(program, reason string) {
	for _, m := range x.m {
		m.program = program
		m.env["COLTEC_TEST_ACCOUNT_MUTANT"] = reason
	}
}

// goes is one stop, and what the other machine has then. It goes on here.
func (m mutant) goes(x *truth) ending {
	x.t.Helper()
	x.round++
	x.kind, x.dir = m.reason, fmt.Sprintf("r%03d", x.round)
	x.here().start()
	e := m.stop(x)
	x.load()
	if e.word {
		x.word(e)
	}
	x.open(x.there())
	x.compare(x.there(), x.here(), e)
	x.heard(x.there(), x.here(), e)
	x.there().run("stop", "--timeout", "30s")
	return e
}

// only is a crew of one.
func (x *truth) only(kind, tree string) *crew {
	x.t.Helper()
	c := &crew{x: x}
	dir := x.dir
	if tree != x.here().dir {
		dir = "p"
	}
	c.start(kind, tree, dir)
	c.begun()
	return c
}

// leave stops coltecd in order.
func (x *truth) leave(c *crew, mode, timeout string) ending {
	x.t.Helper()
	c.mode = mode
	e := x.inOrder(c, timeout)
	c.end()
	return e
}
