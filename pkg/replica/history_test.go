package replica

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/tree/treetest"
	"github.com/google/go-cmp/cmp"
)

// history is one random story of two machines that take turns. What the
// checker knows it knows by reading the trees itself.
type history struct {
	*world
	rnd     *rand.Rand
	sides   [2]*machine
	agreed  [2]fileTree     // what each side showed at its last sync
	head    [2]fileTree     // the head at each side's last sync
	stored  map[string]bool // content of any generation
	seen    int             // generations in stored
	counter int
	offline [2]bool         // edited since its last sync
	brought map[string]bool // paths that the user made in the middle of the turn
	faults  bool
	still   bool // nobody edits any more
	log     []string
	bad     []string // broken promises
}

func (h *history) say(format string, args ...any) {
	h.log = append(h.log, fmt.Sprintf(format, args...))
}
func (h *history) broken(format string, args ...any) {
	h.bad = append(h.bad, fmt.Sprintf(format, args...))
}

var historyPaths = []string{"a", "b", "d", "d/a", "d/e", "d/e/a", "d/e/b", "d-x", "d.x/a", "f/g/h", "sp ace\n", "\xff"}

// content makes up content: mostly never seen before, often of one length.
func (h *history) content() string {
	h.counter++
	switch h.rnd.IntN(12) {
	case 0:
		return ""
	case 1:
		return "twice"
	case 2:
		return strings.Repeat(strconv.Itoa(h.counter), 5+h.rnd.IntN(50))
	case 3:
		if h.rnd.IntN(8) == 0 {
			return fmt.Sprintf("%08d", h.counter) + strings.Repeat("large", 20000)
		}
	}
	return fmt.Sprintf("c%06d", h.counter)
}

// edit does one thing that a person does.
func (h *history) edit(side int) {
	m := h.sides[side]
	path := historyPaths[h.rnd.IntN(len(historyPaths))]
	file := filepath.Join(m.Path, path)
	info, err := os.Lstat(file)
	there := err == nil
	switch op := h.rnd.IntN(16); {
	case op < 4 || !there && op < 9:
		h.makeWay(m, path)
		if info, err := os.Lstat(file); err == nil && !info.Mode().IsRegular() {
			h.must(os.RemoveAll(file))
		}
		c := h.content()
		h.say("%s: write %q %.10q", m.Host, path, c)
		h.must(os.WriteFile(file, []byte(c), 0o644))
	case op == 4:
		h.makeWay(m, path)
		h.must(os.RemoveAll(file))
		h.counter++
		h.say("%s: link %q", m.Host, path)
		h.must(os.Symlink(fmt.Sprintf("../t%d", h.counter), file))
	case op == 5:
		h.makeWay(m, path)
		if there && info.IsDir() {
			return
		}
		h.must(os.RemoveAll(file))
		h.say("%s: mkdir %q", m.Host, path)
		h.must(os.Mkdir(file, 0o755))
	case op < 9:
		h.say("%s: remove %q", m.Host, path)
		h.must(os.RemoveAll(file))
	case op < 12:
		h.rename(m, path)
	case op == 12 && there && info.Mode().IsRegular():
		h.say("%s: touch %q", m.Host, path)
		h.must(os.Chtimes(file, time.Time{}, time.Unix(h.rnd.Int64N(2e9), h.rnd.Int64N(1e9))))
	case there && info.Mode().Type() != os.ModeSymlink:
		modes := []os.FileMode{0o644, 0o755, 0o600, 0o555}
		if info.IsDir() {
			modes = []os.FileMode{0o755, 0o700, 0o555, 0o750}
		}
		mode := modes[h.rnd.IntN(4)]
		h.say("%s: chmod %o %q", m.Host, mode, path)
		h.must(os.Chmod(file, mode))
	}
	h.offline[side] = true
}

// makeWay makes the directories above a path, whatever is there.
func (h *history) makeWay(m *machine, path string) {
	for dir := range tree.Parents(path) {
		at := filepath.Join(m.Path, dir)
		if info, err := os.Lstat(at); err == nil && !info.IsDir() {
			h.must(os.Remove(at))
		}
		if err := os.Mkdir(at, 0o755); err != nil && !os.IsExist(err) {
			h.t.Fatal(err)
		}
	}
}

func (h *history) rename(m *machine, from string) {
	to := historyPaths[h.rnd.IntN(len(historyPaths))]
	if tree.Within(from, to) || tree.Within(to, from) {
		return
	}
	if _, err := os.Lstat(filepath.Join(m.Path, from)); err != nil {
		return
	}
	h.makeWay(m, to)
	if _, err := os.Lstat(filepath.Join(m.Path, from)); err != nil {
		return // it was in the way
	}
	h.must(os.RemoveAll(filepath.Join(m.Path, to)))
	h.say("%s: rename %q %q", m.Host, from, to)
	h.must(os.Rename(filepath.Join(m.Path, from), filepath.Join(m.Path, to)))
}

// contents are what a tree holds that can be lost.
func contents(f fileTree) map[string]bool {
	out := map[string]bool{}
	for _, text := range f {
		if c := contentIn(text); c != "/" {
			out[c] = true
		}
	}
	return out
}

// turn hands the workspace to a side: it takes over what the head has, and
// pushes what it has itself.
func (h *history) turn(side int) {
	m := h.sides[side]
	h.say("turn of %s", m.Host)
	before := m.show()
	wanted := contents(before)
	h.brought = map[string]bool{}
	h.meddle(m, wanted)
	h.inject()
	out := h.settleDown(m)
	h.bucket.Hook(nil)
	h.bucket.Heal()
	h.checkKept(m, wanted)
	h.checkConflicts(side, before, out)
	h.checkIdle(side)
	h.checkDeleted(side, before)
	h.inject()
	h.pushOut(m)
	h.bucket.Heal()
	h.checkAgreed(side)
}

// saves has a side that has the workspace edit, and push what that was, a few times: each save
// goes by what the one before it left.
func (h *history) saves(side int) {
	for range h.rnd.IntN(5) {
		for range 1 + h.rnd.IntN(2) {
			h.edit(side)
		}
		h.inject()
		h.pushOut(h.sides[side])
		h.bucket.Heal()
		h.checkAgreed(side)
	}
}

// inject breaks one of the next operations, now and then.
func (h *history) inject() {
	if !h.faults || h.rnd.IntN(3) != 0 {
		return
	}
	h.bucket.Inject(storetest.Fault{
		Kind: []storetest.Kind{storetest.Before, storetest.After, storetest.Halfway}[h.rnd.IntN(3)],
		Skip: h.rnd.IntN(4), Class: rclone.Server,
	})
}

// meddle has the user edit while content is fetched.
func (h *history) meddle(m *machine, wanted map[string]bool) {
	if h.still || h.rnd.IntN(4) != 0 {
		return
	}
	once := sync.OnceFunc(func() {
		was := m.show()
		side := slices.Index(h.sides[:], m)
		h.edit(side)
		is := m.show()
		for path := range is {
			if _, there := was[path]; !there {
				h.brought[path] = true
			}
		}
		before, after := contents(was), contents(is)
		for c := range before {
			if !after[c] {
				delete(wanted, c) // by the user's own hand
			}
		}
		for c := range after {
			wanted[c] = true
		}
	})
	h.bucket.Hook(func(e storetest.Event) error {
		if e.Op == storetest.Download && e.Done {
			once()
		}
		return nil
	})
}

// settleDown acquires until everything is placed, through faults and crashes.
func (h *history) settleDown(m *machine) []string {
	var conflicts []string
	for range 12 {
		out, err := m.acquire(SettleOptions{AllowDelete: true})
		if out != nil {
			conflicts = append(conflicts, out.Conflicts...)
			h.say("%s settled: %+v %v", m.Host, *out, err)
		}
		if err != nil && h.rnd.IntN(2) == 0 {
			m.restart()
		}
		if err == nil && len(m.base.Unplaced) == 0 {
			return conflicts
		}
	}
	h.broken("%s does not settle: %+v", m.Host, m.base.Unplaced)
	return conflicts
}

func (h *history) pushOut(m *machine) {
	for range 12 {
		more, err := m.push()
		if err != nil {
			h.say("%s push: %v", m.Host, err)
			if h.rnd.IntN(2) == 0 {
				m.restart()
				h.settleDown(m)
			}
			continue
		}
		if !more {
			return
		}
		h.say("%s pushed generation %d", m.Host, h.generation)
	}
	h.broken("%s does not come to an end of pushing", m.Host)
}

// checkKept: nothing that was there is lost.
func (h *history) checkKept(m *machine, wanted map[string]bool) {
	here := contents(m.show())
	aside := map[string]bool{}
	for _, c := range m.conflicts() {
		aside[c] = true
	}
	h.readGenerations()
	for c := range wanted {
		if !here[c] && !aside[c] && !h.stored[c] {
			h.broken("%s: content %.20q is lost", m.Host, c)
		}
	}
}

// readGenerations reads what was committed since the last time.
func (h *history) readGenerations() {
	for ; h.seen < len(h.refs); h.seen++ {
		files, kept := h.remote(h.refs[h.seen])
		for c := range contents(files) {
			h.stored[c] = true
		}
		for c := range kept {
			h.stored[c] = true
		}
	}
}

// checkConflicts: a conflict only where both sides changed.
func (h *history) checkConflicts(side int, before fileTree, paths []string) {
	now, _ := h.remote(h.ref)
	for _, path := range paths {
		if h.agreed[side] == nil {
			continue // no base: any difference is one
		}
		local := contentIn(before[path]) != contentIn(h.agreed[side][path]) || before[path] != h.agreed[side][path]
		remote := false
		for p := range joinKeys(now, h.head[side]) {
			related := tree.Within(p, path) || tree.Within(path, p)
			remote = remote || related && now[p] != h.head[side][p]
		}
		if !remote || !local && !h.offline[side] {
			h.broken("conflict at %q: changed here %v, there %v", path, local, remote)
		}
	}
}

// checkDeleted: what was deleted here, and not touched there, does not come
// back, unless something new needs its directory.
func (h *history) checkDeleted(side int, before fileTree) {
	head, _ := h.remote(h.ref)
	now := h.sides[side].show()
	for path, text := range h.agreed[side] {
		_, stayed := before[path]
		if !stayed && !h.brought[path] && strings.Contains(text, "@") && h.head[side][path] == head[path] && now[path] == text {
			h.broken("%s: %q was deleted and comes back", h.sides[side].Host, path)
		}
	}
}

// checkIdle: a side that nobody edited shows the head, deletions included.
func (h *history) checkIdle(side int) {
	if h.offline[side] || h.generation == 0 {
		return
	}
	head, _ := h.remote(h.ref)
	if diff := cmp.Diff(h.sides[side].show(), head); diff != "" {
		h.broken("%s was idle (-) and does not show the head (+): %s", h.sides[side].Host, diff)
	}
}

func joinKeys(a, b fileTree) map[string]bool {
	out := map[string]bool{}
	for p := range a {
		out[p] = true
	}
	for p := range b {
		out[p] = true
	}
	return out
}

// checkAgreed: after a turn the head is the tree, and there is nothing left to
// do.
func (h *history) checkAgreed(side int) {
	m := h.sides[side]
	local := m.show()
	remote, kept := h.remote(h.ref)
	if diff := cmp.Diff(local, remote); diff != "" {
		h.broken("%s (-) and the head (+) differ: %s", m.Host, diff)
	}
	for path, c := range m.conflicts() {
		if !kept[c] {
			h.broken("the conflict at %q is not in the head", path)
		}
	}
	// A time stamp so young that a further edit could have the same makes a
	// scan read once more: that is not a change.
	if n := m.pushAll(); n > 0 {
		h.broken("%s: a second push made %d generations", m.Host, n)
	}
	if h.generation > 0 {
		t, err := m.Layout.Tree(h.t.Context(), h.ref)
		h.must(err)
		differs, err := m.differs(t)
		h.must(err)
		if differs {
			h.broken("%s: the head differs from its own base", m.Host)
		}
	}
	decisions, err := m.Plan(h.t.Context())
	h.must(err)
	for _, d := range decisions {
		if d.Op != plan.Nothing {
			h.broken("%s: a second pass would %s %q", m.Host, d.Op, d.Path)
		}
	}
	h.agreed[side], h.head[side], h.offline[side] = local, remote, false
}

// tell runs one history and gives the promises it broke.
func tell(t testing.TB, seed uint64, mutant func(m *machine)) *history {
	w := newWorld(t)
	h := &history{world: w, rnd: rand.New(rand.NewPCG(seed, 1)), stored: map[string]bool{}, faults: seed%2 == 1}
	dir := treetest.Dir(t)
	defer os.RemoveAll(dir)
	for i, name := range []string{"one", "two"} {
		h.sides[i] = w.machineAt(filepath.Join(dir, name))
		h.must(os.MkdirAll(h.sides[i].Path, 0o755))
		if mutant != nil {
			mutant(h.sides[i])
		}
		defer func() { h.sides[i].Close() }()
	}
	for turn := range 4 + h.rnd.IntN(4) {
		side := turn % 2
		for range h.rnd.IntN(6) {
			h.edit(side)
		}
		if h.rnd.IntN(3) == 0 {
			for range 1 + h.rnd.IntN(3) {
				h.edit(1 - side)
			}
		}
		h.turn(side)
		h.saves(side)
		if len(h.bad) > 0 {
			return h
		}
	}
	// Hand over once more each: both sides show the same.
	h.still = true
	h.turn(0)
	h.turn(1)
	h.turn(0)
	if diff := cmp.Diff(h.sides[0].show(), h.sides[1].show()); diff != "" {
		h.broken("the sides do not converge: %s", diff)
	}
	return h
}

// TestHistories holds the promises over random histories. COLTEC_SEED repeats
// one.
func TestHistories(t *testing.T) {
	first, n := rand.Uint64(), sample.Size(40, 500)
	if s := os.Getenv("COLTEC_SEED"); s != "" {
		var err error
		if first, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
		n = 1
	}
	if s := os.Getenv("COLTEC_HISTORIES"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	told := 0
	for i := range n {
		seed := first + uint64(i)
		h := tell(t, seed, nil)
		told += h.told
		if len(h.bad) > 0 {
			t.Fatalf("COLTEC_SEED=%d\n%s\n\n%s", seed, strings.Join(h.log, "\n"), strings.Join(h.bad, "\n"))
		}
	}
	t.Logf("%d histories from seed %d, %d saves that came with all that they edit", n, first, told)
	if told == 0 && n >= 40 {
		t.Error("no save came with all that it edits")
	}
}

// decide makes a mutant whose plan says another thing.
func decide(change func(d *plan.Decision)) func(m *machine) {
	return func(m *machine) {
		m.merge = func(s plan.Sides) []plan.Decision {
			plan := plan.Merge(s)
			for i := range plan {
				change(&plan[i])
			}
			return plan
		}
	}
}

// swap is a mutant that takes one operation for another.
func swap(from, to plan.Op) func(m *machine) {
	return decide(func(d *plan.Decision) {
		if d.Op == from {
			d.Op = to
		}
	})
}

// forgetful publishes trees that lack an entry.
type forgetful struct{ store.Layout }

func (f forgetful) Publish(ctx context.Context, p store.Publication) (store.Ref, error) {
	var kept []tree.Entry
	for e, err := range p.Entries {
		if err != nil {
			return store.Ref{}, err
		}
		kept = append(kept, *e)
	}
	p.Entries = tree.All(kept[:max(min(len(kept), 3), len(kept)-1)])
	return f.Layout.Publish(ctx, p)
}

// hasty leaves an edit out, where a save comes with all of them.
type hasty struct{ store.Layout }

func (h hasty) Publish(ctx context.Context, p store.Publication) (store.Ref, error) {
	if p.Known && len(p.Edits) > 1 {
		p.Edits = p.Edits[:len(p.Edits)-1]
	}
	return h.Layout.Publish(ctx, p)
}

// TestHistoriesCatchMutants: a checker is worth what it catches. Each mutant
// breaks one promise.
func TestHistoriesCatchMutants(t *testing.T) {
	sample.Long(t)
	mutants := map[string]struct {
		make func(m *machine)
		want string // in what is said of it
	}{
		"a conflict overwrites the local version": {swap(plan.Conflict, plan.Take), "is lost"},
		"an edit below a replaced directory goes": {swap(plan.Displace, plan.Delete), "is lost"},
		"what the remote changed is not taken": {decide(func(d *plan.Decision) {
			if d.Op == plan.Take && d.Local != nil {
				d.Op = plan.Keep
			}
		}), "does not show the head"},
		"what the remote deleted stays":    {swap(plan.Delete, plan.Keep), "does not show the head"},
		"what was deleted here comes back": {swap(plan.Withdraw, plan.Take), "comes back"},
		"a conflict where one side changed": {decide(func(d *plan.Decision) {
			if d.Op == plan.Take && d.Local != nil && d.Local.Kind == tree.File && d.Entry.Kind == tree.File {
				d.Op = plan.Conflict
			}
		}), "conflict at"},
		"a mode is not taken":   {decide(func(d *plan.Decision) { d.Entry.Mode |= 0o100 }), "does not show the head"},
		"a time is not taken":   {decide(func(d *plan.Decision) { d.Entry.MTime /= 1000 }), "does not show the head"},
		"a generation is short": {func(m *machine) { m.Layout = forgetful{m.Layout} }, "differ"},
		"an edit is left out":   {func(m *machine) { m.Layout = hasty{m.Layout} }, "differ"},
	}
	for name, mutant := range mutants {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(150) {
				h := tell(t, seed, mutant.make)
				if len(h.bad) > 0 {
					if !strings.Contains(strings.Join(h.bad, "\n"), mutant.want) {
						continue // broken in another way first
					}
					return
				}
			}
			t.Error("it was not caught in 150 histories")
		})
	}
}
