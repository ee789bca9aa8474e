package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/cmdline"
)

// late runs start --wait with a time that is over before the restore is, and holds
// that it says so and why, and that coltecd runs on. A busy machine may need a longer
// time to find out why.
func (m *machine) late(wanted ...string) {
	m.t.Helper()
	var talk string
	for patience := 2 * time.Second; patience < patienceMax; patience *= 3 {
		began := time.Now()
		out, said, code := m.run("start", "--wait", "--timeout", patience.String())
		if code != cmdline.CodeTimeout || out != "" {
			m.t.Fatalf("%s: start --wait ended with %d: %s%s", m.name, code, out, said)
		}
		if took := time.Since(began); took < patience {
			m.t.Errorf("%s: it waited %s", m.name, took)
		}
		for _, want := range []string{"not restored within ", "it continues in the background", "hint: see coltecd status"} {
			if !strings.Contains(said, want) {
				m.t.Errorf("%s: it does not say %q: %s", m.name, want, said)
			}
		}
		if _, ok := m.instance(); !ok {
			m.t.Errorf("%s: coltecd is not running", m.name)
		}
		talk = said
		if !slices.ContainsFunc(wanted, func(word string) bool { return !strings.Contains(said, word) }) {
			return
		}
	}
	m.t.Errorf("%s: it does not say %q: %s", m.name, wanted, talk)
}

// stuck runs start --wait where the restore needs a person: it says why, and does not
// wait for one.
func (m *machine) stuck(wanted ...string) {
	m.t.Helper()
	_, said, code := m.run("start", "--wait")
	for _, want := range wanted {
		if code != cmdline.CodeFailed || !strings.Contains(said, want) {
			m.t.Errorf("%s: start --wait ended with %d, and does not say %q: %s", m.name, code, want, said)
		}
	}
}

// patienceMax is what late gives at most.
const patienceMax = 60 * time.Second

// start --wait waited for ever where the store is not reached, and on a machine with
// a tree of an earlier time it ended with 0, as if it were restored.
func TestStartWaitWhereTheStoreIsNotReached(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	door := newDoor(t, w)
	a.env["RCLONE_S3_ENDPOINT"] = "http://" + door.address
	a.spec(func(o *specOptions) { o.TTL, o.Renew = "90s", "20s" })
	a.seed()
	a.late("workspace: ", "cannot be reached")
	door.open()
	a.start() // waits until it is done
	a.sync()
	// A fault after the restore does not undo it.
	door.close()
	a.write("written while nobody answers.txt", "kept")
	a.stopAnyway()
	a.late("workspace: ", "cannot be reached")
	door.open()
	a.start()
	a.goesOn()
	a.stop()
}

// stopAnyway stops coltecd, whatever that leaves here.
func (m *machine) stopAnyway() {
	m.t.Helper()
	if _, talk, _ := m.run("stop", "--timeout", "2s"); !strings.Contains(talk, "stopped") {
		m.t.Fatalf("%s: stop: %s", m.name, talk)
	}
}

// Another holder is waited for, and named when the time is over.
func TestStartWaitForAnotherHolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	for _, m := range []*machine{a, b} {
		m.spec(func(o *specOptions) { o.TTL, o.Renew = "90s", "20s" })
	}
	a.seed()
	a.start()
	a.sync()
	b.late("workspace: a has held the lease since", "coltecd takeover")
	a.stop()
	b.start()
	sameTree(t, a.tree(), b.tree())
	b.stop()
}

// One replica is restored, and there is no room for the other: both are said.
func TestStartWaitWithoutRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	for _, m := range []*machine{a, b} {
		m.mkdir("data")
		m.mkdir("notes")
		m.spec(func(o *specOptions) {
			o.TTL, o.Renew = "90s", "20s"
			o.Replicas = []replicaSpec{m.replica("notes", m.path("notes")), m.replica("workspace", m.path("data"))}
		})
		m.disk("data", "8m")
	}
	a.resize("data", "64m")
	a.write("data/big.bin", scrambled(7, 12<<20))
	a.write("notes/n.txt", "kept")
	a.once()
	b.stuck("restored: notes; not restored: workspace: ", `"big.bin" is not here`, "the disk of this machine is full")
	b.resize("data", "64m")
	b.start() // tries again
	sameTree(t, treeOf(t, a.path("data"), ".coltec"), treeOf(t, b.path("data"), ".coltec"))
	b.stop()
}

// A flag that makes no sense.
func TestStartWaitUsage(t *testing.T) {
	t.Parallel()
	a := newWorld(t).machine("a")
	a.spec(nil)
	for flags, want := range map[string]string{"--wait --timeout -1s": "must not be less than 0", "--timeout 1s": "--timeout is for --wait"} {
		if _, talk, code := a.run(append([]string{"start"}, strings.Fields(flags)...)...); code != cmdline.CodeUsage || !strings.Contains(talk, want) {
			t.Errorf("%s: %d, %s", flags, code, talk)
		}
	}
}
