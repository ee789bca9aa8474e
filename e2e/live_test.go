package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/store"
)

// TestLive keeps databases of SQLite while programs write them in every way, saves by each
// verb, and goes on elsewhere. Each generation is given back and opened by the real SQLite:
// it is sound, is a state that was, and has each transaction that was acknowledged before
// the last word.
//
// COLTEC_LIVE is the number of generations, COLTEC_SEED repeats a run as far as chance
// allows. make soak-live makes a thousand, and holds ages and delays to their bounds too:
// a machine that does other things beside says nothing of these.
func TestLive(t *testing.T) {
	sample.Long(t)
	generations, seed := fromEnv(t, "COLTEC_LIVE", 60), seedFromEnv(t)
	t.Logf("%d generations; COLTEC_SEED=%d repeats them as far as chance allows", generations, seed)
	x := newLive(t, uint64(seed))
	for len(x.kept) < generations {
		x.next(generations - len(x.kept))
	}
	x.report(generations >= liveTimed)
}

const (
	liveTimed   = 500                   // generations from which on times are judged
	liveAge     = 5 * time.Second       // how old a database in the bucket may be (p95)
	liveDelay   = 50 * time.Millisecond // by how much longer a transaction may take (p99)
	liveJudges  = 2                     // processes that judge
	liveCrew    = 5                     // programs that write at once
	liveStories = 3                     // faults of a kind that are told at length
)

// liveJob is one program that writes; see testdata/live.py.
type liveJob struct {
	Databases  []string `json:"databases"`
	Mode       string   `json:"mode"`
	Checkpoint int      `json:"checkpoint,omitempty"`
	Sync       string   `json:"sync"`
	Rows       int      `json:"rows"`
	Rate       int      `json:"rate"`
	Big        int      `json:"big,omitempty"`
	Vacuum     int      `json:"vacuum,omitempty"`
	Reopen     int      `json:"reopen,omitempty"`
	Switch     int      `json:"switch,omitempty"`
	Spill      bool     `json:"spill,omitempty"`
	Journal    string   `json:"journal"`
	writers    int      // processes; 0 is 1
	killed     bool     // it is, now and then, in the middle of what it does
}

// liveJobs are the programs. A round has some of them.
var liveJobs = []liveJob{
	{Databases: []string{"log-20.db"}, Mode: "wal", Checkpoint: 20, Rows: 200, Rate: 75},
	{Databases: []string{"log-50.db"}, Mode: "wal", Checkpoint: 50, Rows: 200, Rate: 36, Vacuum: 60},
	{Databases: []string{"log-1000.db"}, Mode: "wal", Checkpoint: 1000, Rows: 1500, Rate: 12, Big: 6},
	{Databases: []string{"log-killed.db"}, Mode: "wal", Checkpoint: 50, Rows: 600, Rate: 20, Big: 3, Spill: true, killed: true},
	{Databases: []string{"log-closed.db"}, Mode: "wal", Checkpoint: 1000, Rows: 200, Rate: 20, Reopen: 5},
	{Databases: []string{"log-two.db"}, Mode: "wal", Checkpoint: 50, Rows: 200, Rate: 20, writers: 2},
	{Databases: []string{"delete.db"}, Mode: "delete", Rows: 200, Rate: 75},
	{Databases: []string{"truncate.db"}, Mode: "truncate", Rows: 1500, Rate: 12, Big: 6, Spill: true},
	{Databases: []string{"persist.db"}, Mode: "persist", Rows: 200, Rate: 30, Vacuum: 40},
	{Databases: []string{"killed.db"}, Mode: "delete", Rows: 600, Rate: 20, Big: 3, Spill: true, killed: true},
	{Databases: []string{"switched.db"}, Mode: "wal", Checkpoint: 50, Rows: 200, Rate: 20, Switch: 15},
	{Databases: []string{"both-a.db", "both-b.db"}, Mode: "delete", Rows: 200, Rate: 15, killed: true},
	{Databases: []string{"log-both-a.db", "log-both-b.db"}, Mode: "wal", Checkpoint: 50, Rows: 200, Rate: 30},
}

// live is a run.
type live struct {
	t       *testing.T
	w       *world
	seed    uint64
	rng     *rand.Rand
	m       [2]*machine
	active  int
	reader  *machine // has no lease, and gives generations back
	judges  chan *liveJudge
	outside string // for journals
	ledgers map[string]*ledger
	deck    []liveJob
	rounds  int
	last    int64 // the generation with which a round ends early

	heads heads
	log   []liveDoing // what was done, by the generation after which it began
	upTo  store.Generation
	kept  []judged // that were judged

	did, words, faults map[string]int
	stories            []string
	spent              map[string]time.Duration
	ages               figures
	took               map[string]figures
}

// liveDoing is what was done from a time on.
type liveDoing struct {
	at   int64
	what string
}

// heads are the times at which generations were first seen in the bucket.
type heads struct {
	sync.Mutex
	numbers []int64
	times   []int64
}

func newLive(t *testing.T, seed uint64) *live {
	x := &live{
		t: t, w: newWorld(t), seed: seed, rng: rand.New(rand.NewPCG(seed, 17)), outside: t.TempDir(), ledgers: map[string]*ledger{},
		judges: make(chan *liveJudge, liveJudges), did: map[string]int{}, words: map[string]int{}, faults: map[string]int{}, spent: map[string]time.Duration{}, took: map[string]figures{},
	}
	for i, name := range []string{"a", "b"} {
		x.m[i] = x.machine(name)
	}
	x.reader = x.machine("reader")
	for range liveJudges {
		x.judges <- newLiveJudge(t)
	}
	x.here().write("still.txt", "a file that nobody writes\n")
	ctx, cancel := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		x.heads.watch(ctx, filepath.Join(x.w.s3.Dir, x.w.s3.Bucket, store.HeadKey(workspaceName)))
	}()
	t.Cleanup(func() { cancel(); <-watched })
	return x
}

// machine makes a place. COLTEC_LIVE_COLTECD is another coltecd to hold to the same.
func (x *live) machine(name string) *machine {
	m := x.w.machine(name)
	m.program = os.Getenv("COLTEC_LIVE_COLTECD")
	m.liveSpec(false)
	return m
}

// liveSpec has a lease that does not run out where the programs, and whatever else runs on the
// machine, leave coltecd little of it.
func (m *machine) liveSpec(watch bool) {
	m.t.Helper()
	m.spec(func(o *specOptions) {
		o.TTL = "90s"
		o.Replicas[0].Watch = watch
	})
}

func (x *live) here() *machine { return x.m[x.active] }

func (x *live) must(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
}

// pause waits for a random time: any moment will do.
func (x *live) pause(least, most int) {
	<-time.After(time.Duration(least+x.rng.IntN(most-least)) * time.Millisecond)
}

// watch notes when a head is of another generation. It is written whole.
func (h *heads) watch(ctx context.Context, file string) {
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	var last time.Time
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		info, err := os.Stat(file)
		if err != nil || info.ModTime().Equal(last) {
			continue
		}
		var head store.Head
		if body, err := os.ReadFile(file); err != nil || json.Unmarshal(body, &head) != nil {
			continue
		}
		last = info.ModTime()
		h.note(head.Generation)
	}
}

// any reports whether there has been a head.
func (h *heads) any() bool {
	h.Lock()
	defer h.Unlock()
	return len(h.numbers) > 0
}

func (h *heads) note(generation int64) {
	h.Lock()
	defer h.Unlock()
	if n := len(h.numbers); n == 0 || generation > h.numbers[n-1] {
		h.numbers, h.times = append(h.numbers, generation), append(h.times, clockNow())
	}
}

// seen is when the bucket had a generation, or the next one that was seen.
func (h *heads) seen(generation int64) (int64, bool) {
	h.Lock()
	defer h.Unlock()
	i, _ := slices.BinarySearch(h.numbers, generation)
	if i == len(h.numbers) {
		return 0, false
	}
	return h.times[i], true
}

// savers are the ways in which generations come to be, in the order of the rounds.
var savers = []struct {
	name  string
	watch bool
	saves int // how often it saves
	save  func(*live, *liveCrewOf, int)
}{
	{"sync", false, 14, (*live).bySync},
	{"watch", true, 4, (*live).byWatch},
	{"stop", false, 3, (*live).byStop},
	{"sync", false, 14, (*live).bySync},
	{"watch", true, 4, (*live).byWatch},
}

// next is a round: programs write for a while, then coltecd runs beside them; what it
// made is judged, and the other machine goes on. It ends early with so many generations.
func (x *live) next(most int) {
	x.t.Helper()
	saver := savers[x.rounds%len(savers)]
	x.rounds++
	before := len(x.kept)
	x.did[saver.name]++
	defer x.spend(saver.name, time.Now())
	x.here().liveSpec(saver.watch)
	c := x.crew()
	c.more(3) // their first ones are slower
	from := clockNow()
	c.more(12)
	x.delays("alone", c, from, clockNow())
	x.do(saver.name)
	x.last = x.generation() + int64(most)
	saver.save(x, c, saver.saves)
	if len(x.kept) == before {
		x.t.Fatalf("round %d: no generation came", x.rounds)
	}
	if saver.name == "stop" {
		x.bothWrite(c)
	}
	x.hop()
}

// bothWrite has the programs write on here while nothing keeps it, then at the other machine,
// and comes back: what each wrote is there, whole.
func (x *live) bothWrite(c *liveCrewOf) {
	x.t.Helper()
	x.did["both wrote"]++
	outside := filepath.Join(x.outside, fmt.Sprint("only here ", x.rounds))
	x.must(os.Mkdir(outside, 0o755))
	here := map[string]*ledger{}
	for _, l := range c.ledgers() {
		here[l.path] = newLedger(l.path, outside)
	}
	c.again(outside, here)
	x.hop()
	c.again(x.outside, x.ledgers)
	x.once()
	x.judge()
	x.hop()
	x.do("both wrote")
	for path, l := range here {
		x.must(l.load())
		if kind, story := x.aside(l); kind != "" {
			x.fault(kind, path+": "+story)
		}
	}
}

// aside says what is wrong with the version that lost its name here.
func (x *live) aside(l *ledger) (kind, story string) {
	x.t.Helper()
	files, err := filepath.Glob(x.here().path(".coltec/conflicts/*/" + l.path))
	x.must(err)
	want, story := by(l.acked, clockNow()), fmt.Sprintf("%d versions were kept", len(files))
	for _, file := range files {
		dir := filepath.Join(x.outside, "aside")
		x.must(copyDatabases(filepath.Dir(file), dir))
		j := <-x.judges
		v, err := j.of(filepath.Join(dir, l.path))
		x.judges <- j
		x.must(errors.Join(err, os.RemoveAll(dir)))
		switch {
		case v.Wrong != "":
			kind = "a conflict that does not open"
		case v.N >= want && (l.hashes[v.N] == v.Hash || l.hashes[v.N] == ""):
			if told := x.here().must("conflicts"); !strings.Contains(told, l.path) {
				return "a conflict that is not told", told
			}
			return "", ""
		}
		story += fmt.Sprintf("; %s: %+v", file, v)
	}
	if kind == "" {
		kind = "what one side wrote is lost"
	}
	return kind, fmt.Sprintf("transaction %d was acknowledged; %s", want, story)
}

// again has the programs write a little where x is, and end.
func (c *liveCrewOf) again(outside string, ledgers map[string]*ledger) {
	c.x.t.Helper()
	for _, p := range c.procs {
		p.job.Journal = outside
		c.begin(p)
	}
	c.await(ledgers, 5)
	c.end(true)
}

// spend notes for how long something took.
func (x *live) spend(what string, from time.Time) {
	x.spent[what] += time.Since(from).Round(time.Millisecond)
}

// do notes what is done from now on.
func (x *live) do(what string) { x.log = append(x.log, liveDoing{clockNow(), what}) }

// doneAt is what was done at a time.
func (x *live) doneAt(at int64) string {
	what := "before"
	for _, d := range x.log {
		if d.at <= at {
			what = d.what
		}
	}
	return what
}

// bySync has coltecd run, and asks for each generation.
func (x *live) bySync(c *liveCrewOf, saves int) {
	x.start()
	from := clockNow()
	for n := 0; n < saves && x.generation() < x.last; n++ {
		x.pause(20, 150)
		c.strike()
		x.sync()
		c.mend()
	}
	x.delays("saved", c, from, clockNow())
	x.close(c)
}

// byWatch has coltecd run, and asks for nothing.
func (x *live) byWatch(c *liveCrewOf, saves int) {
	x.start()
	from := clockNow()
	for range saves {
		was := x.generation()
		c.strike()
		eventually(x.t, "a generation by itself", func() error {
			if x.generation() > was {
				return nil
			}
			return fmt.Errorf("generation %d is the last", was)
		})
		c.mend()
	}
	to := clockNow()
	x.delays("saved", c, from, to)
	x.close(c)
	x.agesOf(c, from, to)
}

// byStop starts and stops coltecd while the programs go on. Once it is killed.
func (x *live) byStop(c *liveCrewOf, saves int) {
	killed := x.rng.IntN(saves)
	for i := range saves {
		x.start()
		x.pause(50, 400)
		c.strike()
		if i == killed {
			x.did["killed coltecd"]++
			x.here().kill9()
		} else {
			x.stop()
		}
		c.mend()
	}
	x.start()
	x.close(c)
}

// start has coltecd run; what it takes there is from here.
func (x *live) start() {
	x.t.Helper()
	if out, talk, code := x.here().run("start", "--wait"); code != 0 && code != 6 {
		x.t.Fatalf("round %d: %s does not start: exit %d\n%s%s", x.rounds, x.here().name, code, out, talk)
	}
}

// close ends the programs, stops coltecd, and judges what it made.
func (x *live) close(c *liveCrewOf) {
	x.t.Helper()
	c.end(false)
	x.do("stop, when all had ended")
	if text := x.stop(); text != "" {
		x.fault("something stays that nobody writes", text)
	}
	x.judge()
}

// sync asks for a generation, and takes coltecd at its word.
func (x *live) sync() {
	x.t.Helper()
	asked := clockNow()
	out, talk, code := x.here().run("sync")
	left := said{}
	if code == 6 {
		left = x.here().onlyHere()
	}
	x.word("sync", asked, code, left, out+talk)
}

// stop is sync for coltecd stop; it returns what was said when something stayed.
func (x *live) stop() string {
	x.t.Helper()
	asked := clockNow()
	out, talk, code := x.here().run("stop", "--timeout", "150s")
	left, _ := x.w.leftBy(x.here())
	x.word("stop", asked, code, left, out+talk)
	if code != 0 {
		return fmt.Sprintf("exit %d: %s%s", code, out, talk)
	}
	return ""
}

// once is a whole session without coltecd in the background.
func (x *live) once() {
	x.t.Helper()
	asked := clockNow()
	out, talk, code := x.here().run("run", "--once")
	left, _ := x.w.leftBy(x.here())
	x.word("once", asked, code, left, out+talk)
	if code != 0 {
		x.fault("run --once does not end with all of it", fmt.Sprintf("exit %d: %s%s", code, out, talk))
	}
}

// word notes what a verb promised: what was acknowledged before it was asked is in the
// bucket, but for what it names.
func (x *live) word(verb string, asked int64, code int, left said, text string) {
	x.t.Helper()
	x.words[fmt.Sprintf("%s %d", verb, code)]++
	if code != 0 && code != 6 {
		x.fault(fmt.Sprintf("%s ends with %d", verb, code), text)
		return
	}
	if left.unnamed("workspace") > 0 {
		x.words["not all of them named"]++
		return
	}
	generation := x.generation()
	x.load()
	for _, l := range x.sorted() {
		if names := left.namesOf(l.path); names != "" {
			x.words["but for a database"]++
			continue
		}
		if n := by(l.acked, asked); n >= 0 {
			l.words = append(l.words, liveWord{generation, n, fmt.Sprintf("%s, exit %d", verb, code)})
		}
	}
}

// namesOf is the name in the account by which a database is excused.
func (s said) namesOf(path string) string {
	for _, p := range s["workspace"] {
		for _, name := range p.Names {
			if strings.HasPrefix(name, path) {
				return name
			}
		}
	}
	return ""
}

// generation is the last one that the bucket has.
func (x *live) generation() int64 {
	var head store.Head
	eventually(x.t, "the head can be read", func() error { // while it is replaced the server has neither, or a part
		body, err := os.ReadFile(filepath.Join(x.w.s3.Dir, x.w.s3.Bucket, store.HeadKey(workspaceName)))
		if errors.Is(err, fs.ErrNotExist) && !x.heads.any() {
			return nil
		}
		if err == nil {
			err = json.Unmarshal(body, &head)
		}
		return err
	})
	return head.Generation
}

func (x *live) load() {
	x.t.Helper()
	for _, l := range x.ledgers {
		x.must(l.load())
	}
}

func (x *live) sorted() (all []*ledger) {
	for _, path := range slices.Sorted(maps.Keys(x.ledgers)) {
		all = append(all, x.ledgers[path])
	}
	return all
}

// fault notes what must not be.
func (x *live) fault(what, story string) {
	x.faults[what]++
	if x.faults[what] <= liveStories {
		x.stories = append(x.stories, fmt.Sprintf("round %d (COLTEC_SEED=%d), at %s: %s\n  %s", x.rounds, x.seed, x.here().name, what, strings.TrimSpace(story)))
	}
}

// judge has the generations that are new given back, and judges each.
func (x *live) judge() {
	x.t.Helper()
	defer x.spend("judging", time.Now())
	x.load()
	var next []store.Generation
	last := x.upTo
	for _, g := range answer[[]store.Generation](x.reader, "history") {
		if g.Number > last.Number && g.Replicas["workspace"].Manifest != last.Replicas["workspace"].Manifest {
			next = append(next, g)
			last = g
		}
	}
	x.upTo = last
	found := make([]judged, len(next))
	errs := make([]error, len(next))
	var all sync.WaitGroup
	for i, g := range next {
		j := <-x.judges
		all.Go(func() {
			found[i], errs[i] = x.back(j, g.Number)
			x.judges <- j
		})
	}
	all.Wait()
	x.must(errors.Join(errs...))
	for _, g := range found {
		x.hold(g)
	}
}

// back has a generation given back, and its databases opened.
func (x *live) back(j *liveJudge, number int64) (g judged, err error) {
	seen, ok := x.heads.seen(number)
	if !ok {
		return g, fmt.Errorf("generation %d was never seen in the head", number)
	}
	g = judged{number: number, seen: seen, from: x.doneAt(seen)}
	dir, err := os.MkdirTemp(x.outside, "back-")
	if err != nil {
		return g, err
	}
	defer os.RemoveAll(dir)
	to := filepath.Join(dir, "tree")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := x.reader.command(ctx, "history", "restore", "--at", fmt.Sprint(number), "--to", to).CombinedOutput()
	if err != nil {
		return g, fmt.Errorf("history restore --at %d: %w: %s", number, err, out)
	}
	shared, err := filepath.Glob(filepath.Join(to, "*.db-shm"))
	if err != nil {
		return g, err
	}
	g.shared = len(shared)
	g.states, err = j.all(to, number%8 == 0)
	return g, err
}

// hold judges a generation after the one before.
func (x *live) hold(g judged) {
	before := map[string]verdict{}
	if n := len(x.kept); n > 0 {
		before = x.kept[n-1].states
	}
	if g.shared > 0 {
		x.fault("a -shm is carried", fmt.Sprintf("%d in generation %d", g.shared, g.number))
	}
	for _, l := range x.sorted() {
		was, had := before[l.path]
		if kind, story := l.wrong(g, was, had && was.Wrong == ""); kind != "" {
			x.fault(kind, story)
		}
	}
	x.kept = append(x.kept, g)
}

// hop goes on at the other machine, whose tree is judged as it lies there.
func (x *live) hop() {
	x.t.Helper()
	x.active = 1 - x.active
	x.here().liveSpec(false)
	x.once()
	x.do("hop")
	dir := filepath.Join(x.outside, "placed")
	x.must(copyDatabases(x.here().dir, dir))
	j := <-x.judges
	states, err := j.all(dir, false)
	x.judges <- j
	x.must(errors.Join(err, os.RemoveAll(dir)))
	g := judged{number: x.generation(), seen: clockNow(), states: states, from: "as it lies at " + x.here().name}
	for _, l := range x.sorted() {
		if kind, story := l.wrong(g, verdict{}, false); kind != "" {
			x.fault("placed: "+kind, story)
			x.anew(l)
		}
	}
	x.judge()
}

// anew has the writers of a ledger begin with none, where it cannot be written on.
func (x *live) anew(l *ledger) {
	for _, end := range []string{"", "-wal", "-journal", "-shm"} {
		_ = os.Remove(x.here().path(l.path + end))
	}
	x.must(os.Remove(l.journal))
	*l = *newLedger(l.path, x.outside)
}

// copyDatabases copies the databases of a tree with all that lies beside them.
func copyDatabases(from, to string) error {
	files, err := filepath.Glob(filepath.Join(from, "*.db*"))
	if err == nil {
		err = os.Mkdir(to, 0o755)
	}
	for _, file := range files {
		if err != nil {
			break
		}
		err = copyFile(file, filepath.Join(to, filepath.Base(file)))
	}
	return err
}

// agesOf notes how long it took until the bucket had what was acknowledged in a time; of
// what it had not yet at the end, how long it was waiting.
func (x *live) agesOf(c *liveCrewOf, from, to int64) {
	for _, l := range c.ledgers() {
		i := 0
		for _, tx := range l.acked {
			if tx.at < from || tx.at > to {
				continue
			}
			for i < len(x.kept) && !x.kept[i].has(l.path, tx.n) {
				i++
			}
			age := time.Duration(to - tx.at)
			if i < len(x.kept) && x.kept[i].seen <= to {
				age = time.Duration(x.kept[i].seen - tx.at)
			} else if age <= liveAge {
				continue // it is on its way
			}
			x.ages = append(x.ages, age)
		}
	}
}

// delays notes how long small transactions took.
func (x *live) delays(when string, c *liveCrewOf, from, to int64) {
	x.t.Helper()
	x.load()
	for _, job := range c.jobs {
		form := "without a log"
		if job.Mode == "wal" {
			form = "with a log"
		}
		for _, tx := range x.ledgers[job.Databases[0]].acked {
			if tx.at >= from && tx.at <= to && tx.kind == "small" {
				key := form + ", " + when
				x.took[key] = append(x.took[key], tx.took)
			}
		}
	}
}

// report says what was found.
func (x *live) report(timed bool) {
	x.t.Helper()
	states := 0
	for _, g := range x.kept {
		states += len(g.states)
	}
	x.t.Logf("%d generations with %d states of %d databases, in %d rounds: %v", len(x.kept), states, len(x.ledgers), x.rounds, x.did)
	x.t.Logf("words: %v; time: %v", x.words, x.spent)
	x.t.Logf("faults: %v", x.faults)
	x.t.Logf("age in the bucket, by the watch: %v", x.ages)
	for _, key := range slices.Sorted(maps.Keys(x.took)) {
		x.t.Logf("transactions %s: %v", key, x.took[key])
	}
	if timed {
		x.times()
	}
	for _, story := range x.stories {
		x.t.Error(story)
	}
}

// times holds ages and delays to their bounds.
func (x *live) times() {
	x.t.Helper()
	ms := func(d time.Duration) float64 { return float64(d.Milliseconds()) }
	if age := x.ages.at(0.95); !(age <= ms(liveAge)) {
		x.t.Errorf("what was acknowledged is in the bucket after %.0f ms (p95)", age)
	}
	for _, form := range []string{"with a log", "without a log"} {
		if more := x.took[form+", saved"].at(0.99) - x.took[form+", alone"].at(0.99); !(more <= ms(liveDelay)) {
			x.t.Errorf("a transaction %s takes %.1f ms longer (p99) while coltecd runs", form, more)
		}
	}
}

// liveCrewOf are the programs of a round.
type liveCrewOf struct {
	x     *live
	jobs  []liveJob
	procs []*liveProc
}

// liveProc is a program that writes.
type liveProc struct {
	job liveJob
	cmd *exec.Cmd // nil: it was killed
}

// crew starts the next programs of the deck.
func (x *live) crew() *liveCrewOf {
	x.t.Helper()
	c := &liveCrewOf{x: x}
	for range liveCrew {
		if len(x.deck) == 0 {
			x.deck = slices.Clone(liveJobs)
			x.rng.Shuffle(len(x.deck), func(i, j int) { x.deck[i], x.deck[j] = x.deck[j], x.deck[i] })
		}
		job := x.deck[0]
		x.deck = x.deck[1:]
		if slices.ContainsFunc(c.jobs, func(o liveJob) bool { return o.Databases[0] == job.Databases[0] }) {
			continue // the end of one deck and the beginning of the next
		}
		job.Sync = []string{"OFF", "OFF", "NORMAL", "FULL"}[x.rng.IntN(4)]
		job.Journal = x.outside
		c.jobs = append(c.jobs, job)
		for _, path := range job.Databases {
			if x.ledgers[path] == nil {
				x.ledgers[path] = newLedger(path, x.outside)
			}
		}
		for range max(1, job.writers) {
			p := &liveProc{job: job}
			c.procs = append(c.procs, p)
			c.begin(p)
		}
	}
	return c
}

func (c *liveCrewOf) ledgers() (all []*ledger) {
	for _, job := range c.jobs {
		for _, path := range job.Databases {
			all = append(all, c.x.ledgers[path])
		}
	}
	return all
}

// begin starts a program, and returns when its ledgers are there.
func (c *liveCrewOf) begin(p *liveProc) {
	c.x.t.Helper()
	p.cmd = p.job.start(c.x.t, c.x.here().dir)
}

// start starts the program on databases of a directory, and returns when they are there.
func (j liveJob) start(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	j.Databases = slices.Clone(j.Databases)
	for i, name := range j.Databases {
		j.Databases[i] = filepath.Join(dir, name)
	}
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", livePrograms, "write", string(text))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatalf("%v (apt-get install python3)", err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatalf("a writer of %v does not begin: %v", j.Databases, err)
	}
	return cmd
}

// more returns when each ledger has so many transactions more.
func (c *liveCrewOf) more(n int) { c.x.t.Helper(); c.await(c.x.ledgers, n) }

func (c *liveCrewOf) await(ledgers map[string]*ledger, n int) {
	c.x.t.Helper()
	var mine []*ledger
	was := map[string]int{}
	for _, l := range c.ledgers() {
		l = ledgers[l.path]
		c.x.must(l.load())
		mine = append(mine, l)
		was[l.path] = len(l.acked)
	}
	eventually(c.x.t, "the programs write", func() error {
		for _, l := range mine {
			c.x.must(l.load())
			if got := len(l.acked) - was[l.path]; got < n {
				return fmt.Errorf("%s has %d transactions more", l.path, got)
			}
		}
		return nil
	})
}

// strike kills, now and then, one that is to be killed, in the middle of what it does.
func (c *liveCrewOf) strike() {
	for _, p := range c.procs {
		if p.cmd != nil && p.job.killed && c.x.rng.IntN(3) == 0 {
			c.x.did["killed writers"]++
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
			p.cmd = nil
		}
	}
}

// mend starts again, now and then, what was killed.
func (c *liveCrewOf) mend() {
	for _, p := range c.procs {
		if p.cmd == nil && c.x.rng.IntN(2) == 0 {
			c.begin(p)
		}
	}
}

// end ends the programs: some in order, which brings in the log, some or all by KILL, which
// leaves it.
func (c *liveCrewOf) end(kill bool) {
	c.x.t.Helper()
	for _, p := range c.procs {
		if p.cmd == nil {
			continue
		}
		if kill || c.x.rng.IntN(2) == 0 {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
			continue
		}
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		if err := p.cmd.Wait(); err != nil {
			c.x.t.Fatalf("a writer of %v failed: %v", p.job.Databases, err)
		}
	}
}
