package frozen

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/process"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

// asChild has the test binary be something else.
const asChild = "COLTEC_TEST_CHILD"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "guard" {
		limit, err := time.ParseDuration(os.Args[2])
		if err == nil {
			err = process.Guard(os.Stdin, os.Stdout, limit)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if tree := os.Getenv(asCapture); tree != "" {
		if err := captureIn(tree); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if dir := os.Getenv(asChild); dir != "" {
		if err := writeShards(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// asCapture has it capture what is at db in a tree: a test kills it.
const asCapture = "COLTEC_TEST_CAPTURE"

func captureIn(path string) error {
	hook := func(name string) func(context.Context, []string) error {
		return func(context.Context, []string) error { return note(path, name) }
	}
	kinds := whole.Kinds{Kind{Paths: []Path{{Path: "db", By: Freeze}}, Means: Means{
		Limit: patience, Stopper: func() (Stopper, error) { return newStopper(path, patience) }, Before: hook("before"), After: hook("after"),
	}}}
	carriers := kinds.Carry(whole.Options{Replica: "r", Path: path, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	f, err := filter.Compile(filter.Under("db"))
	if err != nil {
		return err
	}
	r := replica.New(replica.Options{
		Name: "r", Workspace: "o/p/e", Path: path, Filter: f, Wholes: kinds, Capture: carriers.Capture,
		Layout: store.NewSnapshot(storetest.New().At("p"), filepath.Join(path, localfs.Dir, "manifests")),
	})
	defer r.Close()
	carriers.Serve(r)
	if err := errors.Join(r.Open("lineage", 0), r.Receive(&store.Tree{}, "", 1, 0)); err != nil {
		return err
	}
	if _, err := r.Scan(context.Background(), nil); err != nil {
		return err
	}
	if notes := carriers.Notes(); len(notes) > 0 {
		return errors.New(strings.Join(notes, ", "))
	}
	return nil
}

// note adds a word to what hooks did in a tree.
func note(tree, word string) error {
	f, err := os.OpenFile(tree+".hooks", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(word + "\n")
	return errors.Join(err, f.Close())
}

// shards is in how many files a writer counts.
const shards = 20

// writeShards counts for ever: each number is written to all files, in order, the first by its
// memory; each tenth is a file of its own, too, made beside its name.
func writeShards(dir string) error {
	var files []*os.File
	for i := range shards {
		f, err := os.OpenFile(shard(dir, i), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	if err := files[0].Truncate(4096); err != nil {
		return err
	}
	first, err := unix.Mmap(int(files[0].Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	n := max(shardIn(dir, shards-1), 0)
	for {
		n++
		b := binary.BigEndian.AppendUint64(nil, uint64(n))
		copy(first, b)
		for _, f := range files[1:] {
			if _, err := f.WriteAt(b, 0); err != nil {
				return err
			}
		}
		if n%10 == 0 {
			tmp := filepath.Join(dir, "tmp")
			if err := os.WriteFile(tmp, b, 0o600); err != nil {
				return err
			}
			if err := os.Rename(tmp, filepath.Join(dir, "tens")); err != nil {
				return err
			}
		}
	}
}

func shard(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("shard-%02d", i)) }

// shardIn is the number in a shard; -1 for none.
func shardIn(dir string, i int) int64 {
	body, err := os.ReadFile(shard(dir, i))
	if err != nil || len(body) < 8 {
		return -1
	}
	return int64(binary.BigEndian.Uint64(body[:8]))
}

// torn says in which way a directory is none that ever was; "" is none.
func torn(dir string) string {
	first, last := shardIn(dir, 0), int64(0)
	for i := range shards {
		n := shardIn(dir, i)
		if i > 0 && n > last || n < first-1 {
			return fmt.Sprintf("shard %d has %d, the one before it %d, the first one %d", i, n, last, first)
		}
		last = n
	}
	body, err := os.ReadFile(filepath.Join(dir, "tens"))
	if err != nil {
		if last >= 10 {
			return err.Error()
		}
		return ""
	}
	tens := int64(binary.BigEndian.Uint64(body))
	if tens > last || tens < last/10*10-10 {
		return fmt.Sprintf("the last shard has %d, and the tens %d", last, tens)
	}
	return ""
}

// world is a bucket, and what its head says. It stands in for the engine.
type world struct {
	*testing.T
	bucket     *storetest.Bucket
	generation int64
	ref        string
}

// place is one machine's tree.
type place struct {
	*world
	*replica.Replica
	carriers whole.Carriers
	kind     Kind
	moment   time.Time
}

func newWorld(t *testing.T) *world {
	sample.Long(t)
	return &world{T: t, bucket: storetest.New()}
}

func (w *world) place(paths []Path, change func(*Kind)) *place {
	w.Helper()
	path := w.TempDir()
	p := &place{world: w, moment: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)}
	p.kind = Kind{Paths: paths, Means: Means{Limit: patience, Stopper: func() (Stopper, error) { return newStopper(path, patience) }}}
	if change != nil {
		change(&p.kind)
	}
	p.make(path)
	return p
}

func (p *place) make(path string) {
	p.Helper()
	var rules []filter.Rule
	for _, one := range p.kind.Paths {
		rules = append(rules, filter.Under(one.Path)...)
	}
	f, err := filter.Compile(rules)
	p.must(err)
	now := func() time.Time { p.moment = p.moment.Add(time.Second); return p.moment }
	kinds := whole.Kinds{p.kind}
	p.carriers = kinds.Carry(whole.Options{
		Replica: "r", Path: path, Env: "e", Host: "h", Log: slog.New(slog.DiscardHandler), Now: now,
		Doing: func(string) {},
	})
	p.Replica = replica.New(replica.Options{
		Name: "r", Workspace: "o/p/e", Path: path, Host: "h", Filter: f, Now: now, Wholes: kinds, Capture: p.carriers.Capture,
		Layout: store.NewSnapshot(p.bucket.At("p"), filepath.Join(path, localfs.Dir, "manifests")),
	})
	p.Cleanup(p.Close)
	p.carriers.Serve(p.Replica)
}

// restart is another run on the same tree.
func (p *place) restart() {
	p.Helper()
	p.Close()
	p.make(p.Path)
	p.acquire()
}

func (w *world) must(errs ...error) {
	w.Helper()
	for _, err := range errs {
		if err != nil {
			w.Fatal(err)
		}
	}
}

// acquire brings the tree to the head, and the directories to what waits of theirs.
func (p *place) acquire() {
	p.Helper()
	p.must(p.Open("lineage", p.generation))
	if h := p.Base().Header; h.Ref != p.ref || !p.Received(p.ref) || p.generation == 0 {
		t := &store.Tree{}
		if p.generation > 0 {
			var err error
			t, err = p.Layout.Tree(p.Context(), p.ref)
			p.must(err)
		}
		p.must(p.Receive(t, p.ref, 1, p.generation))
	}
	_, err := p.Settle(p.Context(), replica.SettleOptions{Source: p.Layout})
	p.must(err, p.carriers.Settle(p.Context(), p.Layout))
}

// push brings what changed to the bucket.
func (p *place) push() {
	p.Helper()
	found, err := p.Scan(p.Context(), nil)
	p.must(err)
	staged, err := p.Send(p.Context(), found, 1, nil)
	p.must(err)
	staged.Goes = true
	step, err := p.MakeStep(staged, false, 1, p.generation+1)
	p.must(err)
	if step == nil {
		return
	}
	ref, err := p.Layout.Publish(p.Context(), step.Publication)
	p.must(err)
	step.Delta.Header.Ref = ref.Manifest
	p.must(p.Base().Prepare(store.NewID(), step.Delta), p.Base().Resolve(true))
	p.generation, p.ref = p.generation+1, ref.Manifest
}

// rows are the paths of files and links in the bucket.
func (w *world) rows() (paths []string) {
	w.Helper()
	t, err := store.NewSnapshot(w.bucket.At("p"), filepath.Join(w.TempDir(), "m")).Tree(w.Context(), w.ref)
	w.must(err)
	for _, e := range t.Entries {
		if e.Kind != tree.Dir {
			paths = append(paths, e.Path)
		}
	}
	return paths
}

func (p *place) at(path string) string { return filepath.Join(p.Path, path) }

func (p *place) has(path string) bool {
	_, err := os.Lstat(p.at(path))
	return err == nil
}

func (p *place) write(path, body string) {
	p.Helper()
	p.must(os.MkdirAll(filepath.Dir(p.at(path)), 0o755), os.WriteFile(p.at(path), []byte(body), 0o644))
}

func (p *place) read(path string) string {
	p.Helper()
	body, err := os.ReadFile(p.at(path))
	p.must(err)
	return string(body)
}

// expectNotes expects as many notes, with those words.
func (p *place) expectNotes(want ...string) {
	p.Helper()
	notes := p.carriers.Notes()
	var a account.Account
	p.carriers.Account(&a)
	for _, w := range want {
		if !slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, w) }) {
			p.Errorf("notes are %q, want one with %q", notes, w)
		}
	}
	counted := 0
	for _, w := range want {
		if !strings.Contains(w, "no consistency") {
			counted++
		}
	}
	if len(notes) != len(want) || a.Count() != counted {
		p.Errorf("notes are %q, and %d in the account, want such with %q", notes, a.Count(), want)
	}
}

// patience is for how long processes may stand in these tests: the machine may be busy.
const patience = time.Minute

// stopper stops the processes that are marked with a tree.
type stopper struct {
	*process.Freezer
	mark string
}

func newStopper(mark string, limit time.Duration) (Stopper, error) {
	f, err := process.NewFreezer([]string{"/proc/self/exe", "guard"}, limit)
	return stopper{f, mark}, err
}

func (s stopper) Stop(units []string) (int, error) {
	return s.Freezer.Stop(process.Selection{Marker: s.mark, Units: units})
}

// writer writes shards in a directory of the tree as a unit, until the test's end.
func (p *place) writer(dir, unit string) (stop func()) {
	p.Helper()
	p.must(os.MkdirAll(p.at(dir), 0o700))
	c, err := process.Start(process.Spec{
		Argv: []string{"/proc/self/exe"}, Env: []string{asChild + "=" + p.at(dir)}, Marker: p.Path + "/" + unit,
	}, os.Stderr)
	p.must(err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Wait()
		c.Reap()
	}()
	stop = func() { c.Signal(syscall.SIGKILL); <-ended }
	p.Cleanup(stop)
	p.moves(dir)
	return stop
}

// moves returns when a writer wrote more.
func (p *place) moves(dir string) {
	p.Helper()
	before := shardIn(p.at(dir), shards-1)
	for deadline := time.Now().Add(time.Minute); shardIn(p.at(dir), shards-1) < before+20; {
		if time.Now().After(deadline) {
			p.Fatal("nobody writes")
		}
		syscall.Select(0, nil, nil, nil, &syscall.Timeval{Usec: 1000})
	}
}

// differs says in which way two directories differ; "" is none.
func differs(a, b string) string {
	list := func(dir string) map[string]string {
		all := map[string]string{}
		_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, _ := filepath.Rel(dir, path)
			info, err := d.Info()
			if err != nil {
				return err
			}
			body, _ := os.ReadFile(path)
			target, _ := os.Readlink(path)
			time := ""
			if info.Mode().IsRegular() {
				time = strconv.FormatInt(info.ModTime().UnixNano(), 10)
			}
			all[rel] = info.Mode().String() + " " + time + " " + target + string(bytes.TrimSpace(body))
			return nil
		})
		return all
	}
	x, y := list(a), list(b)
	for at := range x {
		if x[at] != y[at] {
			return fmt.Sprintf("%s is %.60q in one, %.60q in the other", at, x[at], y[at])
		}
	}
	if len(x) != len(y) {
		return fmt.Sprintf("%d paths in one, %d in the other", len(x), len(y))
	}
	return ""
}
