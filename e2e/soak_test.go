package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/status"
)

// TestSoakFaults edits and hops between three machines for COLTEC_SOAK_MINUTES
// while the way to the store cuts, delays, refuses, loses answers and halves
// what is read. Then all is well again: the trees are equal, no content that a
// machine had is lost, and everything that is kept can be read.
// `make soak-faults` runs it for half an hour.
func TestSoakFaults(t *testing.T) {
	minutes, err := strconv.ParseFloat(os.Getenv("COLTEC_SOAK_MINUTES"), 64)
	if err != nil {
		t.Skip("COLTEC_SOAK_MINUTES is not set: make soak-faults runs it")
	}
	seed, err := strconv.ParseUint(os.Getenv("COLTEC_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	s := &soak{t: t, w: newWorld(t), rnd: rand.New(rand.NewPCG(seed, 7)), written: map[string]string{}}
	t.Logf("%v minutes, COLTEC_SEED=%d", minutes, seed)
	for _, name := range []string{"a", "b", "c"} {
		m := s.w.machine(name)
		m.spec(func(o *specOptions) { o.TTL, o.Renew = "12s", "3s" })
		m.write("born at "+name, name)
		s.machines = append(s.machines, m)
	}
	begin := time.Now()
	for time.Since(begin).Minutes() < minutes && !t.Failed() {
		s.session()
		s.sessions++
		if s.sessions%10 == 0 {
			t.Logf("%.1f minutes: %d sessions, %d edits, %d requests, %d faults", time.Since(begin).Minutes(), s.sessions, s.edits, s.requests, s.faults)
		}
	}
	s.settle()
	t.Logf("%d sessions, %d edits, %d requests, %d faults, %d versions kept aside", s.sessions, s.edits, s.requests, s.faults, s.aside)
}

type soak struct {
	t        *testing.T
	w        *world
	rnd      *rand.Rand
	machines []*machine
	written  map[string]string // content that was the last word of a machine on a path → what it was
	sessions int
	edits    int
	requests int
	faults   int
	aside    int
}

// session opens the workspace at one machine, edits under faults, and leaves it:
// in order, or by a kill.
func (s *soak) session() {
	m := s.machines[s.rnd.IntN(len(s.machines))]
	s.edit(m) // while nothing runs
	s.inject()
	m.run("start")
	for range 1 + s.rnd.IntN(4) {
		for range 1 + s.rnd.IntN(8) {
			s.edit(m)
		}
		s.inject()
		m.run("sync")
	}
	if s.rnd.IntN(2) == 0 {
		s.reset()
		m.run("sync")
		s.inject()
	}
	if s.rnd.IntN(3) == 0 {
		m.kill9()
		for _, p := range m.left {
			p.kill()
		}
	} else {
		m.run("stop", "--timeout", "10s")
	}
	s.reset()
}

// reset ends the faults.
func (s *soak) reset() {
	s.requests += len(s.w.proxy.Requests())
	s.w.proxy.Reset()
}

// inject breaks what comes next, or nothing.
func (s *soak) inject() {
	f := s3test.Fault{Times: 1 + s.rnd.IntN(4), Kind: []s3test.Kind{"", s3test.Put, s3test.Get, s3test.List}[s.rnd.IntN(4)]}
	switch s.rnd.IntN(8) {
	case 0:
		f.Status, f.Code = 503, "SlowDown"
	case 1:
		f.Status, f.Code = 500, "InternalError"
	case 2:
		f.Drop = true
	case 3:
		f.DropResponse = true
	case 4:
		f.Truncate = true
	case 5:
		f.Delay = time.Duration(s.rnd.IntN(3000)) * time.Millisecond
	case 6:
		f.Key, f.Kind, f.DropResponse = "head.json", s3test.Put, true
	default:
		return
	}
	s.faults++
	s.w.proxy.Inject(f)
}

// edit does one thing that a person does. What is written is remembered; what
// is removed or written over on purpose is forgotten.
func (s *soak) edit(m *machine) {
	s.edits++
	name := fmt.Sprintf("d%d/f%d", s.rnd.IntN(5), s.rnd.IntN(12))
	switch n := s.rnd.IntN(10); {
	case n == 0 && !m.missing(name):
		m.remove(name)
	case n == 1 && !m.missing(name):
		m.chmod(name, []os.FileMode{0o644, 0o755, 0o600}[s.rnd.IntN(3)])
	case n == 2 && !m.missing(name):
		to := fmt.Sprintf("d%d/r%d", s.rnd.IntN(5), s.rnd.IntN(4))
		m.mkdir(to[:2])
		m.rename(name, to)
	case n == 3:
		m.write(name, scrambled(uint64(s.edits), 200<<10+s.rnd.IntN(1<<20)))
	default:
		m.write(name, fmt.Sprintf("edit %d at %s", s.edits, m.name))
	}
}

// settle heals the way to the store, has every machine open the workspace
// twice, and holds what must be true then.
func (s *soak) settle() {
	s.reset()
	last := map[string]map[string]node{}
	for _, m := range s.machines {
		last[m.name] = m.tree()
	}
	for range 2 {
		for _, m := range s.machines {
			m.must("start", "--wait")
			m.await("all is well again", func(doc status.Document) bool {
				return replicaIn(s.t, doc, "workspace").State == status.ReplicaSynced
			})
			m.sync("--allow-delete")
			m.stop()
		}
	}
	want := s.machines[0].tree()
	for _, m := range s.machines[1:] {
		sameTree(s.t, want, m.tree())
	}
	for name, tree := range last {
		for path, n := range tree {
			if n.Kind == "file" && n.Sum != sumOf("") {
				s.written[n.Sum] = name + ": " + path
			}
		}
	}
	s.readable()
	for _, m := range s.machines {
		s.aside += len(kept(s.t, m.dir, "conflicts"))
	}
	m := s.machines[0]
	m.start()
	if text := m.must("verify"); !strings.Contains(text, "generations refer to") {
		s.t.Error(text)
	}
	m.stop()
}

// readable holds that what the machines had when the faults ended is in a
// generation that is kept, or aside on the machine.
func (s *soak) readable() {
	there := map[string]bool{}
	for _, g := range s.w.generations() {
		for name, ref := range g.Replicas {
			s.w.contents(name, ref.Manifest, there)
		}
	}
	for _, m := range s.machines {
		for _, kind := range []string{"conflicts", "replaced"} {
			for _, text := range kept(s.t, m.dir, kind) {
				there[sumOf(text)] = true
			}
		}
	}
	for sum, what := range s.written {
		if !there[sum] {
			s.t.Errorf("lost: %s", what)
		}
	}
}
