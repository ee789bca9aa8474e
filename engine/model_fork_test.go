package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/coltec/coltec/pkg/tree"
)

// grove is a workspace and its forks in one bucket, and what is known of them without asking
// any of them: a random history of edits, forks, joins, collections, faults and deaths. The
// promises are in join and check.
type grove struct {
	rnd    *rand.Rand
	seed   uint64
	bucket *storetest.Bucket
	dir    string
	past   time.Duration
	stems  []*stem // the first one is what all others come from
	fault  int     // so many operations later one of the bucket fails; 0: none
	over   bool    // the history has ended: what died unwinds
	ended  chan struct{}
	mutant string
	n      int
	log    []string
	bad    []string
}

// stem is one workspace, with the one machine that it is on.
type stem struct {
	g       *grove
	env     string
	tree    string // its folder
	e       *Engine
	dead    []fallen
	of      *stem                       // what it was forked from
	gens    map[int64]map[string]string // what each generation has
	content map[string]bool             // of any generation
	took    map[*stem]int64             // of a fork: the generation that was joined last
	unsure  map[*stem]bool              // of a fork: whether the last join of it is in the head
}

// fallen is a process that died in the middle of something.
type fallen struct {
	e    *Engine
	left chan struct{} // closed when all of it has returned
}

var groveStart = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func (g *grove) now() time.Time { return groveStart.Add(g.past) }

func (g *grove) pass(d time.Duration) {
	g.past += d
	g.bucket.Advance(d)
}

func (g *grove) say(format string, args ...any) { g.log = append(g.log, fmt.Sprintf(format, args...)) }

func (g *grove) broken(format string, args ...any) {
	g.bad = append(g.bad, fmt.Sprintf(format, args...))
	g.say("BROKEN: "+format, args...)
}

func (s *stem) name() string { return "o/p/" + s.env }

func (s *stem) prefix() string { return "ws/" + s.env }

func newGrove(seed uint64, dir, mutant string) *grove {
	g := &grove{rnd: rand.New(rand.NewPCG(seed, 20)), seed: seed, bucket: storetest.New(), dir: dir, mutant: mutant, ended: make(chan struct{})}
	g.bucket.Hook(func(e storetest.Event) error {
		switch {
		case g.over:
			return errOver
		case g.fault > 0 && !e.Done:
			if g.fault--; g.fault == 0 {
				g.say("a fault: %s %q", e.Op, e.Keys)
				return &rclone.Error{Op: string(e.Op), Class: rclone.Unreachable}
			}
		}
		return nil
	})
	g.add("e", nil)
	return g
}

func (g *grove) add(env string, of *stem) *stem {
	s := &stem{g: g, env: env, of: of, tree: filepath.Join(g.dir, env), gens: map[int64]map[string]string{0: {}}, content: map[string]bool{}, took: map[*stem]int64{}, unsure: map[*stem]bool{}}
	must(os.MkdirAll(s.tree, 0o755))
	s.start()
	g.stems = append(g.stems, s)
	return s
}

// start is a new process over the tree.
func (s *stem) start() {
	g := s.g
	s.e = New(Options{
		Workspace: status.Workspace{Org: "o", Project: "p", Env: s.env}, Self: store.Holder{Host: s.env, Place: s.env, Instance: store.NewID()},
		HeadRoot: func() string { return "mem:" }, Dead: func(store.Holder) bool { return true },
		Connect: func(_ context.Context, t scope.Target) (scope.Remote, error) {
			switch {
			case t.Replica == "":
				return g.bucket, nil
			case t.Prefix != "":
				return g.bucket.At(t.Prefix), nil
			}
			return g.bucket.At(s.prefix()), nil
		},
		LeaseTTL: time.Minute, LeaseRenew: 20 * time.Second, StopTimeout: time.Minute, KeepReplaced: 24 * time.Hour,
		Replicas: []scope.Replica{{
			Name: "r", Path: s.tree, Direction: scope.Bidirectional, Layout: "snapshot", Interval: time.Second, Filter: &filter.Filter{},
		}},
	})
	s.e.clock = clock{
		Clock:  store.Clock{Now: func() time.Time { g.past += time.Millisecond; return g.now() }, Boot: func() time.Duration { return g.past }},
		random: func() float64 { return 0.5 },
		ticker: func(time.Duration) (<-chan time.Time, func()) { return nil, func() {} },
		beside: func(f func()) { f() },
	}
}

// rounds has a workspace do what is due: acquire, place, push. Many deletions are right.
func (s *stem) rounds() error {
	s.e.renewAt, s.e.leaseAt = time.Time{}, time.Time{}
	for range 3 {
		naming{s.e.loop}.askAll(evAsked{allowed: true})
		naming{s.e.loop}.askAll(evSoon{})
		s.e.round(context.Background())
	}
	s.g.note(s)
	return failures(s.e.members)
}

// note reads what a workspace has committed since.
func (g *grove) note(s *stem) {
	h := g.head(s)
	if h == nil {
		return
	}
	for _, gen := range h.Recent {
		if s.gens[gen.Number] != nil {
			continue
		}
		files, err := g.fetch(s, gen.Replicas["r"].Manifest)
		if err != nil {
			g.broken("lost: generation %d of %s cannot be read when it is new: %v", gen.Number, s.env, err)
			files = map[string]string{}
		}
		s.gens[gen.Number] = files
		for _, c := range files {
			s.content[c] = true
		}
	}
}

// head reads the head of a workspace itself.
func (g *grove) head(s *stem) *store.Head {
	body := g.bucket.Body(store.HeadKey(s.name()))
	if body == nil {
		return nil
	}
	h, err := store.ParseHead(body, s.name())
	must(err)
	return h
}

// fetch reads the files of a generation, with those kept aside.
func (g *grove) fetch(s *stem, ref string) (map[string]string, error) {
	quiet := g.fault
	g.fault = 0
	defer func() { g.fault = quiet }()
	if ref == "" {
		return map[string]string{}, nil
	}
	dir, err := os.MkdirTemp(g.dir, "read-")
	must(err)
	defer os.RemoveAll(dir)
	layout := store.NewSnapshot(g.bucket.At(s.prefix()), dir)
	t, err := layout.Tree(context.Background(), ref)
	if err != nil {
		return nil, err
	}
	var wanted []*tree.Entry
	for i := range t.Entries {
		if t.Entries[i].Kind == tree.File {
			wanted = append(wanted, &t.Entries[i])
		}
	}
	if err := layout.Fetch(context.Background(), wanted, dir, nil, nil); err != nil {
		return nil, err
	}
	files := map[string]string{}
	for i, e := range wanted {
		body, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(i)))
		must(err)
		files[e.Path] = string(body)
	}
	return files, nil
}

// files reads a folder; apart are the files of its own directory's part.
func (s *stem) files(under string) map[string]string {
	top := filepath.Join(s.tree, under)
	out := map[string]string{}
	_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && d.Name() == ".coltec" && under == "" {
				return filepath.SkipDir
			}
			return nil
		}
		body, err := os.ReadFile(path)
		must(err)
		out[strings.TrimPrefix(path, top+"/")] = string(body)
		return nil
	})
	return out
}

// anywhere is all content that a workspace has, in its folder or in a generation.
func (s *stem) anywhere() map[string]bool {
	all := maps.Clone(s.content)
	for _, under := range []string{"", ".coltec/conflicts", ".coltec/replaced"} {
		for _, c := range s.files(under) {
			all[c] = true
		}
	}
	return all
}

var grovePaths = []string{"a", "b", "c", "d/x", "d/y", "f/g/z", ".devcontainer/spec"}

// edit is a person's or an agent's.
func (s *stem) edit() {
	g := s.g
	for range 1 + g.rnd.IntN(3) {
		at := grovePaths[g.rnd.IntN(len(grovePaths))]
		file := filepath.Join(s.tree, at)
		if g.rnd.IntN(4) == 0 {
			g.say("%s: remove %s", s.env, at)
			_ = os.Remove(file)
			continue
		}
		g.n++
		content := fmt.Sprintf("%d of %s", g.n, s.env)
		if g.rnd.IntN(6) == 0 {
			content = fmt.Sprint("the same ", g.n/8)
		}
		g.say("%s: write %s %q", s.env, at, content)
		must(os.MkdirAll(filepath.Dir(file), 0o755))
		must(os.WriteFile(file, []byte(content), 0o644))
	}
}

// fork makes a fork of a workspace: of its newest generation, or of one before.
func (g *grove) fork(of *stem) {
	h := g.head(of)
	if h == nil || h.Generation == 0 || len(g.stems) > 5 {
		return
	}
	gen := h.Recent[len(h.Recent)-1-g.rnd.IntN(min(3, len(h.Recent)))]
	env := fmt.Sprint("f", len(g.stems))
	before := g.under(of)
	prefix := g.bucket.At("ws/" + env)
	make := func() error {
		t, err := store.NewSnapshot(g.bucket.At(of.prefix()), filepath.Join(g.dir, "seed")).Tree(context.Background(), gen.Replicas["r"].Manifest)
		if err != nil {
			return err
		}
		t.Entries = slices.DeleteFunc(t.Entries, func(e tree.Entry) bool { return store.OfWorkspace(e.Path) })
		f := store.Fork{
			Root: g.bucket, Workspace: "o/p/" + env, Head: "mem:/" + store.HeadKey("o/p/"+env), Source: h, Generation: gen, Host: "h", Now: g.now(),
			Local: filepath.Join(g.dir, "seed-"+env), Vacant: g.rnd.IntN(2) == 0, // as of before, the second time
			Replicas: []store.ForkReplica{{Name: "r", Ref: gen.Replicas["r"], Tree: t, To: prefix, Prefix: "ws/" + env, Copy: func(ctx context.Context, keys []string) (rclone.Transfer, error) {
				done, err := g.bucket.At(of.prefix()).CopyTo(ctx, keys, prefix)
				if g.mutant == "copy loses" {
					prefix.Drop(keys[0])
				}
				return done, err
			}}},
		}
		_, _, err = f.Make(context.Background())
		return err
	}
	g.say("%s: a fork of generation %d of %s", env, gen.Number, of.env)
	if g.rnd.IntN(3) == 0 {
		g.fault = 1 + g.rnd.IntN(8)
	}
	err := make()
	if g.fault = 0; err != nil {
		g.say("%s: %v; again", env, err)
		if err := make(); err != nil {
			g.broken("fork: %s cannot be made where nothing fails: %v", env, err)
			return
		}
	}
	if diff := diffOf(before, g.under(of)); diff != "" {
		g.broken("touched: the fork of %s changed %s", of.env, diff)
	}
	s := g.add(env, of)
	g.note(s)
	want := maps.Clone(of.gens[gen.Number])
	maps.DeleteFunc(want, func(path, _ string) bool { return store.OfWorkspace(path) })
	if diff := diffOf(want, s.gens[1]); diff != "" {
		g.broken("fork: %s is not what it was forked as: %s", env, diff)
	}
}

// under is all that a workspace has in the bucket.
func (g *grove) under(s *stem) map[string]string {
	out := map[string]string{}
	for _, key := range g.bucket.Keys() {
		if strings.HasPrefix(key, s.prefix()+"/") || strings.HasPrefix(key, ".coltec/fleet/"+s.name()+"/") {
			out[key] = string(g.bucket.Body(key))
		}
	}
	return out
}

func diffOf(want, got map[string]string) string {
	var diff []string
	for key := range joined(want, got) {
		was, there := want[key]
		if is, here := got[key]; was != is || there != here {
			diff = append(diff, fmt.Sprintf("%s is %.30q, not %.30q", key, is, was))
		}
	}
	slices.Sort(diff)
	return strings.Join(diff, "; ")
}

// expected is what a path shall have after a join; aside is what of it is kept then.
func expected(base, local, remote map[string]string, path string) (content string, there bool, aside string) {
	b, inB := base[path]
	l, inL := local[path]
	r, inR := remote[path]
	switch {
	case inL == inR && l == r, inR == inB && r == b:
		return l, inL, ""
	case inL == inB && l == b:
		return r, inR, ""
	case !inL:
		return r, true, ""
	case !inR:
		return l, true, ""
	}
	return r, true, l
}

// join joins a fork into a workspace, tells first what that does, and holds what came of it
// against what was to.
func (g *grove) join(f, into *stem) {
	if f == into || into.e.lease == nil || !into.e.writable() || !into.e.members[0].ready() || g.head(f).Generation < 1 {
		return
	}
	if g.mutant == "base forgotten" {
		g.forgetBase(f)
	}
	if j, is := g.head(into).Joined[f.name()]; is && into.unsure[f] { // it has come through since
		into.took[f] = j.Number
	}
	h, was := g.head(f), max(1, into.took[f])
	remote, local := carriedOf(f.gens[h.Generation]), into.files("")
	untouched, before := g.under(f), into.anywhere()
	o := JoinOptions{Fork: f.name(), DryRun: true, Unrelated: true} // forks of forks, and beside each other, too
	told, err := joiner{naming{into.e.loop}}.join(context.Background(), o)
	if err != nil {
		g.broken("told: %s into %s: %v", f.env, into.env, err)
		return
	}
	if diff := diffOf(local, into.files("")); diff != "" {
		g.broken("told: a dry run changed %s", diff)
	}
	if len(told.Notes) > 0 && strings.Contains(told.Notes[0], "is not kept any more") {
		was = 1
	}
	base := carriedOf(f.gens[was])
	o.DryRun = false
	g.say("%s is joined into %s: generation %d over %d", f.env, into.env, h.Generation, was)
	var done Joined
	died := g.drive(into, func() { done, err = joiner{naming{into.e.loop}}.join(context.Background(), o) })
	g.note(into)
	if diff := diffOf(untouched, g.under(f)); diff != "" {
		g.broken("touched: the join changed of %s: %s", f.env, diff)
	}
	if g.mutant == "conflicts thrown away" {
		_ = os.RemoveAll(filepath.Join(into.tree, ".coltec/conflicts"))
	}
	now := into.anywhere()
	if g.mutant == "conflicts thrown away" {
		now = maps.Clone(stringsOf(into.files("")))
	}
	for c := range before {
		if !now[c] && !died {
			g.broken("lost: %q of %s after the join of %s", c, into.env, f.env)
		}
	}
	if died || err != nil || len(done.Left) > 0 {
		g.say("joined in part: died %v, %v, left %q", died, err, done.Left)
		into.unsure[f] = true // it may have been all of it, now or with the next head that is written
		return
	}
	into.took[f], into.unsure[f] = h.Generation, false
	g.checkJoin(f, into, base, local, remote, told)
	if g.mutant == "join forgotten" {
		must(into.e.lease.Collected(context.Background(), func(h *store.Head) { h.Joined = nil }))
	}
}

func stringsOf(files map[string]string) map[string]bool {
	out := map[string]bool{}
	for _, c := range files {
		out[c] = true
	}
	return out
}

// carriedOf is what of a generation is joined: not what each workspace has for itself, and not
// what lost its name there.
func carriedOf(files map[string]string) map[string]string {
	out := maps.Clone(files)
	maps.DeleteFunc(out, func(path, _ string) bool { return store.OfWorkspace(path) || tree.Within(path, ".coltec") })
	return out
}

// checkJoin holds what a join made against the sides that it was made of.
func (g *grove) checkJoin(f, into *stem, base, local, remote map[string]string, told Joined) {
	want, conflicts, all := map[string]string{}, map[string]bool{}, joined(base, local)
	maps.Copy(all, joined(remote, nil))
	aside := stringsOf(into.files(".coltec/conflicts"))
	for path := range all {
		if store.OfWorkspace(path) {
			if c, there := local[path]; there {
				want[path] = c
			}
			continue
		}
		content, there, kept := expected(base, local, remote, path)
		if there {
			want[path] = content
		}
		if kept != "" {
			conflicts[path] = true
			if !aside[kept] {
				g.broken("conflict: %q of %s lost its name %s in the join of %s, and is not kept", kept, into.env, path, f.env)
			}
		}
	}
	if diff := diffOf(want, into.files("")); diff != "" {
		g.broken("join: %s after the join of %s: %s", into.env, f.env, diff)
	}
	for _, x := range told.Paths {
		if (x.What == replica.JoinConflict) != conflicts[x.Path] && !strings.Contains(x.Path, "/") {
			g.broken("told: %s is said to be %s", x.Path, x.What)
		}
		delete(conflicts, x.Path)
	}
	for path := range conflicts {
		g.broken("told: nothing was said of the conflict at %s", path)
	}
	h := g.head(into)
	if diff := diffOf(want, withoutAside(into.gens[h.Generation])); diff != "" {
		g.broken("join: generation %d of %s after the join of %s: %s", h.Generation, into.env, f.env, diff)
	}
	if told.From != told.To && h.Joined[f.name()].Number != told.To && g.mutant == "" {
		g.broken("join: the head of %s says that %d of %s was joined, and it was %d", into.env, h.Joined[f.name()].Number, f.env, told.To)
	}
}

func withoutAside(files map[string]string) map[string]string {
	out := maps.Clone(files)
	maps.DeleteFunc(out, func(path, _ string) bool { return tree.Within(path, ".coltec") })
	return out
}

// forgetBase is a mutant: the fork point is taken for an empty one.
func (g *grove) forgetBase(f *stem) {
	h := g.head(f)
	h.Checkpoints[0].Replicas = nil
	body, err := json.Marshal(h)
	must(err)
	g.bucket.Set(store.HeadKey(f.name()), body)
}

// grovePoints are the killpoints that a join reaches.
var grovePoints = pointsOf("join:", "push:", "commit:", "place:", "base:", "journal:", "checkpoint:")

// drive has a workspace do something, up to its end or its death: then another process goes
// on where it was.
func (g *grove) drive(s *stem, do func()) (died bool) {
	switch g.rnd.IntN(4) {
	case 0:
		g.fault = 1 + g.rnd.IntN(25)
	case 1:
		killed := make(chan struct{})
		point := grovePoints[g.rnd.IntN(len(grovePoints))]
		killpoint.Arm(point, int64(1+g.rnd.IntN(2)), func() {
			if !g.over {
				g.say("%s dies at %s", s.env, point)
				close(killed)
			}
			<-g.ended
		})
		left := make(chan struct{})
		go func() {
			defer close(left)
			do()
		}()
		select {
		case <-left:
		case <-killed:
			died = true
			s.dead = append(s.dead, fallen{s.e, left})
			s.start()
		}
		killpoint.Arm(point, 0, func() {})
		return died
	}
	do()
	g.fault = 0
	return false
}

// tell tells a history.
func tellForks(seed uint64, dir, mutant string) *grove {
	must(os.MkdirAll(dir, 0o755))
	g := newGrove(seed, dir, mutant)
	defer g.end()
	g.stems[0].edit()
	_ = g.stems[0].rounds()
	for range 12 + g.rnd.IntN(20) {
		s := g.stems[g.rnd.IntN(len(g.stems))]
		g.pass(time.Duration(1+g.rnd.IntN(40)) * time.Second)
		switch n := g.rnd.IntN(20); {
		case n < 6:
			s.edit()
		case n < 11:
			g.say("%s: rounds", s.env)
			if err := s.rounds(); err != nil {
				g.say("%s: %v", s.env, err)
			}
		case n < 13:
			g.fork(s)
		case n < 14:
			g.collect(s)
		default:
			into := g.stems[0]
			if g.rnd.IntN(4) == 0 {
				into = g.stems[g.rnd.IntN(len(g.stems))]
			}
			if s.of != nil {
				_ = into.rounds()
				g.join(s, into)
			}
		}
		if len(g.bad) > 0 {
			return g
		}
	}
	g.settle()
	return g
}

// end gives back what the history holds. What died unwinds through errors, in a tree that is
// gone.
func (g *grove) end() {
	g.over = true
	must(makeRemovable(g.dir))
	close(g.ended)
	for _, s := range g.stems {
		for _, dead := range s.dead {
			<-dead.left
			dead.e.close()
		}
		s.e.close()
	}
	must(makeRemovable(g.dir))
}

// collect has days go by, and garbage be collected in one of the workspaces.
func (g *grove) collect(s *stem) {
	g.say("%s: collects", s.env)
	g.pass(4 * 24 * time.Hour)
	_ = s.rounds()
	if !s.e.writable() {
		return
	}
	now, err := s.e.lease.StoreTime(context.Background())
	must(err)
	for range 2 {
		if _, err := (collecting{s.e.loop}).collectNow(context.Background(), now); err != nil {
			g.say("%s: %v", s.env, err)
		}
		g.pass(4 * 24 * time.Hour)
		_ = s.rounds()
		now = now.Add(4 * 24 * time.Hour)
	}
}

// settle holds at the end that each workspace is in the bucket as it is in its folder, that
// another machine gets it, and what it was forked as is still there.
func (g *grove) settle() {
	for _, s := range g.stems {
		g.pass(time.Hour)
		if err := s.rounds(); err != nil {
			g.broken("unequal: %s does not come to rest: %v", s.env, err)
			continue
		}
		h := g.head(s)
		got, err := g.fetch(s, h.Replicas["r"].Manifest)
		if err != nil {
			g.broken("lost: generation %d of %s: %v", h.Generation, s.env, err)
			continue
		}
		if diff := diffOf(s.files(""), withoutAside(got)); diff != "" {
			g.broken("unequal: %s and generation %d: %s", s.env, h.Generation, diff)
		}
		if c, is := h.Checkpoint(store.Forked); is && g.mutant == "" {
			if got, err := g.fetch(s, c.Replicas["r"].Manifest); err != nil || diffOf(s.gens[1], got) != "" {
				g.broken("lost: what %s was forked as: %v", s.env, err)
			}
		}
	}
}

func (g *grove) report() string {
	return fmt.Sprintf("COLTEC_SEED=%d\n%s\n\n%s", g.seed, strings.Join(g.log, "\n"), strings.Join(g.bad, "\n"))
}

// TestForkHistories holds the promises of forks and joins over random histories: COLTEC_SEED,
// COLTEC_HISTORIES and COLTEC_FIRST are as for TestHistories.
func TestForkHistories(t *testing.T) {
	dir, err := modelDir()
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	first, count := fromEnv("COLTEC_FIRST", rand.Uint64N(1<<48)+1), fromEnv("COLTEC_HISTORIES", uint64(sample.Size(40, 1000)))
	if seed := fromEnv("COLTEC_SEED", 0); seed != 0 {
		first, count = seed, 1
	}
	joins := 0
	for i := range count {
		g := tellForks(first+i, filepath.Join(dir, "h"), "")
		for _, line := range g.log {
			if strings.Contains(line, " is joined into ") {
				joins++
			}
		}
		if len(g.bad) > 0 {
			t.Fatal(g.report())
		}
	}
	if joins == 0 && count > 10 {
		t.Error("nothing was ever joined")
	}
	t.Logf("%d histories from seed %d, %d joins", count, first, joins)
}

// TestForkMutants holds that each promise of forks and joins would be seen to be broken.
func TestForkMutants(t *testing.T) {
	sample.Long(t)
	dir, err := modelDir()
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for mutant, promise := range map[string]string{
		"copy loses": "", "base forgotten": "join:", "join forgotten": "join:", "conflicts thrown away": "conflict:",
	} {
		t.Run(mutant, func(t *testing.T) {
			for seed := uint64(1); seed <= 400; seed++ {
				for _, bad := range tellForks(seed, filepath.Join(dir, "h"), mutant).bad {
					if strings.HasPrefix(bad, promise) {
						t.Logf("seed %d: %s", seed, bad)
						return
					}
				}
			}
			t.Errorf("400 histories did not show that %q is broken", promise)
		})
	}
}
