package engine

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/fleetcost"
	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/digest"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/coltec/coltec/pkg/watch"
)

// A fleet is many engines at once, each with its own Run, on one bucket in memory and in the
// time of a bubble of testing/synctest: trees, bases, plans, leases, renewals, commits and
// collections are real, and so is each file. Two things are not: the kernel tells of no change
// (a watch waits for a file descriptor, for which a bubble's clock does not go on), so a desk
// tells its engine what pkg/watch would, after the same times; and no rclone runs, so requests
// are counted as it makes them, to which TestFleetCounts holds the count.
//
//	go test ./engine -run 'TestFleet$' -fleet=FILE    measures all, for bench/fleet
var fleetFile = flag.String("fleet", "", "measure a fleet whole, and write the figures to this `FILE`")

// workload is what is done in a workspace.
type workload string

const (
	workIdle      workload = "idle"      // nobody does anything
	workDeveloper workload = "developer" // a file is saved each 30 seconds
	workAgents    workload = "agents"    // four agents write their conversations, and now and then a file
)

// workloads in the share that a fleet has of them: of five one is of agents, two are of
// developers, and two are idle.
var workloads = []workload{workAgents, workDeveloper, workIdle, workDeveloper, workIdle}

// simulation is the world of a simulation.
type simulation struct {
	t     *testing.T
	seed  uint64
	store *fleetStore
	limit int // requests a second, once all are up
	began time.Time
	dir   string
	desks []*desk
}

// The times of a workspace, as the spec and the daemon have them by default.
const (
	fleetTTL, fleetRenew   = 180 * time.Second, 60 * time.Second
	fleetInterval          = 300 * time.Second
	fleetGather            = 10 * time.Second // of a home: daemon.homePace
	fleetQuiet, fleetMost  = 2 * time.Second, watchMost
	fleetLatency           = 30 * time.Millisecond
	fleetFiles, fleetTalks = 40, 4
)

func newFleet(t *testing.T, seed uint64, limit int) *simulation {
	f := &simulation{t: t, seed: seed, limit: limit, dir: shm(t), store: &fleetStore{bucket: storetest.New(), latency: fleetLatency}}
	// The bucket's clock stands at 2030, a bubble's at 2000.
	must(waitFor(t.Context(), time.Until(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))))
	f.began = time.Now()
	f.store.at = f.began
	return f
}

// desk is one workspace, with who works there.
type desk struct {
	f     *simulation
	kind  workload
	name  string
	dir   string // the trees are below it
	e     *Engine
	rnd   *rand.Rand // of who works there
	spent spending
	tells map[*member]chan string // directories that changed
	ended chan error
	stop  context.CancelFunc

	mu        sync.Mutex
	waiting   map[*member][]time.Time // of writes that are not in the bucket
	saves     []time.Duration
	leaseless time.Duration
}

// desk makes a workspace, and does not start it.
func (f *simulation) desk(kind workload) *desk {
	n := len(f.desks)
	d := &desk{
		f: f, kind: kind, name: fmt.Sprintf("dev-%d", n), rnd: rand.New(rand.NewPCG(f.seed, uint64(n))),
		tells: map[*member]chan string{}, waiting: map[*member][]time.Time{}, ended: make(chan error, 1),
	}
	d.dir = filepath.Join(f.dir, d.name)
	for i := range fleetFiles {
		d.write("workspace", fmt.Sprintf("src%d/file%d.go", i%5, i), 400+d.rnd.IntN(4000))
	}
	must(os.MkdirAll(filepath.Join(d.dir, "home"), 0o755))
	d.e = New(d.options())
	chance, mu := rand.New(rand.NewPCG(f.seed, uint64(1000+n))), &sync.Mutex{}
	d.e.clock = clock{
		Clock:  store.Clock{Now: time.Now, Boot: func() time.Duration { return time.Since(f.began) }},
		random: func() float64 { mu.Lock(); defer mu.Unlock(); return chance.Float64() },
		ticker: realClock.ticker, beside: realClock.beside,
	}
	for _, m := range d.e.members {
		d.tells[m] = make(chan string, 64)
	}
	f.desks = append(f.desks, d)
	return d
}

func (d *desk) options() Options {
	o := Options{
		Workspace: status.Workspace{Org: "acme", Project: "widget", Env: d.name, Name: d.name},
		Self:      store.Holder{Host: d.name, Instance: store.NewID(), Place: d.dir},
		HeadRoot:  func() string { return "s3:bucket" },
		Connect: func(_ context.Context, t scope.Target) (scope.Remote, error) {
			under := fleetPrefix(d.name, t)
			return &fleetRemote{Remote: d.f.store.bucket.At(under), store: d.f.store, spent: &d.spent, under: under}, nil
		},
		LeaseTTL: fleetTTL, LeaseRenew: fleetRenew, StopTimeout: 50 * time.Second, KeepReplaced: 7 * 24 * time.Hour,
		Synced: func(name string) { d.synced(name) }, Announce: true,
	}
	for _, name := range []string{"home", "workspace"} {
		r := scope.Replica{
			Name: name, Path: filepath.Join(d.dir, name), Remote: "primary:bucket/" + name, Direction: scope.Bidirectional,
			Layout: "snapshot", Interval: fleetInterval, Filter: &filter.Filter{},
		}
		if name == "home" {
			if d.kind != workAgents {
				continue
			}
			r.Home, r.Gather = true, fleetGather
		}
		o.Replicas = append(o.Replicas, r)
	}
	return o
}

// fleetPrefix is where a target of a workspace lies in the bucket.
func fleetPrefix(env string, t scope.Target) string {
	if t.Replica == "" {
		return ""
	}
	return path.Join("workspaces/acme/widget", env, t.Replica)
}

// write makes a file of so many bytes, or makes one longer by them, now.
func (d *desk) write(tree, name string, size int) {
	at := filepath.Join(d.dir, tree, name)
	text := make([]byte, size)
	for i := range text {
		text[i] = "etaoin shrdlu\n"[d.rnd.IntN(14)]
	}
	mode := os.O_CREATE | os.O_WRONLY | os.O_TRUNC
	if tree == "home" {
		mode, text[size-1] = os.O_CREATE|os.O_WRONLY|os.O_APPEND, '\n'
	}
	must(os.MkdirAll(filepath.Dir(at), 0o755))
	file, err := os.OpenFile(at, mode, 0o644)
	must(err)
	_, err = file.Write(text)
	must(errors.Join(err, file.Close(), os.Chtimes(at, time.Now(), time.Now())))
}

// saved is a write that the watch is to tell of.
func (d *desk) saved(tree, name string, size int) {
	d.write(tree, name, size)
	m := d.e.member(tree)
	d.mu.Lock()
	d.waiting[m] = append(d.waiting[m], time.Now())
	d.mu.Unlock()
	d.tells[m] <- path.Dir(name)
}

// synced notes which writes are in the bucket: those before the step began that is.
func (d *desk) synced(tree string) {
	m := d.e.member(tree)
	began, now := m.report.motion.began, time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting[m] = slices.DeleteFunc(d.waiting[m], func(at time.Time) bool {
		if at.After(began) {
			return false
		}
		d.saves = append(d.saves, now.Sub(at))
		return true
	})
}

// watch tells the engine of changes when pkg/watch would.
func (d *desk) watch(ctx context.Context, m *member) {
	var dirs watch.Touched
	var first time.Time
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case dir := <-d.tells[m]:
			if dirs == nil {
				dirs, first = watch.Touched{}, time.Now()
			}
			dirs = dirs.Join(watch.Touched{dir: false})
			timer.Reset(min(fleetQuiet, time.Until(first.Add(fleetMost))))
		case <-timer.C:
			m.watch.hints.add(dirs)
			d.e.nudge(m)
			dirs = nil
		}
	}
}

// start runs the engine, and who watches; who works there begins by work.
func (d *desk) start(ctx context.Context, all *sync.WaitGroup) {
	ctx, d.stop = context.WithCancel(ctx)
	all.Go(func() { d.ended <- d.e.Run(ctx) })
	for _, m := range d.e.members {
		all.Go(func() { d.watch(ctx, m) })
	}
	all.Go(func() {
		for n := 0; waitFor(ctx, time.Second) == nil; n++ {
			lease, replicas, attention := d.e.Status()
			if n%2 == 0 { // as the daemon does
				d.e.Tell(digest.Of(status.Document{
					Workspace: d.e.o.Workspace, State: status.Running, Since: &d.f.began, Lease: lease, Replicas: replicas, Attention: attention,
				}, time.Now()))
			}
			if lease.State != status.LeaseHeld {
				d.mu.Lock()
				d.leaseless += time.Second
				d.mu.Unlock()
			}
		}
	})
}

// work is what is done at the desk until ctx ends.
func (d *desk) work(ctx context.Context) {
	between := func(least, most time.Duration) error {
		return waitFor(ctx, least+time.Duration(d.rnd.Int64N(int64(most-least))))
	}
	switch d.kind {
	case workDeveloper:
		for between(15*time.Second, 45*time.Second) == nil {
			i := d.rnd.IntN(fleetFiles)
			d.saved("workspace", fmt.Sprintf("src%d/file%d.go", i%5, i), 400+d.rnd.IntN(4000))
		}
	case workAgents: // each adds a line every six seconds, and has a file to write in every twentieth
		for n := 0; between(time.Second, 2*time.Second) == nil; n++ {
			d.saved("home", fmt.Sprintf(".claude/projects/p/talk%d.jsonl", d.rnd.IntN(fleetTalks)), 300+d.rnd.IntN(3000))
			if n%20 == 0 {
				i := d.rnd.IntN(fleetFiles)
				d.saved("workspace", fmt.Sprintf("src%d/file%d.go", i%5, i), 400+d.rnd.IntN(4000))
			}
		}
	case workIdle:
		<-ctx.Done()
	}
}

// spent is what all desks asked for so far.
func (f *simulation) spent() map[string]int {
	all := map[string]int{}
	for _, d := range f.desks {
		for what, n := range d.spent.now() {
			all[what] += n
		}
	}
	return all
}

// live has the desks run for a time, all started at once, and gives what they did from a
// minute after that on, with the limit of requests.
func (f *simulation) live(working, resting time.Duration) (h fleetcost.Hours, days []fleetcost.Day) {
	t := f.t
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	for _, d := range f.desks {
		d.start(ctx, &all)
	}
	must(waitFor(ctx, time.Minute))
	begin, atStart := f.spent(), f.perSecond(f.began)
	f.store.bound(f.limit)
	worked, end := context.WithTimeout(ctx, working)
	defer end()
	var work sync.WaitGroup
	days = make([]fleetcost.Day, len(f.desks))
	for i, d := range f.desks {
		days[i].Start = d.spent.now()
		d.mu.Lock()
		d.leaseless = 0 // nobody had it at first
		d.mu.Unlock()
		work.Go(func() { d.work(worked) })
	}
	from := time.Now()
	work.Wait()
	must(waitFor(ctx, time.Until(from.Add(working))))
	for i, d := range f.desks {
		days[i].Work = since(days[i].Start, d.spent.now())
		d.mu.Lock()
		days[i].Saves = len(d.saves)
		d.mu.Unlock()
	}
	must(waitFor(ctx, resting))
	for i, d := range f.desks {
		days[i].Rest = since(days[i].Work, since(days[i].Start, d.spent.now()))
	}
	h = f.figures(begin, from, working+resting)
	h.AtStart = slices.Max(append(atStart, 0))
	for _, d := range f.desks {
		_, replicas, _ := d.e.Status()
		for _, r := range replicas {
			h.OnlyHere += r.Pending
		}
	}
	f.store.bound(0)
	cancel()
	for _, d := range f.desks {
		err := <-d.ended
		_, replicas, _ := d.e.Status()
		if err = errors.Join(err, status.OnlyHere(replicas)); err != nil {
			t.Errorf("%s: %v", d.name, err)
		}
	}
	all.Wait()
	return h, days
}

// perSecond is how many requests were taken in each second from a time on.
func (f *simulation) perSecond(from time.Time) (list []int) {
	f.store.mu.Lock()
	defer f.store.mu.Unlock()
	for at := from.Unix(); at < time.Now().Unix(); at++ {
		list = append(list, f.store.seconds[at])
	}
	return list
}

func (f *simulation) figures(begin map[string]int, from time.Time, long time.Duration) fleetcost.Hours {
	h := fleetcost.Hours{
		Workspaces: len(f.desks), Minutes: long.Minutes(), Limit: f.limit, Requests: since(begin, f.spent()),
		Refused: f.store.refused, PerWorkload: map[string]int{},
	}
	seconds := f.perSecond(from)
	slices.Sort(seconds)
	h.Median, h.Most = seconds[len(seconds)/2], seconds[len(seconds)-1]
	var saves []time.Duration
	for _, d := range f.desks {
		d.mu.Lock()
		saves = append(saves, d.saves...)
		h.Leaseless += d.leaseless.Seconds()
		d.mu.Unlock()
		h.PerWorkload[string(d.kind)]++
	}
	slices.Sort(saves)
	if h.Saves = len(saves); h.Saves > 0 {
		h.SaveMedian, h.SaveMost = saves[len(saves)/2].Seconds(), saves[len(saves)-1].Seconds()
	}
	return h
}

// fleetOf runs so many workspaces for a time, below a limit of requests a second, 0 for none.
func fleetOf(t *testing.T, seed uint64, n, limit int, long time.Duration) (h fleetcost.Hours, days []fleetcost.Day) {
	t.Helper()
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, seed, limit)
		for i := range n {
			f.desk(workloads[i%len(workloads)])
		}
		h, days = f.live(long, time.Minute)
	})
	h.Took = time.Since(began).Seconds()
	t.Logf("%d workspaces, %v, limit %d: %v, %d refused, at most %d a second, %d saves, %.1f s (%.1f s at most), %.0f s without the lease; it took %.0f s",
		n, long, limit, h.Requests, h.Refused, h.Most, h.Saves, h.SaveMedian, h.SaveMost, h.Leaseless, h.Took)
	return h, days
}

// TestFleet: what a fleet asks of its store grows with the workspaces and with nothing else,
// and one that is told to slow down loses nothing, and no lease.
func TestFleet(t *testing.T) {
	seed := sample.Seed(t)
	if *fleetFile != "" {
		measureFleet(t, seed)
		return
	}
	sample.Long(t)
	const long = 10 * time.Minute
	free, days := fleetOf(t, seed, 5, 0, long)
	tight, _ := fleetOf(t, seed, 5, 2, long)
	for i, d := range days {
		asksFor(t, workloads[i], d, long)
	}
	switch {
	case free.OnlyHere > 0 || free.Saves < 100 || free.Refused > 0 || free.Leaseless > 0 || free.SaveMost > 20:
		t.Errorf("nothing was in the way: %+v", free)
	case tight.Refused == 0 || tight.Most > 2:
		t.Errorf("nothing was throttled: %+v", tight)
	case tight.Leaseless > 0 || tight.Saves < 100:
		t.Errorf("two requests a second for five workspaces: %+v", tight)
	}
}

// asksFor holds what a workspace asks for: renewals, three writes for a save at most, with one more
// in thirty-two, and each hour what the store's clock shows. Reads are of small objects that are
// brought together.
func asksFor(t *testing.T, kind workload, d fleetcost.Day, long time.Duration) {
	t.Helper()
	renewals, writes := int(long/fleetRenew), 0
	if most := paceMost + int(long/paceEvery); d.Work["put digest"] > most { // as what goes back and forth may
		t.Errorf("%s: %v, want %d digests at most", kind, d.Work, most)
	}
	for what, n := range d.Work {
		if strings.HasPrefix(what, "put ") && what != "put digest" {
			writes += n
		}
	}
	switch kind {
	case workIdle:
		clock := d.Work["put other"]
		if heads := d.Work["put head"]; heads < renewals*9/10-1 || heads > renewals || writes != heads+clock || clock > 1 || d.Work["get content"] > 0 {
			t.Errorf("idle: %v, want %d renewals", d.Work, renewals)
		}
	case workDeveloper:
		if writes > 3*d.Saves+d.Saves/16+renewals+4 || d.Work["put content"] < d.Saves/2 || d.Saves < int(long/time.Minute) {
			t.Errorf("developer: %v for %d saves", d.Work, d.Saves)
		}
	case workAgents:
		if most := int(long/fleetGather)*3 + 3*int(long.Seconds()/25) + renewals; writes > most+most/10 || writes < most/2 {
			t.Errorf("agents: %v, want %d writes at most", d.Work, most)
		}
	}
}

// measureFleet measures all that the page has.
func measureFleet(t *testing.T, seed uint64) {
	figures := fleetcost.Figures{
		Seed: seed, Renew: fleetRenew.Seconds(), Latency: fleetLatency.Seconds(),
		Workloads: map[string]fleetcost.Day{}, Fleets: map[string]fleetcost.Hours{},
	}
	kinds := []workload{workIdle, workDeveloper, workAgents}
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, seed, 0)
		for _, kind := range kinds {
			f.desk(kind)
		}
		_, days := f.live(8*time.Hour, 16*time.Hour+30*time.Minute)
		for i, kind := range kinds {
			figures.Workloads[string(kind)] = days[i]
			t.Logf("%s: %+v", kind, days[i])
		}
	})
	for _, n := range []int{5, 50} {
		figures.Fleets[fmt.Sprint(n)], _ = fleetOf(t, seed, n, 0, 20*time.Minute)
	}
	for _, limit := range []int{20, 10, 5} {
		h, _ := fleetOf(t, seed, 50, limit, 10*time.Minute)
		figures.Throttled = append(figures.Throttled, h)
	}
	b, err := json.MarshalIndent(figures, "", "  ")
	if err == nil {
		err = os.WriteFile(*fleetFile, append(b, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// errandsOf are what TestFleetCounts has two machines do.
func errandsOf(t *testing.T, a, b string, connect func(env string) func(context.Context, scope.Target) (scope.Remote, error)) {
	t.Helper()
	once := func(dir string) {
		t.Helper()
		o := optionsAt(dir, connect("dev"))
		o.Announce = true
		if err := New(o).Once(t.Context()); err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
	}
	for i := range 100 {
		write(t, a, fmt.Sprintf("dir%d/file%d", i%5, i), fmt.Sprint("content ", i))
	}
	once(a)
	once(a)
	for i := range 3 {
		write(t, a, fmt.Sprintf("dir%d/file%d", i, i), fmt.Sprint("saved ", i))
		once(a)
	}
	once(b)
	for i := range 50 {
		write(t, b, fmt.Sprintf("dir%d/file%d", i%5, i), fmt.Sprint("there ", i))
	}
	once(b)
	must(os.RemoveAll(filepath.Join(a, "dir4")))
	once(a)
}

// TestFleetCounts holds what the simulation counts to what a proxy before a real S3 server saw
// of real rclones, for the same errands: by kind and by what the objects are; and the bucket in
// memory to the real one.
func TestFleetCounts(t *testing.T) {
	server := s3test.Start(t)
	proxy := server.Proxy(t)
	real := realRemotes(t, &s3test.Server{Endpoint: proxy.Endpoint, AccessKey: server.AccessKey, SecretKey: server.SecretKey, Bucket: server.Bucket})
	counted := func(of *spending, remote func(t scope.Target) (scope.Remote, error)) func(string) func(context.Context, scope.Target) (scope.Remote, error) {
		none := &fleetStore{}
		return func(env string) func(context.Context, scope.Target) (scope.Remote, error) {
			return func(_ context.Context, target scope.Target) (scope.Remote, error) {
				r, err := remote(target)
				return &fleetRemote{Remote: r, store: none, spent: of, under: fleetPrefix(env, target)}, err
			}
		}
	}
	var beside, inMemory spending
	errandsOf(t, filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b"), counted(&beside, func(target scope.Target) (scope.Remote, error) {
		return real(t.Context(), target)
	}))
	saw := map[string]int{}
	for _, r := range proxy.Requests() {
		what := string(r.Kind)
		if r.Kind != s3test.List {
			what += " " + placeOf(r.Key)
		}
		saw[what]++
	}
	if diff := cmp.Diff(saw, beside.now()); diff != "" {
		t.Errorf("the store saw other requests than were counted beside it: -saw +counted\n%s", diff)
	}
	bucket := storetest.New()
	errandsOf(t, filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b"), counted(&inMemory, func(target scope.Target) (scope.Remote, error) {
		return bucket.At(fleetPrefix("dev", target)), nil
	}))
	if diff := cmp.Diff(saw, inMemory.now()); diff != "" {
		t.Errorf("the store saw other requests than a bucket in memory takes: -saw +counted\n%s", diff)
	}
	t.Logf("%v", saw)
}

// The count knows what each object is.
func TestPlaceOf(t *testing.T) {
	for key, want := range map[string]string{
		".coltec/fleet/acme/widget/dev/head.json": "head", ".coltec/fleet/acme/widget/dev/log-12": "log", ".coltec/fleet/acme/widget/dev/digest/x.y": "digest",
		"workspaces/acme/widget/dev/r/.coltec/claim.json": "claim", "workspaces/acme/widget/dev/r/.coltec/o/ab/cd": "content",
		"workspaces/acme/widget/dev/r/.coltec/m/1": "tree", "some/file": "elsewhere", ".coltec/probe/x": "other",
	} {
		if got := placeOf(key); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
	kinds := slices.Sorted(maps.Keys(since(map[string]int{"a": 1, "b": 2}, map[string]int{"a": 1, "b": 3, "c": 1})))
	if strings.Join(kinds, "") != "bc" {
		t.Error(kinds)
	}
}
