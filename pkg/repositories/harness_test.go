package repositories

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/gittest"
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
}

func newWorld(t *testing.T) *world {
	sample.Long(t)
	return &world{T: t, bucket: storetest.New()}
}

func (w *world) place(mode Mode) *place {
	w.Helper()
	path := w.TempDir()
	rules := filter.Excludes(nil)
	if mode != Files {
		rules = []filter.Rule{{Pattern: ".git/**"}}
	}
	f, err := filter.Compile(rules)
	w.must(err)
	p := &place{world: w}
	now := func() time.Time { return time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC) }
	kinds := whole.Kinds{Kind{Mode: mode}}
	p.carriers = kinds.Carry(whole.Options{
		Replica: "r", Path: path, Env: "e", Host: "h", Log: slog.New(slog.DiscardHandler), Now: now,
		Came:  func(path string) bool { return p.Agrees(path) },
		Doing: func(string) {},
	})
	p.Replica = replica.New(replica.Options{
		Name: "r", Workspace: "o/p/e", Path: path, Host: "h", Filter: f, Now: now, Wholes: kinds, Capture: p.carriers.Capture,
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

// acquire brings the tree to the head, and the repositories to what waits of theirs.
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

// push brings what changed to the bucket; held are deletions.
func (p *place) push(held bool) {
	p.Helper()
	found, err := p.Scan(p.Context(), nil)
	p.must(err)
	staged, err := p.Send(p.Context(), found, 1, nil)
	p.must(err)
	staged.Goes = !held
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

func (p *place) git(dir string, args ...string) string {
	p.Helper()
	out, err := gittest.Run(p.at(dir), args...)
	if err != nil {
		p.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

// commit makes a commit with a file in a repository, which is made where there is none.
func (p *place) commit(dir, file string) string {
	p.Helper()
	if !p.has(dir + "/.git") {
		p.must(os.MkdirAll(p.at(dir), 0o755))
		p.git(dir, "init", "-q")
	}
	p.write(filepath.Join(dir, file), "content of "+file+"\n")
	p.git(dir, "add", "-A")
	p.git(dir, "commit", "-q", "-m", file)
	return p.git(dir, "rev-parse", "HEAD")
}

// notes are those that begin with something of the replica.
func (p *place) note(part string) bool {
	return slices.ContainsFunc(p.carriers.Notes(), func(n string) bool { return strings.Contains(n, part) })
}

// uncaptured are the paths of the account.
func (p *place) uncaptured() (names []string) {
	var a account.Account
	p.carriers.Account(&a)
	for _, part := range a.Parts() {
		if part.Reason != account.Uncaptured {
			p.Errorf("the account says %s", part.Reason)
		}
		names = append(names, part.Names...)
	}
	return names
}

func (p *place) expectNotes(want ...string) {
	p.Helper()
	if notes := p.carriers.Notes(); len(notes) != len(want) || slices.ContainsFunc(want, func(w string) bool { return !p.note(w) }) {
		p.Errorf("notes are %s, want such with %q", fmt.Sprintf("%q", notes), want)
	}
}
