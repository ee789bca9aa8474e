package databases

import (
	"bufio"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

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
	now      time.Time
}

func newWorld(t *testing.T) *world {
	sample.Long(t)
	return &world{T: t, bucket: storetest.New()}
}

// place makes a tree; with kinds of wholes or, as an older coltecd, without.
func (w *world) place(excludes ...string) *place { return w.placeOf(whole.Kinds{Kind{}}, excludes...) }

func (w *world) placeOf(kinds whole.Kinds, excludes ...string) *place {
	w.Helper()
	f, err := filter.Compile(filter.Excludes(excludes))
	w.must(err)
	p := &place{world: w, now: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)}
	w.opened(p, kinds, f, w.TempDir())
	return p
}

// opened makes the replica and the carriers of a place, as a coltecd that starts does.
func (w *world) opened(p *place, kinds whole.Kinds, f *filter.Filter, path string) {
	now := func() time.Time {
		p.now = p.now.Add(time.Second)
		return p.now
	}
	p.carriers = kinds.Carry(whole.Options{
		Replica: "r", Path: path, Env: "e", Host: "h", Log: slog.New(slog.DiscardHandler), Now: now,
		Came:    func(path string) bool { return p.Agrees(path) },
		Carries: func(path string) bool { return f.Carries(path, false) },
		Doing:   func(string) {},
	})
	p.Replica = replica.New(replica.Options{
		Name: "r", Workspace: "o/p/e", Path: path, Host: "h", Filter: f, Now: now, Wholes: kinds, Capture: p.carriers.Capture,
		Layout: store.NewSnapshot(w.bucket.At("p"), filepath.Join(path, localfs.Dir, "manifests")),
	})
	w.Cleanup(p.Close)
	p.carriers.Serve(p.Replica)
}

// restart is another coltecd in the same tree.
func (p *place) restart(kinds whole.Kinds) *place {
	p.Helper()
	p.Replica.Close()
	next := &place{world: p.world, now: p.now}
	p.world.opened(next, kinds, p.Filter, p.Path)
	return next
}

func (w *world) must(errs ...error) {
	w.Helper()
	for _, err := range errs {
		if err != nil {
			w.Fatal(err)
		}
	}
}

// acquire brings the tree to the head.
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
	p.settle()
}

// settle places what waits.
func (p *place) settle() {
	p.Helper()
	p.must(p.carriers.Clear(p.Context()))
	_, err := p.Settle(p.Context(), replica.SettleOptions{Source: p.Layout})
	p.must(err, p.carriers.Settle(p.Context(), p.Layout))
}

// push brings what changed to the bucket, and gives what a walk could not tell.
func (p *place) push() (unknown []localfs.Unknown) {
	p.Helper()
	found, err := p.Scan(p.Context(), nil)
	p.must(err)
	unknown = slices.Clone(found.Unknown)
	staged, err := p.Send(p.Context(), found, 1, nil)
	p.must(err)
	staged.Goes = true
	step, err := p.MakeStep(staged, false, 1, p.generation+1)
	p.must(err)
	if step == nil {
		return unknown
	}
	ref, err := p.Layout.Publish(p.Context(), step.Publication)
	p.must(err)
	step.Delta.Header.Ref = ref.Manifest
	p.must(p.Base().Prepare(store.NewID(), step.Delta), p.Base().Resolve(true))
	p.generation, p.ref = p.generation+1, ref.Manifest
	return unknown
}

// tree is what is in the bucket.
func (w *world) tree() *store.Tree {
	w.Helper()
	t, err := store.NewSnapshot(w.bucket.At("p"), filepath.Join(w.TempDir(), "m")).Tree(w.Context(), w.ref)
	w.must(err)
	return t
}

// rows are the paths of files and links in the bucket.
func (w *world) rows() (paths []string) {
	w.Helper()
	t := w.tree()
	for i := range t.Entries {
		if t.Entries[i].Kind != tree.Dir {
			paths = append(paths, t.Entries[i].Path)
		}
	}
	return paths
}

// laid writes what is in the bucket to a directory, each database where it belongs.
func (w *world) laid() string {
	w.Helper()
	dir := filepath.Join(w.TempDir(), "out")
	t, _ := whole.Kinds{Kind{}}.Harmless(w.tree())
	_, err := replica.Export(w.Context(), dir, whole.Kinds{Kind{}}.Laid(t), store.NewSnapshot(w.bucket.At("p"), filepath.Join(w.TempDir(), "m")), true, nil)
	w.must(err)
	return dir
}

// rowsOf are those of a database's shadow.
func rowsOf(at string, names ...string) (paths []string) {
	for _, name := range names {
		paths = append(paths, layout.Dir+"/"+at+"/"+name)
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

func (p *place) account() string {
	var a account.Account
	p.carriers.Account(&a)
	var out []string
	for _, part := range a.Parts() {
		out = append(out, string(part.Reason)+" "+strings.Join(part.Names, " ")+": "+part.Why)
	}
	return strings.Join(out, "\n")
}

// files are the names of files in a directory of the tree.
func (p *place) files(dir string) (names []string) {
	p.Helper()
	entries, err := os.ReadDir(p.at(dir))
	p.must(err)
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// copies are the files below a directory of the tree's own one, without those above them that
// say when.
func (p *place) copies(dir string) (paths []string) {
	p.Helper()
	top := p.at(localfs.Dir + "/" + dir)
	err := filepath.WalkDir(top, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(top, path)
			paths = append(paths, rel)
		}
		return err
	})
	if err != nil && !localfs.Absent(err) {
		p.Fatal(err)
	}
	return paths
}

// hang is for how long a test waits for what takes milliseconds.
const hang = 5 * time.Minute

// ledgers is the real SQLite, in Python: see there.
const ledgers = "../sqlite/testdata/ledger.py"

// A program is a process of it.
type program struct {
	testing.TB
	cmd *exec.Cmd
	in  io.WriteCloser
	out chan string
}

func run(t testing.TB, args ...string) *program {
	t.Helper()
	p := &program{TB: t, cmd: exec.Command("python3", append([]string{ledgers}, args...)...), out: make(chan string)}
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = os.Stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%v (apt-get install python3)", err)
	}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.out <- lines.Text()
		}
		close(p.out)
	}()
	t.Cleanup(p.kill)
	return p
}

// kill ends the process as kill -9 does; it may have ended.
func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	for range p.out {
	}
	_ = p.cmd.Wait()
}

func (p *program) line() string {
	p.Helper()
	select {
	case line := <-p.out:
		return line
	case <-time.After(hang):
		p.Fatalf("%v says nothing", p.cmd.Args)
		return ""
	}
}

// ask gives the answer to one line.
func (p *program) ask(line string) string {
	p.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		p.Fatal(err)
	}
	return p.line()
}

// do asks for what does not fail.
func (p *program) do(lines ...string) {
	p.Helper()
	for _, line := range lines {
		if got := p.ask(line); strings.HasPrefix(got, "error") {
			p.Fatalf("%s: %s", line, got)
		}
	}
}

// ledger makes one in the tree.
func (p *place) ledger(at, mode string, rows string) {
	p.Helper()
	p.must(os.MkdirAll(filepath.Dir(p.at(at)), 0o755))
	m := run(p.T, "make", p.at(at), mode, rows)
	if said := m.line(); said != "" {
		p.Fatal(said)
	}
	m.kill()
}

// shell uses a database of the tree as another process.
func (p *place) shell(at string) *program {
	p.Helper()
	s := run(p.T, "shell", p.at(at), "5")
	s.do("SELECT 1")
	return s
}

// change makes so many transactions in a database that nobody else has open.
func (p *place) change(at string, times int) {
	p.Helper()
	s := p.shell(at)
	for range times {
		s.do("few")
	}
	s.do("close")
	s.kill()
}

// judge says how many transactions a ledger has, or what is wrong with it, and leaves it as it
// is: a copy is opened.
func judge(t testing.TB, path string) string {
	t.Helper()
	dir := t.TempDir()
	for _, end := range []string{"", "-wal", "-journal"} {
		b, err := os.ReadFile(path + end)
		if err != nil && (end == "" || !localfs.Absent(err)) {
			return err.Error()
		}
		if err == nil {
			if err := os.WriteFile(filepath.Join(dir, "ledger"+end), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	j := run(t, "judge")
	defer j.kill()
	return j.ask(filepath.Join(dir, "ledger"))
}

func want[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
