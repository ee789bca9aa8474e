// Package gentest makes generations of one replica in a bucket in memory, without an
// engine and without a lease: what the tests of those who read or collect them run on.
// Only tests may import it.
package gentest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/coltec/coltec/pkg/tree"
)

// What the workspace and its replica are called; the replica's prefix has its name.
const (
	Name    = "o/p/e"
	Replica = "r"
)

// Workspace is a workspace of one replica, with a clock of its own.
type Workspace struct {
	Bucket  *storetest.Bucket // the root of the remote
	Prefix  *storetest.Bucket // the replica's
	Layout  *store.Snapshot
	Now     time.Time
	Head    store.Head
	Entries []tree.Entry // of the newest generation
	t       testing.TB
}

// New makes one that nothing was committed to.
func New(t testing.TB) *Workspace {
	b := storetest.New()
	return &Workspace{
		t: t, Bucket: b, Prefix: b.At(Replica), Layout: store.NewSnapshot(b.At(Replica), t.TempDir()),
		Now:  time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
		Head: store.Head{Format: 1, Workspace: Name, Lineage: "l", Epoch: 1, State: store.Released},
	}
}

// Pass moves the clock, and that of the store.
func (w *Workspace) Pass(d time.Duration) {
	w.Now = w.Now.Add(d)
	w.Bucket.Advance(d)
}

// Save makes a generation in which each of the files has new content; an object each.
func (w *Workspace) Save(paths ...string) {
	w.t.Helper()
	for _, path := range paths {
		w.Put(path, fmt.Sprint(path, " of ", w.Head.Generation+1))
	}
	w.Publish()
}

// Put has a file with some content in the next generation; an object each.
func (w *Workspace) Put(path, body string) {
	w.t.Helper()
	e := tree.Entry{Path: path, Kind: tree.File, Mode: 0o644, Size: int64(len(body)), Sum: sha256.Sum256([]byte(body))}
	batch := w.Layout.Begin(w.t.TempDir(), 1, nil)
	_, err := batch.Add(w.t.Context(), &e, strings.NewReader(body))
	w.must(err)
	w.must(batch.Send(w.t.Context()))
	w.drop(path)
	w.Entries = append(w.Entries, e)
	tree.Sort(w.Entries)
}

// Remove makes a generation without a file.
func (w *Workspace) Remove(path string) {
	w.t.Helper()
	w.drop(path)
	w.Publish()
}

func (w *Workspace) drop(path string) {
	w.Entries = slices.DeleteFunc(w.Entries, func(e tree.Entry) bool { return e.Path == path })
}

// Publish makes the entries the next generation.
func (w *Workspace) Publish() {
	w.t.Helper()
	ref, err := w.Layout.Publish(w.t.Context(), store.Publication{
		Entries: w.each(), From: w.Manifest(), Workspace: Name, Replica: Replica, Epoch: 1, Generation: w.Head.Generation + 1,
	})
	w.must(err)
	w.Commit(map[string]store.Ref{Replica: ref})
}

// Commit makes refs the next generation.
func (w *Workspace) Commit(refs map[string]store.Ref) {
	w.t.Helper()
	w.Head.Nonce = fmt.Sprint("n", w.Head.Generation)
	w.Head.Commit(refs, w.Now)
	body, err := json.Marshal(w.Head)
	w.must(err)
	w.Bucket.Set(store.HeadKey(Name), body)
}

func (w *Workspace) each() iter.Seq2[*tree.Entry, error] {
	return func(yield func(*tree.Entry, error) bool) {
		for i := range w.Entries {
			if !yield(&w.Entries[i], nil) {
				return
			}
		}
	}
}

// Manifest is that of the newest generation.
func (w *Workspace) Manifest() string { return w.Head.Replicas[Replica].Manifest }

// Object is where the content of a file lies.
func (w *Workspace) Object(path string) string { return tree.Find(w.Entries, path).Where[0].Object }

func (w *Workspace) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}
