package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/replica/replicatest"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/coltec/coltec/pkg/watch"
)

// model is one history: machines around one bucket, on one thread of events.
// Where two engines run at once, one is held before an operation while events
// of the others take place, and goes on after.
type model struct {
	seed   uint64
	rnd    *rand.Rand
	dir    string
	backs  backing
	clock  modelClock // the true time; the bucket's clock shows it
	places []*place
	runs   map[string]*run // all that ever were
	stack  []*run          // that are held, outermost first; the last one runs
	mutant string          // the rule that is broken on purpose
	still  bool            // settling: no faults, no edits, no deaths
	plans  int             // events within events
	paths  []string        // at which people work

	counter int
	log     []string
	bad     []string
	checker
	rewinds
}

// backing is what the machines share: a bucket in memory, or a real server.
type backing interface {
	// remote is what a machine's rclone reaches: the root, or a replica's prefix.
	remote(target scope.Target) (scope.Remote, error)
	advance(d time.Duration)
	body(key string) []byte // of an object, from the root; nil when there is none
	inject(rnd *rand.Rand)
	land() // what was sent late arrives
	heal()
	drop(key string) // removes an object behind everybody's back
}

// memory is a bucket in memory.
type memory struct{ *storetest.Bucket }

func (m memory) remote(t scope.Target) (scope.Remote, error) {
	if t.Replica == "" {
		return m.Bucket, nil
	}
	b := m.Bucket.At(modelPrefix)
	if t.Plain {
		b = b.Metadata()
	}
	return b, nil
}
func (m memory) advance(d time.Duration) { m.Bucket.Advance(d) }
func (m memory) body(key string) []byte  { return m.Bucket.Body(key) }
func (m memory) land()                   { m.Bucket.Land() }
func (m memory) heal()                   { m.Bucket.Heal() }
func (m memory) drop(key string)         { m.Bucket.Drop(key) }
func (m memory) inject(rnd *rand.Rand) {
	kinds := []storetest.Kind{storetest.Before, storetest.After, storetest.Halfway, storetest.Late}
	classes := []rclone.Class{rclone.Server, rclone.Throttled, rclone.Unreachable}
	f := storetest.Fault{
		Kind: kinds[rnd.IntN(len(kinds))], Class: classes[rnd.IntN(len(classes))], Skip: rnd.IntN(6), Times: 1 + rnd.IntN(2),
	}
	if rnd.IntN(2) == 0 { // the head is the heart
		f.Op, f.Key, f.Skip = storetest.Put, "head.json", rnd.IntN(3)
	}
	m.Bucket.Inject(f)
}

const (
	modelPrefix = "p/ws"
	modelTTL    = time.Minute
)

var modelHead = store.HeadKey("o/p/e")

// place is a machine with its tree.
type place struct {
	name  string
	path  string
	shape replicatest.Shape
	skew  time.Duration // of its wall clock
	run   *run          // nil: nothing runs
	used  bool          // has a tree
	bare  bool          // whose tree is opened as the program does: nothing happens between its operations
	told  watch.Touched // what a watch would tell of edits since it told last

	// What the checker knows of it.
	present map[string]bool // content that must not vanish
	touched map[string]bool // paths that the user changed since the last agreement
	agreed  int64           // the generation that the tree last showed; -1: none, or the base is lost
	here    map[string]bool // content as last seen
	edits   int
	inode   uint64
}

// run is one run of the program.
type run struct {
	m      *model
	id     string
	at     *place
	e      *Engine
	dead   bool
	over   chan struct{} // closed: the history has ended, a dead run unwinds
	ended  bool
	died   chan struct{} // closed when it dies in the step under way
	left   chan struct{} // of the step in which it died: closed when all of it has returned
	ticks  chan time.Time
	inWork bool // the engine waits beside work of its own
	inTick bool
	ops    int // operations in this step
	plan   interruption

	turns   int64 // the generation that a rewind under way leads to; 0: none is
	turning bool  // its tree is made, and no generation was committed since
	untold  bool  // its watch has kept something from it
}

// interruption is what happens in the middle of a step.
type interruption struct {
	at int // before which operation; 0: never
	do func()
}

func (m *model) say(format string, args ...any) {
	m.log = append(m.log, fmt.Sprintf("%*s", 2*len(m.stack), "")+fmt.Sprintf(format, args...))
}

func (m *model) broken(format string, args ...any) {
	m.bad = append(m.bad, fmt.Sprintf(format, args...))
	m.say("BROKEN: "+format, args...)
}

// must is for the model's own hands.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// modelClock is the true time of a model: a run's loop and its worker read it.
type modelClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *modelClock) read() time.Time { return c.add(0) }

// add lets time pass, and reads the clock.
func (c *modelClock) add(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return c.now
}

// pass lets time pass, everywhere.
func (m *model) pass(d time.Duration) {
	m.clock.add(d)
	m.backs.advance(d)
}

// newModel makes the world of a history.
func newModel(seed uint64, backs backing, dir, mutant string) *model {
	m := &model{
		seed: seed, rnd: rand.New(rand.NewPCG(seed, 4)), dir: dir, backs: backs, mutant: mutant,
		clock: modelClock{now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}, runs: map[string]*run{}, checker: newChecker(), rewinds: rewinds{to: map[string]int64{}},
	}
	return m
}

// places makes the machines.
func (m *model) settleIn() {
	shapes := []replicatest.Shape{
		{Folds: true}, {Decomps: true}, {NoModes: true}, {Grain: time.Second}, {Grain: 2 * time.Second}, {NoLinks: true},
		{Folds: true, Decomps: true, NoModes: true, Grain: time.Second, NoLinks: true},
	}
	odd := m.rnd.IntN(2) == 0
	if m.paths = modelPaths; m.rnd.IntN(4) == 0 {
		m.paths = modelDirectory
	}
	for i := range 2 + min(m.rnd.IntN(4), m.rnd.IntN(4)) {
		p := &place{
			name: string(rune('A' + i)), present: map[string]bool{}, touched: map[string]bool{}, agreed: -1,
		}
		p.path = filepath.Join(m.dir, p.name)
		if odd && i > 0 && m.rnd.IntN(2) == 0 {
			p.shape = shapes[m.rnd.IntN(len(shapes))]
		}
		p.bare, p.told = shapeText(p.shape) == shapeText(replicatest.Shape{}) && m.rnd.IntN(2) == 0, watch.Touched{}
		if m.rnd.IntN(2) == 0 {
			p.skew = time.Duration(m.rnd.IntN(7200)-3600) * time.Second
		}
		if p.used = i < 2 || m.rnd.IntN(2) == 0; p.used {
			must(os.Mkdir(p.path, 0o755))
		}
		m.places = append(m.places, p)
		m.say("%s: shape %+v, skew %s, there %v", p.name, shapeText(p.shape), p.skew, p.used)
	}
}

func shapeText(s replicatest.Shape) string {
	return fmt.Sprintf("{folds %v decomps %v noModes %v noLinks %v grain %s}", s.Folds, s.Decomps, s.NoModes, s.NoLinks, s.Grain)
}

// start starts the program at a place.
func (m *model) start(p *place) *run {
	r := &run{m: m, id: fmt.Sprintf("%s%d", p.name, len(m.runs)), at: p, over: make(chan struct{}), ticks: make(chan time.Time)}
	m.runs[r.id] = r
	p.run = r
	if m.mutant == "base forgotten" {
		_ = os.Remove(filepath.Join(p.path, localfs.Dir, "base"))
	}
	if !p.used {
		must(os.MkdirAll(p.path, 0o755))
		p.used = true
	}
	p.inode = inodeOf(p.path)
	e := New(m.options(r))
	e.clock = clock{
		Clock:  store.Clock{Now: r.wall, Boot: r.boot},
		random: func() float64 { return 0.5 },
		ticker: func(time.Duration) (<-chan time.Time, func()) {
			r.inWork = true
			return r.ticks, func() { r.inWork = false }
		},
		beside: func(f func()) { f() },
		files:  r.files,
	}
	e.rules.Small = eager
	m.mayRewind(r, e)
	r.e = e
	m.say("%s starts", r.id)
	return r
}

func (m *model) options(r *run) Options {
	p := r.at
	return Options{
		Workspace: status.Workspace{Org: "o", Project: "p", Env: "e", Name: "e"},
		Self: store.Holder{
			Host: p.name, Container: p.name, Instance: r.id, Place: fmt.Sprint(p.inode),
		},
		HeadRoot: func() string { return "s3:b" },
		Connect: func(_ context.Context, t scope.Target) (scope.Remote, error) {
			remote, err := m.backs.remote(t)
			return &wire{Remote: remote, r: r, root: t.Replica == ""}, err
		},
		Dead:     func(h store.Holder) bool { d := m.runs[h.Instance]; return d != nil && (d.dead || d.at.run != d) },
		LeaseTTL: modelTTL, LeaseRenew: 20 * time.Second, StopTimeout: time.Minute, KeepReplaced: 24 * time.Hour,
		Conflicted: func(_ string, paths []string) {
			if r.ended {
				return
			}
			m.checkConflicts(p, paths)
			if m.mutant == "conflicts thrown away" {
				_ = os.RemoveAll(filepath.Join(p.path, localfs.Dir, "conflicts"))
			}
		},
		Replicas: []scope.Replica{{
			Name: "ws", Path: p.path, Remote: "primary:b/" + modelPrefix, Direction: scope.Bidirectional, Layout: "snapshot",
			Interval: 10 * time.Second, Filter: &filter.Filter{},
		}},
	}
}

// wall is the machine's wall clock. It ticks when it is read, so that no two
// moments have one name.
func (r *run) wall() time.Time {
	if r.ended {
		return r.m.clock.read().Add(r.at.skew)
	}
	return r.m.clock.add(time.Millisecond).Add(r.at.skew)
}

func (r *run) boot() time.Duration {
	if r.m.mutant == "never expires" {
		return time.Hour
	}
	return r.m.clock.read().Sub(time.Date(2029, 12, 31, 0, 0, 0, 0, time.UTC))
}

// files opens the tree of a run.
func (r *run) files(path string) (localfs.FileSystem, error) {
	shape := r.at.shape
	shape.Before = func(op, path string) { _ = r.reach(op + " " + path) }
	if r.m.mutant == "probe lies" {
		return lyingProbe(shape, path)
	}
	files, err := shape.Open(path)
	switch {
	case err != nil:
	case r.at.bare && r.m.mutant == "":
		files.Close()
		return localfs.OpenRoot(path, "", 0)
	case r.m.mutant == "modes not placed":
		return forgetful{files}, nil
	case r.m.mutant == "restless times":
		return &restless{FileSystem: files, rnd: r.m.rnd}, nil
	}
	return files, err
}

// errOver is what a dead run meets when it unwinds.
var errOver = fmt.Errorf("the history is over")

// reach is called before each operation of a run, and after each of a bucket.
// What is planned for the middle of the step takes place here.
func (r *run) reach(what string) error {
	if r.ended {
		return errOver
	}
	r.ops++
	if r.plan.at == 0 || r.ops < r.plan.at || r.inTick {
		return nil
	}
	do := r.plan.do
	r.plan = interruption{}
	r.m.say("%s, before %q:", r.id, what)
	do()
	if r.ended {
		return errOver
	}
	return nil
}

// die ends a run where it is: nothing of it happens any more. It returns when
// the history is over, so that what the run holds can be given back.
func (r *run) die() {
	if r.dead {
		return
	}
	r.m.say("%s dies", r.id)
	r.dead = true
	close(r.died)
	<-r.over
}

// held has other events take place while a run is held, as a machine that
// sleeps or a process that is stopped.
func (r *run) held() {
	m := r.m
	m.plans++
	m.say("%s is held", r.id)
	switch m.rnd.IntN(4) {
	case 0:
	case 1:
		m.pass(time.Duration(1+m.rnd.IntN(20)) * time.Second)
	default:
		m.pass(time.Duration(30+m.rnd.IntN(300)) * time.Second)
	}
	for range 1 + m.rnd.IntN(3) {
		m.event()
	}
	m.plans--
	m.say("%s goes on", r.id)
	if r.inWork && m.rnd.IntN(2) == 0 {
		// Its own timer is the first to notice, and has done what it does
		// when the second tick is taken.
		r.inTick = true
		r.ticks <- m.clock.read()
		r.ticks <- m.clock.read()
		r.inTick = false
	}
}

// drive has a run do something, up to its end or its death.
func (m *model) drive(r *run, what string, do func(e *Engine)) {
	p := r.at
	m.say("%s: %s", r.id, what)
	r.died, r.left, r.ops = make(chan struct{}), make(chan struct{}), 0
	if !m.still {
		m.plot(r)
	}
	before := p.agreement()
	m.stack = append(m.stack, r)
	go func() {
		defer close(r.left)
		do(r.e)
	}()
	select {
	case <-r.left:
	case <-r.died:
		p.run = nil
	}
	m.stack = m.stack[:len(m.stack)-1]
	r.plan = interruption{}
	m.disarm()
	m.checkStep(p, before)
}

// plot plans what happens in the middle of a step.
func (m *model) plot(r *run) {
	at := 1 + m.rnd.IntN(1+m.rnd.IntN(60))
	switch n := m.rnd.IntN(100); {
	case n < 8:
		r.plan = interruption{at, r.die}
	case n < 14:
		m.arm(modelPoints[m.rnd.IntN(len(modelPoints))], 1+m.rnd.IntN(2))
	case n < 30 && m.plans < 2:
		r.plan = interruption{at, r.held}
	case n < 38:
		r.plan = interruption{at, func() { m.edit(r.at) }}
	}
	if m.rnd.IntN(5) == 0 {
		m.backs.inject(m.rnd)
	}
}

// modelPoints are the killpoints that a snapshot reaches.
var modelPoints = pointsOf("lease:", "acquire:", "push:", "commit:", "place:", "base:", "journal:", "restore:", "collect:repacked", "checkpoint:", "rewind:")

func pointsOf(prefixes ...string) []string {
	var out []string
	for _, name := range killpoint.Names() {
		for _, p := range prefixes {
			if strings.HasPrefix(name, p) {
				out = append(out, name)
			}
		}
	}
	return out
}

// armed is the killpoint that waits; one process runs one history at a time.
var armed string

func (m *model) arm(point string, turn int) {
	m.disarm()
	armed = point
	killpoint.Arm(point, int64(turn), func() {
		r := m.stack[len(m.stack)-1]
		if r.ended {
			return
		}
		m.say("%s, at %s:", r.id, point)
		r.die()
	})
}

func (m *model) disarm() {
	if armed != "" {
		killpoint.Arm(armed, 0, func() {})
		armed = ""
	}
}

// end gives back what the history holds. Dead runs unwind through errors, in
// a tree that is gone.
func (m *model) end() {
	must(makeRemovable(m.dir))
	for _, r := range m.runs {
		r.ended = true
		if !r.dead {
			r.e.close()
			continue
		}
		close(r.over)
		if r.left != nil {
			<-r.left
		}
		r.e.close()
	}
	must(makeRemovable(m.dir))
}

func makeRemovable(dir string) error {
	if os.RemoveAll(dir) == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}

// wire is the way from a run to the bucket.
type wire struct {
	scope.Remote
	r    *run
	root bool
}

// op wraps one operation.
func (w *wire) op(what string, do func() error) error {
	if err := w.r.reach("bucket " + what); err != nil {
		return err
	}
	err := do()
	if over := w.r.reach("the answer to " + what); over != nil {
		return over
	}
	return err
}

func (w *wire) PutIf(ctx context.Context, key string, body []byte, cond rclone.Cond) error {
	return w.op("put "+key, func() error {
		head := w.root && key == modelHead
		if head {
			w.r.m.sends(w.r, body)
		} else {
			w.r.m.wrote(key)
		}
		err := w.put(ctx, key, body, cond, head)
		w.r.m.look()
		return err
	})
}

// put is where mutants break the rules of the head.
func (w *wire) put(ctx context.Context, key string, body []byte, cond rclone.Cond, head bool) error {
	m := w.r.m
	switch {
	case !head:
	case m.mutant == "conditions ignored":
		cond = rclone.Cond{}
	case m.mutant == "fenced writer publishes":
		if err := w.Remote.PutIf(ctx, key, body, cond); err != nil && w.r.at.name == "A" {
			return w.Remote.PutIf(ctx, key, body, rclone.Cond{})
		} else {
			return err
		}
	}
	return w.Remote.PutIf(ctx, key, body, cond)
}

func (w *wire) Get(ctx context.Context, key string, limit int64) (body []byte, err error) {
	err = w.op("get "+key, func() error { body, err = w.Remote.Get(ctx, key, limit); return err })
	return body, err
}

func (w *wire) Stat(ctx context.Context, key string) (o rclone.Object, err error) {
	err = w.op("stat "+key, func() error { o, err = w.Remote.Stat(ctx, key); return err })
	return o, err
}

func (w *wire) Upload(ctx context.Context, dir string, keys []string, p store.Progress) (t rclone.Transfer, err error) {
	err = w.op("upload "+strings.Join(keys, " "), func() error {
		w.r.m.wrote(keys...)
		t, err = w.Remote.Upload(ctx, dir, keys, p)
		if w.r.m.mutant == "upload loses" && w.r.m.rnd.IntN(3) == 0 {
			w.r.m.backs.drop(modelPrefix + "/" + keys[0])
		}
		return err
	})
	return t, err
}

func (w *wire) Download(ctx context.Context, keys []string, dir string, p store.Progress) (t rclone.Transfer, err error) {
	err = w.op("download "+strings.Join(keys, " "), func() error { t, err = w.Remote.Download(ctx, keys, dir, p); return err })
	return t, err
}

func (w *wire) List(ctx context.Context, prefix string) (out []rclone.Object, err error) {
	err = w.op("list "+prefix, func() error { out, err = w.Remote.List(ctx, prefix); return err })
	return out, err
}

func (w *wire) Delete(ctx context.Context, keys []string) error {
	return w.op("delete "+strings.Join(keys, " "), func() error { return w.Remote.Delete(ctx, keys) })
}

func (w *wire) Probe(ctx context.Context, key string) (p rclone.ProbeResult, err error) {
	err = w.op("probe", func() error { p, err = w.Remote.Probe(ctx, key); return err })
	return p, err
}

// forgetful is a mutant: modes are not placed, and nothing says so.
type forgetful struct{ localfs.FileSystem }

func (f forgetful) Chmod(path string, mode uint32) error {
	if strings.HasPrefix(path, localfs.Dir+"/probe/") {
		return f.FileSystem.Chmod(path, mode)
	}
	return nil
}

// restless is a mutant: the times of files change by themselves.
type restless struct {
	localfs.FileSystem
	rnd *rand.Rand
}

func (f *restless) Walk(ctx context.Context, dir string, match localfs.Matcher) ([]localfs.Entry, []localfs.Unknown, error) {
	seen, unknown, err := f.FileSystem.Walk(ctx, dir, match)
	for i := range seen {
		if seen[i].Kind == 'l' {
			seen[i].MTime = f.rnd.Int64N(1e18)
		}
	}
	return seen, unknown, err
}

// liar is a mutant: a file system that is taken for a better one than it is.
type liar struct {
	localfs.FileSystem // the shape
	plain              localfs.FileSystem
}

func lyingProbe(shape replicatest.Shape, path string) (localfs.FileSystem, error) {
	bent, err := shape.Open(path)
	if err != nil {
		return nil, err
	}
	plain, err := replicatest.Shape{}.Open(path)
	return &liar{bent, plain}, err
}

func (l *liar) of(path string) localfs.FileSystem {
	if strings.HasPrefix(path, localfs.Dir+"/probe") {
		return l.plain
	}
	return l.FileSystem
}

func (l *liar) Close()                                    { l.FileSystem.Close(); l.plain.Close() }
func (l *liar) Forget()                                   { l.FileSystem.Forget(); l.plain.Forget() }
func (l *liar) Mkdir(path string, perm uint32) error      { return l.of(path).Mkdir(path, perm) }
func (l *liar) Chmod(path string, mode uint32) error      { return l.of(path).Chmod(path, mode) }
func (l *liar) SetTime(path string, ns int64) error       { return l.of(path).SetTime(path, ns) }
func (l *liar) Symlink(target, path string) error         { return l.of(path).Symlink(target, path) }
func (l *liar) Lstat(path string) (*localfs.Entry, error) { return l.of(path).Lstat(path) }
func (l *liar) Walk(ctx context.Context, dir string, match localfs.Matcher) ([]localfs.Entry, []localfs.Unknown, error) {
	return l.of(dir).Walk(ctx, dir, match)
}
