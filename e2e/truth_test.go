package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// errNotDir is what a path below a file is answered with.
const errNotDir = syscall.ENOTDIR

// slowBase is what a log has before its first line.
const slowBase = 256 << 10

// TestTruth stops coltecd at random moments while programs write, in all the ways
// in which it is stopped, and goes on at another machine: what is there is a state
// at or after the last word that said so ("synced", "stopped", exit 0), or it is
// named in the account of what stayed behind.
//
// COLTEC_TRUTH is the number of stops, COLTEC_SEED repeats a run as far as chance
// allows. make soak-truth makes two hundred.
func TestTruth(t *testing.T) {
	t.Parallel()
	stops, seed := fromEnv(t, "COLTEC_TRUTH", 20), seedFromEnv(t)
	t.Logf("%d stops; COLTEC_SEED=%d repeats them as far as chance allows", stops, seed)
	x := newTruth(t, uint64(seed))
	x.m[0].start()
	var order []string
	for len(order) < stops {
		kinds := slices.Sorted(maps.Keys(endings))
		x.rng.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		order = append(order, kinds...)
	}
	for _, kind := range order[:stops] {
		x.stop(kind)
	}
	x.finish()
	t.Logf("stops: %v; words: %v; %d states of %d paths; silent: %v", x.did, x.words, x.states(), len(x.paths), x.lies)
	for _, story := range x.stories {
		t.Error(story)
	}
}

// truth is a run of stops.
type truth struct {
	t       *testing.T
	w       *world
	seed    uint64
	rng     *rand.Rand
	m       [2]*machine
	active  int
	round   int
	kind    string // of the stop
	dir     string // where the writers of this round work
	outside string // for journals
	read    map[string]int
	paths   map[string]*tracked // by replica and path
	recent  []string            // directories that are not removed yet
	emptied bool                // the pile was, and the deletions may wait for a decision
	aside   map[string]bool     // conflicts that were told
	did     map[string]int
	words   map[string]int
	lies    map[string]int
	stories []string
}

// storiesOfAKind is how many lies of a kind are told at length.
const storiesOfAKind = 2

func newTruth(t *testing.T, seed uint64) *truth {
	x := &truth{
		t: t, w: newWorld(t), seed: seed, rng: rand.New(rand.NewPCG(seed, 9)), outside: t.TempDir(), read: map[string]int{},
		paths: map[string]*tracked{}, aside: map[string]bool{}, did: map[string]int{}, words: map[string]int{}, lies: map[string]int{},
	}
	for i, name := range []string{"a", "b"} {
		m := x.w.machine(name)
		m.spec(truthSpec(m))
		x.m[i] = m
	}
	for n := range 40 {
		x.m[0].write(fmt.Sprintf("still/%d.txt", n), strings.Repeat(fmt.Sprint("still ", n, "\n"), 40))
	}
	return x
}

// truthSpec has a tree, and a second one that is small enough to be emptied.
func truthSpec(m *machine) func(*specOptions) {
	return func(o *specOptions) {
		o.TTL, o.Renew = "12s", "2s"
		o.Replicas[0].Watch = m.name == "a" // the other one has what its words brought, and no more
		o.Replicas[0].Exclude = append(o.Replicas[0].Exclude, "/pile/**")
		pile := m.replica("pile", m.path("pile"))
		pile.Watch = m.name == "a"
		o.Replicas = append(o.Replicas, pile)
	}
}

// roots are the trees of a machine by replica.
func (m *machine) root(replica string) string {
	if replica == "pile" {
		return m.path("pile")
	}
	return m.dir
}

func (x *truth) here() *machine  { return x.m[x.active] }
func (x *truth) there() *machine { return x.m[1-x.active] }

func (x *truth) states() int {
	n := 0
	for _, f := range x.paths {
		n += len(f.states)
	}
	return n
}

// pause waits for a random time: any moment will do.
func (x *truth) pause(least, most int) {
	<-time.After(time.Duration(least+x.rng.IntN(most-least)) * time.Millisecond)
}

// ending is how a stop ended: the word that was given, and when it was asked for.
type ending struct {
	asked int64
	word  bool // something was promised
	left  said // but for this
	held  bool // the lease could not be given back: the next machine cannot know
	text  string
}

// endings are the ways in which a machine stops.
var endings = map[string]func(*truth, *crew) ending{
	"stop":                func(x *truth, c *crew) ending { return x.inOrder(c, "60s") },
	"stop in a hurry":     func(x *truth, c *crew) ending { return x.inOrder(c, "1s") },
	"docker stop":         func(x *truth, c *crew) ending { return x.inOrder(c, "9s") },
	"TERM":                (*truth).term,
	"once":                (*truth).once,
	"kill, start, stop":   (*truth).killStartStop,
	"kill":                (*truth).killed,
	"takeover":            (*truth).takeover,
	"stop after takeover": (*truth).takeoverAndGoOn,
}

// stop is a round: programs write here, coltecd is stopped, and the other machine
// goes on.
func (x *truth) stop(kind string) {
	x.round++
	x.kind = kind
	x.did[kind]++
	x.prune()
	x.allowDeletions()
	if kind == "once" {
		x.quietStop()
	}
	c := x.crew()
	x.pause(150, 700)
	for range x.rng.IntN(3) {
		x.sync()
		x.pause(0, 300)
	}
	e := endings[kind](x, c)
	c.end()
	x.load()
	if e.word {
		x.word(e)
	}
	if kind != "takeover" && kind != "stop after takeover" {
		x.open(x.there())
	}
	x.compare(x.there(), x.here(), e)
	x.heard(x.there(), x.here(), e)
	if kind == "takeover" || kind == "stop after takeover" {
		x.stopWaiting(e)
	}
	x.active = 1 - x.active
}

// open has a machine restored.
func (x *truth) open(m *machine) {
	x.t.Helper()
	if out, talk, code := m.run("start", "--wait"); code != 0 && code != 6 {
		x.t.Fatalf("round %d, %s: %s does not start: exit %d\n%s%s", x.round, x.kind, m.name, code, out, talk)
	}
}

// crew are the writers of a round.
type crew struct {
	x     *truth
	cmds  []*exec.Cmd
	ready []io.Reader // what they say once TERM does them no harm
	mode  string
}

// whiles are what programs do when coltecd is stopped.
var whiles = []string{"they go on", "they go on", "they are frozen", "they have ended"}

// crew starts the writers in a new directory, or in that of the last round where
// that is here as it was left.
func (x *truth) crew() *crew {
	x.t.Helper()
	if x.dir == "" || !x.complete(x.dir+"/") || x.rng.IntN(2) == 0 {
		x.dir = fmt.Sprintf("r%03d", x.round)
		x.recent = append(x.recent, x.dir)
	}
	c := &crew{x: x, mode: whiles[x.rng.IntN(len(whiles))]}
	for _, kind := range usual {
		c.start(kind, x.here().dir, x.dir+"/"+kind)
	}
	if x.completePile() {
		kind := "pile"
		if x.rng.IntN(3) == 0 {
			kind, x.emptied = "empty", true
		}
		c.start(kind, x.here().path("pile"), "p")
	}
	c.begun()
	return c
}

// begun waits until all writers write.
func (c *crew) begun() {
	c.x.t.Helper()
	for _, ready := range c.ready {
		if _, err := ready.Read(make([]byte, 1)); err != nil {
			c.x.t.Fatal("a writer does not begin: ", err)
		}
	}
}

// start starts a writer.
func (c *crew) start(kind, tree, dir string) {
	c.x.t.Helper()
	outside := filepath.Join(filepath.Dir(c.x.here().dir), "outside")
	c.x.must(os.MkdirAll(outside, 0o755))
	c.x.must(os.MkdirAll(tree, 0o755))
	job, err := json.Marshal(writerJob{
		Kind: kind, Tree: tree, Dir: dir, Outside: outside, Journal: c.x.journal(tree == c.x.here().path("pile"), dir), Seed: c.x.rng.Uint64(),
	})
	c.x.must(err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerVariable+"="+string(job))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	ready, err := cmd.StdoutPipe()
	c.x.must(err)
	c.x.must(cmd.Start())
	c.ready = append(c.ready, ready)
	c.cmds = append(c.cmds, cmd)
	c.x.t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
}

func (x *truth) must(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
}

// journal is where the states of a directory are written down.
func (x *truth) journal(pile bool, dir string) string {
	name := "workspace"
	if pile {
		name = "pile"
	}
	return filepath.Join(x.outside, name+"|"+strings.ReplaceAll(dir, "/", "|"))
}

// settle does what the mode says before coltecd is stopped.
func (c *crew) settle() {
	switch c.mode {
	case "they have ended":
		c.end()
	case "they are frozen":
		c.signal(syscall.SIGSTOP)
	}
}

func (c *crew) signal(s syscall.Signal) {
	for _, cmd := range c.cmds {
		if err := syscall.Kill(-cmd.Process.Pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			c.x.t.Fatal(err)
		}
	}
}

// end ends the writers, each with the state under way complete.
func (c *crew) end() {
	c.x.t.Helper()
	c.signal(syscall.SIGCONT)
	for _, cmd := range c.cmds {
		_ = cmd.Process.Signal(syscall.SIGTERM) // not to the group: git goes on to its end
	}
	for _, cmd := range c.cmds {
		if err := cmd.Wait(); err != nil {
			c.x.t.Fatalf("a writer failed: %v", err)
		}
	}
	c.cmds = nil
}

// inOrder is coltecd stop.
func (x *truth) inOrder(c *crew, timeout string) ending {
	x.t.Helper()
	c.settle()
	e := ending{asked: clockNow()}
	out, talk, code := x.here().run("stop", "--timeout", timeout)
	e.text = out + talk
	return x.ended(e, "stop", code)
}

// outOfTime is what is said by a stop that cannot tell what it left.
const outOfTime = "did not end in time"

// ended reads what a verb said at its end: 0 promises all, 6 all but the account, and
// any other code nothing. The account is in the head, or, where the lease could not be
// given back any more, in the last status of the machine.
func (x *truth) ended(e ending, verb string, code int) ending {
	x.t.Helper()
	x.words[fmt.Sprintf("%s %d", verb, code)]++
	var state store.HeadState
	e.left, state = x.w.leftBy(x.here())
	e.word = code == 0 || code == 6 && !strings.Contains(e.text, outOfTime)
	e.text = fmt.Sprintf("%s: exit %d, head %s: %s", verb, code, state, e.text)
	if e.held = state == store.Held; e.held {
		e.left = x.here().lastAccount()
	}
	switch {
	case code == 0 && e.held:
		x.lie("exit 0 while the lease is still held", e.text)
	case code == 0 && !e.left.empty():
		x.lie("exit 0 while the account says that something stayed", e.text+"\n"+e.left.String())
	case e.word && code == 6:
		x.namesIn(e.text, e.left, verb+" does not name what the account says stayed")
	}
	return e
}

// namesIn holds that a text has the first name of each part.
func (x *truth) namesIn(text string, left said, what string) {
	x.t.Helper()
	if left.empty() {
		x.lie(what, text)
	}
	for _, parts := range left {
		for _, p := range parts {
			if len(p.Names) > 0 && !strings.Contains(text, p.Names[0]) {
				x.lie(what, fmt.Sprintf("%s\n%q is not in it", text, p.Names[0]))
			}
		}
	}
}

// term is TERM to coltecd itself, and KILL to all of it after 9 s, as docker stop
// does to what has no trap.
func (x *truth) term(c *crew) ending {
	x.t.Helper()
	m := x.here()
	i, ok := m.instance()
	if !ok {
		x.t.Fatalf("round %d: coltecd does not run at %s", x.round, m.name)
	}
	m.left = append(m.left, below(i.PID)...)
	c.settle()
	e := ending{asked: clockNow()}
	keeper, self := processOf(i.Keeper), processOf(i.PID)
	x.must(syscall.Kill(i.PID, syscall.SIGTERM))
	deadline := time.Now().Add(9 * time.Second)
	if !self.awaitEnd(time.Until(deadline)) || !keeper.awaitEnd(time.Until(deadline)) {
		keeper.kill()
		self.kill()
		self.awaitEnd(patience)
		x.words["TERM, killed"]++
		e.text = "killed 9 s after TERM"
		return e
	}
	left, state := x.w.leftBy(m)
	e.word, e.left = state != store.Held, left
	e.text = fmt.Sprintf("TERM: head %s; log:\n%s", state, lastLines(m.log(), 6))
	if !left.empty() {
		x.words["TERM, left"]++
		x.namesIn(lastLines(m.log(), 6), left, "the last lines of the log do not say what stays")
	} else {
		x.words["TERM, all"]++
	}
	return e
}

func lastLines(text string, n int) string {
	lines := strings.SplitAfter(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}

// quietStop stops coltecd while nobody writes.
func (x *truth) quietStop() {
	x.t.Helper()
	e := ending{asked: clockNow()}
	out, talk, code := x.here().run("stop", "--timeout", "150s")
	e.text = out + talk
	if e = x.ended(e, "stop", code); e.word {
		x.word(e)
	}
}

// once is a whole session without coltecd in the background.
func (x *truth) once(c *crew) ending {
	x.t.Helper()
	c.settle()
	e := ending{asked: clockNow()}
	out, talk, code := x.here().run("run", "--once")
	e.text = out + talk
	return x.ended(e, "run --once", code)
}

// killStartStop stops what was just started after a kill.
func (x *truth) killStartStop(c *crew) ending {
	x.t.Helper()
	x.here().kill9()
	x.here().must("start")
	x.pause(90, 110)
	return x.inOrder(c, "30s")
}

// killed gives no word. Every other time the next machine does not wait for the lease
// to run out.
func (x *truth) killed(c *crew) ending {
	x.t.Helper()
	c.settle()
	x.here().kill9()
	if x.did[x.kind]%2 == 0 {
		x.there().must("start")
		x.there().must("takeover", "--force")
	}
	return ending{asked: clockNow(), text: "killed"}
}

// takeover has the other machine ask for the lease.
func (x *truth) takeover(c *crew) ending {
	x.t.Helper()
	x.there().must("start")
	c.settle()
	e := ending{asked: clockNow()}
	ctx, cancel := context.WithTimeout(context.Background(), patience/2)
	defer cancel()
	out, err := x.there().command(ctx, "takeover").CombinedOutput()
	e.text = fmt.Sprintf("takeover: %v: %s", err, out)
	if err != nil { // on a machine that is too busy to renew its lease a request may be lost
		x.words["takeover, forced"]++
		x.there().must("takeover", "--force")
		x.open(x.there())
		return e
	}
	x.open(x.there()) // returns when it is restored
	e.left, _ = x.w.leftBy(x.here())
	e.word = true
	x.words[fmt.Sprintf("takeover, all %v", e.left.empty())]++
	return e
}

// takeoverAndGoOn has the writers go on for a while after the lease went, so that
// the old holder has something that the bucket cannot have.
func (x *truth) takeoverAndGoOn(c *crew) ending {
	x.t.Helper()
	c.mode = whiles[0]
	e := x.takeover(c)
	x.pause(100, 400)
	return e
}

// stopWaiting stops the old holder after a takeover: what it wrote since is here
// alone, and it must say so.
func (x *truth) stopWaiting(e ending) {
	x.t.Helper()
	m := x.here()
	before := m.onlyHere()
	out, talk, code := m.run("stop", "--timeout", "30s")
	x.words[fmt.Sprintf("stop without the lease %d", code)]++
	text := fmt.Sprintf("stop without the lease: exit %d: %s%s", code, out, talk)
	if code != 0 {
		return
	}
	for _, f := range x.sorted() {
		if f.owner != m {
			continue
		}
		found, err := f.find(x.there().root(f.replica))
		x.must(err)
		if !f.same(found) {
			x.lie("stop without the lease says 0", fmt.Sprintf("%s of %s: its last state %d is only here\n%s\naccount before: %s", f.path, m.name, len(f.states), text, before))
			return
		}
	}
}

// sync asks for a cycle, and takes it at its word.
func (x *truth) sync() {
	x.t.Helper()
	m := x.here()
	if _, ok := m.instance(); !ok {
		return
	}
	e := ending{asked: clockNow()}
	out, talk, code := m.run("sync")
	x.words[fmt.Sprintf("sync %d", code)]++
	e.text = fmt.Sprintf("sync: exit %d: %s%s", code, out, talk)
	switch code {
	case 0:
	case 6:
		if e.left = m.onlyHere(); e.left.unnamed("workspace")+e.left.unnamed("pile") > 0 {
			return
		}
	default:
		return
	}
	x.load()
	x.word(e)
}

// word takes a machine at its word: what it made before it was asked is in the
// bucket, but for what it names.
func (x *truth) word(e ending) {
	for _, f := range x.paths {
		if f.owner == x.here() && !e.left.excuses(f) {
			f.floor = max(f.floor, f.at(e.asked))
		}
	}
}

// load reads what the journals have that is new.
func (x *truth) load() {
	x.t.Helper()
	files, err := filepath.Glob(filepath.Join(x.outside, "*"))
	x.must(err)
	for _, file := range files {
		replica, _, _ := strings.Cut(filepath.Base(file), "|")
		info, err := os.Stat(file)
		x.must(err)
		from := x.read[file]
		if int(info.Size()) == from {
			continue
		}
		for _, m := range readJournal(file, &from) {
			x.add(replica, m)
		}
		x.read[file] = from
	}
}

func (x *truth) add(replica string, m made) {
	x.t.Helper()
	key := replica + ":" + m.Path
	f := x.paths[key]
	if f == nil {
		f = &tracked{replica: replica, path: m.Path}
		x.paths[key] = f
	}
	f.owner = x.here()
	x.must(f.add(m))
}

func (x *truth) sorted() (all []*tracked) {
	for _, key := range slices.Sorted(maps.Keys(x.paths)) {
		all = append(all, x.paths[key])
	}
	return all
}

// compare holds what a machine has after its restore to the words that were given.
// What was made there, and was never anywhere else, must be as it was left.
func (x *truth) compare(there, from *machine, e ending) {
	x.t.Helper()
	excused := map[string]int{}
	for _, f := range x.sorted() {
		found, err := f.find(there.root(f.replica))
		x.must(err)
		if f.owner == there {
			if own := (&tracked{states: f.states, floor: f.at(clockNow()), path: f.path}); !f.told && own.holds(found) != "" {
				f.told = true
				x.lie("a local state was lost", fmt.Sprintf("%s:%s at %s %s", f.replica, f.path, there.name, own.holds(found)))
			}
			continue
		}
		wrong := f.holds(found)
		if wrong == "" || f.told {
			continue
		}
		if excused[f.replica] < e.left.unnamed(f.replica) {
			excused[f.replica]++
			f.floor = 0
			continue
		}
		f.told = true
		x.lie(fmt.Sprintf("%s: %s %s", x.kind, f.last().Form, class(wrong)), fmt.Sprintf("%s:%s, made at %s, at %s %s\n%s  asked at %s; %s\n  account: %s",
			f.replica, f.path, from.name, there.name, wrong, f.story(), shortTime(e.asked), e.text, e.left))
	}
	x.nothingElse(there)
}

// class is a lie in a word.
func class(wrong string) string {
	switch {
	case strings.HasPrefix(wrong, "is not there"):
		return "missing"
	case strings.HasPrefix(wrong, "is at state"), strings.HasPrefix(wrong, "lacks"):
		return "older"
	}
	return "torn"
}

// nothingElse holds that a machine has no path that nobody made, and no conflict:
// no two machines edit the same.
func (x *truth) nothingElse(m *machine) {
	x.t.Helper()
	for _, dir := range x.recent {
		_ = filepath.WalkDir(m.path(dir), func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				if err == nil && d.Name() == ".git" {
					return fs.SkipDir
				}
				return nil
			}
			rel := p[len(m.dir)+1:]
			if f := x.paths["workspace:"+rel]; f == nil {
				x.lie("a path that nobody made", rel)
			}
			return nil
		})
	}
	for path := range kept(x.t, m.dir, "conflicts") {
		if !x.aside[path] {
			x.aside[path] = true
			x.lie("a conflict where nobody edited what another did", path+" at "+m.name)
		}
	}
}

// heard holds that the next machine says what the one before left.
func (x *truth) heard(there, from *machine, e ending) {
	x.t.Helper()
	if e.left.empty() || e.held {
		return
	}
	var doc status.Document
	out, _, _ := there.run("status", "--json")
	x.must(json.Unmarshal([]byte(out), &doc))
	for replica, parts := range e.left {
		for _, p := range parts {
			if len(p.Names) == 0 {
				continue
			}
			if !slices.ContainsFunc(doc.Attention, func(s string) bool { return strings.Contains(s, from.name) && strings.Contains(s, p.Names[0]) }) {
				x.lie("the next machine does not say what stayed", fmt.Sprintf("%s: %s on %s\nattention: %q", replica, p, from.name, doc.Attention))
			}
		}
	}
}

// lie notes what was not so.
func (x *truth) lie(what, story string) {
	x.lies[what]++
	if x.lies[what] <= storiesOfAKind {
		x.stories = append(x.stories, fmt.Sprintf("round %d (COLTEC_SEED=%d), %s → %s, %q: %s\n  %s",
			x.round, x.seed, x.here().name, x.there().name, x.kind, what, story))
	}
}

// complete reports whether all of a directory is here as it was left, so that
// somebody may go on with it here.
func (x *truth) complete(prefix string) bool {
	x.t.Helper()
	for _, f := range x.paths {
		if f.replica != "workspace" || !strings.HasPrefix(f.path, prefix) {
			continue
		}
		if found, err := f.find(x.here().dir); err != nil || f.told || !f.same(found) {
			return false
		}
	}
	return true
}

func (x *truth) completePile() bool {
	x.t.Helper()
	for _, f := range x.paths {
		if f.replica == "pile" {
			if found, err := f.find(x.here().path("pile")); err != nil || f.told || !f.same(found) {
				return false
			}
		}
	}
	return true
}

// allowDeletions gives the word that an emptied pile may wait for.
func (x *truth) allowDeletions() {
	x.t.Helper()
	m := x.here()
	if !x.emptied || slices.ContainsFunc(x.sorted(), func(f *tracked) bool { return f.replica == "pile" && f.owner != m }) {
		return
	}
	x.emptied = false
	out, talk, code := m.run("sync", "--allow-delete", "pile")
	x.words[fmt.Sprintf("sync --allow-delete %d", code)]++
	if code != 0 && code != 6 {
		x.lie("sync --allow-delete fails", out+talk)
	}
}

// keptDirs is how many directories of the writers are kept: more than is ever
// deleted at once, so that the brake is not met by chance.
const keptDirs = 5

// prune removes the oldest directory of the writers, where it is here as it was left.
func (x *truth) prune() {
	x.t.Helper()
	if len(x.recent) <= keptDirs || x.recent[0] == x.dir || !x.complete(x.recent[0]+"/") {
		return
	}
	prefix := x.recent[0] + "/"
	x.recent = x.recent[1:]
	now := clockNow()
	var gone []made
	for _, f := range x.sorted() {
		if f.replica == "workspace" && strings.HasPrefix(f.path, prefix) && f.last().Form != formCommits && !strings.Contains(f.path, "/repo/") {
			gone = append(gone, made{Path: f.path, N: len(f.states) + 1, Form: formTruncated, Key: f.path, At: now})
		}
	}
	maps.DeleteFunc(x.paths, func(_ string, f *tracked) bool {
		return f.replica == "workspace" && strings.HasPrefix(f.path, prefix) && (f.last().Form == formCommits || strings.Contains(f.path, "/repo/"))
	})
	for _, m := range gone {
		x.add("workspace", m)
	}
	x.must(os.RemoveAll(x.here().path(prefix)))
	for _, m := range gone {
		m.Done, m.At = true, clockNow()
		x.add("workspace", m)
	}
}

// finish brings both machines together: each path is in its last state on both.
func (x *truth) finish() {
	x.t.Helper()
	x.kind = "the end"
	x.quietStop()
	for range 2 {
		for range x.m {
			x.active = 1 - x.active
			x.open(x.here())
			x.here().run("sync", "--allow-delete")
			x.here().run("stop", "--timeout", "150s")
		}
	}
	for _, m := range x.m {
		for _, f := range x.sorted() {
			found, err := f.find(m.root(f.replica))
			x.must(err)
			if !f.told && f.last().done != 0 && !f.same(found) {
				f.floor = len(f.states)
				x.lie("the machines do not converge", fmt.Sprintf("%s:%s at %s %s\n%s", f.replica, f.path, m.name, f.holds(found), f.story()))
			}
		}
		x.nothingElse(m)
	}
}
