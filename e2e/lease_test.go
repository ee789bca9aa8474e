package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// races is how many make test runs; make soak-races runs 200.
const races = 8

// Two daemons start for one workspace at the same moment: one of them has the
// lease, and the other says who. COLTEC_RACES says how many times, COLTEC_SEED
// how far apart.
func TestRaces(t *testing.T) {
	t.Parallel()
	count, err := strconv.Atoi(os.Getenv("COLTEC_RACES"))
	if err != nil {
		count = races
	}
	seed, err := strconv.ParseUint(os.Getenv("COLTEC_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	t.Logf("%d races, COLTEC_SEED=%d", count, seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(t)
	won := map[string]int{}
	for i := range count {
		// Of two races the first is for a head that does not exist, the second
		// for one that was given back.
		if i%2 == 0 {
			w.machines = w.machines[:0]
		}
		env := fmt.Sprintf("race-%d", i/2)
		a, b := w.racer("a", env), w.racer("b", env)
		won[w.race(a, b, env, time.Duration(rnd.IntN(60)-30)*time.Millisecond)]++
		for _, m := range []*machine{a, b} { // the loser has a file of its own
			if out, talk, code := m.run("stop"); code != 0 && code != 6 {
				t.Errorf("%s: a stop ended with %d: %s%s", m.name, code, out, talk)
			}
		}
		if t.Failed() {
			t.Fatalf("race %d", i+1)
		}
	}
	t.Logf("won: %v", won)
}

// racer is the machine of that name in a workspace.
func (w *world) racer(name, env string) *machine {
	w.t.Helper()
	for _, m := range w.machines {
		if m.name == name {
			return m
		}
	}
	m := w.machine(name)
	m.spec(func(o *specOptions) { o.Env, o.TTL, o.Renew = env, "60s", "20s" })
	m.write("of "+name, name)
	return m
}

// race starts both, the second one later (or earlier) than the first, and holds
// that one has the lease. It gives the name of that one.
func (w *world) race(a, b *machine, env string, later time.Duration) string {
	w.t.Helper()
	racers := []*machine{a, b}
	if later < 0 {
		racers, later = []*machine{b, a}, -later
	}
	before := len(w.taken(""))
	var started sync.WaitGroup
	for i, m := range racers {
		started.Go(func() {
			time.Sleep(time.Duration(i) * later) // the race is about how far apart they are
			if _, talk, code := m.run("start"); code != 0 {
				w.t.Errorf("%s does not start: %s", m.name, talk)
			}
		})
	}
	started.Wait()
	decided := func(doc status.Document) bool {
		return doc.Lease.State == status.LeaseHeld || doc.Lease.State == status.LeaseWaiting && doc.Lease.Holder != nil
	}
	docs := map[string]status.Document{}
	for _, m := range racers {
		docs[m.name] = m.await("the race is decided", decided)
	}
	holder, loser := "a", "b"
	if docs["b"].Lease.State == status.LeaseHeld {
		holder, loser = "b", "a"
	}
	if docs[holder].Lease.State != status.LeaseHeld || docs[loser].Lease.State != status.LeaseWaiting {
		w.t.Errorf("both or neither have it: a %+v, b %+v", docs["a"].Lease, docs["b"].Lease)
	}
	if h := docs[loser].Lease.Holder; h == nil || h.Host != holder || h.Since.IsZero() || !strings.Contains(words(docs[loser]), "held by "+holder) {
		w.t.Errorf("%s does not name the winner: %+v, %s", loser, h, words(docs[loser]))
	}
	if n := len(w.taken(env)) - before; n != 1 {
		w.t.Errorf("the lease was taken %d times", n)
	}
	return holder
}

// taken are the writes that took a lease: a head that was created, or the first
// one of an epoch. A workspace that runs is named: a listing has not its head
// while that is replaced.
func (w *world) taken(running string) (epochs map[string]bool) {
	w.t.Helper()
	epochs = map[string]bool{}
	keys := w.objects()
	if running != "" {
		keys[store.HeadKey("acme/widget/"+running)] = 0
	}
	for key := range keys {
		if !strings.HasSuffix(key, "/head.json") {
			continue
		}
		var head store.Head
		w.json(key, &head)
		for epoch := range head.Epoch {
			epochs[fmt.Sprint(key, epoch+1)] = true
		}
	}
	return epochs
}

// A machine sleeps past its lease with edits that are not pushed, another takes
// the workspace and goes on, the first one wakes: it must not touch what the
// other has written, and its own edits arrive as edits or as conflicts.
func TestSuspendedHolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.brief()
	a.write("both.txt", "before")
	a.write("mine.txt", "before")
	a.start()
	a.sync()
	i, _ := a.instance()
	sleepers := append(below(i.Keeper), processOf(i.Keeper))
	signal := func(s syscall.Signal) {
		for _, p := range sleepers {
			if err := syscall.Kill(p.pid, s); err != nil && err != syscall.ESRCH {
				t.Fatal(err)
			}
		}
	}
	signal(syscall.SIGSTOP)
	awake := sync.OnceFunc(func() { signal(syscall.SIGCONT) })
	t.Cleanup(awake) // a stopped process does not end by itself
	a.write("both.txt", "by a, asleep")
	a.write("mine.txt", "by a, asleep")
	b.start() // returns when the ttl is over
	b.write("both.txt", "by b")
	b.write("b.txt", "by b")
	b.sync()
	theirs := b.tree()
	epoch := b.status().Lease.Epoch

	awake()
	doc := a.await("it sees that it was fenced", func(doc status.Document) bool { return doc.Lease.State == status.LeaseWaiting })
	if doc.Lease.Holder == nil || doc.Lease.Holder.Host != "b" {
		t.Errorf("it does not say who has it: %+v", doc.Lease)
	}
	b.sync()
	if now := b.status().Lease; now.Epoch != epoch || now.State != status.LeaseHeld {
		t.Errorf("b has lost it: %+v", now)
	}
	sameTree(t, theirs, b.tree())
	if a.read("both.txt") != "by a, asleep" {
		t.Error("an edit of the fenced machine was touched")
	}
	b.stop()
	a.await("all is in the bucket, and the conflict is told", func(doc status.Document) bool {
		r := replicaIn(t, doc, "workspace")
		return r.State == status.ReplicaSynced && r.Conflicts == 1
	})
	a.sync()
	if a.read("both.txt") != "by b" || a.read("mine.txt") != "by a, asleep" || a.read("b.txt") != "by b" {
		t.Errorf("merged: %q %q %q", a.read("both.txt"), a.read("mine.txt"), a.read("b.txt"))
	}
	if aside := kept(t, a.dir, "conflicts"); len(aside) != 1 || aside["both.txt"] != "by a, asleep" {
		t.Errorf("kept aside: %q", aside)
	}
	a.stop()
	b.once()
	sameTree(t, a.tree(), b.tree())
}
