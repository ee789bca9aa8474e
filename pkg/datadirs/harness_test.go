package datadirs

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
	"golang.org/x/sys/unix"
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
}

func newWorld(t *testing.T) *world { return &world{T: t, bucket: storetest.New()} }

func (w *world) place() *place {
	w.Helper()
	path := w.TempDir()
	f, err := filter.Compile(nil)
	w.must(err)
	p := &place{world: w}
	now := func() time.Time { return time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC) }
	kinds := whole.Kinds{Kind{}}
	p.carriers = kinds.Carry(whole.Options{Replica: "r", Path: path, Env: "e", Host: "h", Log: slog.New(slog.DiscardHandler), Now: now})
	p.Replica = replica.New(replica.Options{
		Name: "r", Workspace: "o/p/e", Path: path, Host: "h", Filter: f, Now: now, Wholes: kinds,
		Capture: p.carriers.Capture, Comes: p.carriers.Comes,
		Layout: store.NewSnapshot(w.bucket.At("p"), filepath.Join(path, localfs.Dir, "manifests")),
	})
	w.Cleanup(p.Close)
	p.carriers.Serve(p.Replica)
	return p
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
func (p *place) acquire() *replica.Outcome {
	p.Helper()
	p.must(p.Open("lineage", p.generation))
	t := &store.Tree{}
	if p.ref != "" {
		var err error
		t, err = p.Layout.Tree(p.Context(), p.ref)
		p.must(err)
	}
	p.must(p.Receive(t, p.ref, 1, p.generation))
	return p.settle()
}

func (p *place) settle() *replica.Outcome {
	p.Helper()
	out, err := p.Settle(p.Context(), replica.SettleOptions{Source: p.Layout})
	p.must(err)
	return out
}

// push pushes what changed, in one step, and gives what did not settle.
func (p *place) push() []localfs.Unknown {
	p.Helper()
	found, err := p.Scan(p.Context(), nil)
	p.must(err)
	if !found.Any {
		return nil
	}
	return p.send(found)
}

func (p *place) send(found *replica.Changes) []localfs.Unknown {
	p.Helper()
	staged, err := p.Send(p.Context(), found, 1, nil)
	p.must(err)
	staged.Goes = staged.Loss != nil && !staged.Loss.Waits()
	step, err := p.MakeStep(staged, false, 1, p.generation+1)
	p.must(err)
	if step == nil {
		return staged.Unsettled
	}
	ref, err := p.Layout.Publish(p.Context(), step.Publication)
	p.must(err)
	step.Delta.Header.Ref = ref.Manifest
	p.must(p.Base().Apply(step.Delta))
	p.generation, p.ref = p.generation+1, ref.Manifest
	return staged.Unsettled
}

// rows are the files of the newest generation, with what is in them.
func (w *world) rows() (rows []string) {
	w.Helper()
	if w.ref == "" {
		return nil
	}
	t, err := store.NewSnapshot(w.bucket.At("p"), w.TempDir()).Tree(w.Context(), w.ref)
	w.must(err)
	for i := range t.Entries {
		if e := &t.Entries[i]; e.Kind == tree.File {
			rows = append(rows, e.Path)
		}
	}
	slices.Sort(rows)
	return rows
}

// row is what the newest generation has at a path.
func (w *world) row(path string) *tree.Entry {
	w.Helper()
	t, err := store.NewSnapshot(w.bucket.At("p"), w.TempDir()).Tree(w.Context(), w.ref)
	w.must(err)
	e := tree.Find(t.Entries, path)
	if e == nil {
		w.Fatalf("no row %s", path)
	}
	return e
}

func (w *world) wantRows(what string, want ...string) {
	w.Helper()
	if got := w.rows(); !slices.Equal(got, want) {
		w.Errorf("%s: in the bucket are %q, want %q", what, got, want)
	}
}

func (p *place) at(path string) string { return filepath.Join(p.Path, path) }

func (p *place) write(path, content string) {
	p.Helper()
	p.must(os.MkdirAll(filepath.Dir(p.at(path)), 0o755), os.WriteFile(p.at(path), []byte(content), 0o644))
}

func (p *place) read(path string) string {
	b, err := os.ReadFile(p.at(path))
	if err != nil {
		return ""
	}
	return string(b)
}

// leveldb writes what looks like a LevelDB at a path, in a state.
func (p *place) leveldb(dir, state string) {
	p.Helper()
	p.write(dir+"/CURRENT", "MANIFEST-000001\n")
	p.write(dir+"/MANIFEST-000001", state)
	p.write(dir+"/data.log", state)
	if _, err := os.Lstat(p.at(dir + "/LOCK")); err != nil {
		p.write(dir+"/LOCK", "")
	}
}

// run has somebody hold the lock of the LevelDB at a path, as its server does. stop ends it.
func (p *place) run(dir string) (stop func()) {
	p.Helper()
	f, err := os.OpenFile(p.at(dir+"/LOCK"), os.O_RDWR, 0)
	p.must(err)
	// An open file description's, so that a question of this process meets it: its own
	// record locks it does not see.
	p.must(unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}))
	return func() { p.must(f.Close()) }
}

func (p *place) account() string {
	var a account.Account
	p.carriers.Account(&a)
	return a.String()
}

func (p *place) notes() string { return strings.Join(p.carriers.Notes(), "\n") }
