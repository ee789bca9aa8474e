package replica

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/base"
	"github.com/google/go-cmp/cmp"
)

// unloaded reports whether a base has its rows on the disk alone: then it gives none.
func unloaded(b *base.Base) (is bool) {
	defer func() { is = recover() != nil }()
	b.Rows()
	return false
}

// A step that does not fit into memory is one generation all the same, and is
// there after a crash between its preparation and its commit.
func TestLargeStep(t *testing.T) {
	sample.Long(t)
	one, two := started(t, map[string]string{"a": "1", "b": "2", "gone": "3", "m/x": "4"})
	one.spoolAfter = base.SpoolMany
	w := one.w
	const files = 17_000 // more than a pack has pieces
	for i := range files {
		path := one.at(fmt.Sprintf("d%02d/%d", i%50, i))
		if i < 50 {
			w.must(os.Mkdir(filepath.Dir(path), 0o755))
		}
		w.must(os.WriteFile(path, fmt.Appendf(nil, "content %d", i), 0o644))
	}
	one.write(map[string]string{"b": "new"})
	w.must(errorsJoin(os.Remove(one.at("gone")), os.RemoveAll(one.at("m")), os.WriteFile(one.at("m"), []byte("a file now"), 0o644)))

	w.must(one.base.Unload())
	found, err := one.ScanIn(t.Context(), nil)
	w.must(err)
	batch := one.Layout.Begin(filepath.Join(one.StageDir(), "out"), 1, nil)
	staged, err := one.StageEdits(t.Context(), batch, found.Edited)
	w.must(errorsJoin(err, batch.Send(t.Context())))
	if staged.Spool.Len() < base.SpoolMany || len(staged.Changes) == 0 || staged.Len() != files+50+2 {
		t.Fatalf("%d rows on the disk, %d in memory", staged.Spool.Len(), len(staged.Changes))
	}
	step, err := one.Next(staged, found.Gone, found.Forgotten, w.epoch, w.generation+1)
	w.must(err)
	ref, err := one.Layout.Publish(t.Context(), step.Publication)
	step.Delta.Header.Ref = ref.Manifest
	w.must(errorsJoin(err, one.base.Prepare("n", step.Delta)))

	crashed, err := base.Open(one.Dir())
	w.must(err)
	if n := len(crashed.Pending.Delta.Changes); n != step.Delta.Len() || len(crashed.Rows()) != 5 {
		t.Errorf("after a crash %d changes are pending beside %d rows", n, len(crashed.Rows()))
	}
	w.must(one.base.Resolve(true))
	w.generation, w.ref = w.generation+1, step.Delta.Header.Ref
	totals := one.base.Totals()
	again, err := base.Open(one.Dir())
	w.must(err)
	if _, err := os.Stat(filepath.Join(one.Dir(), "journal")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the journal of a large step stays: %v", err)
	}
	if diff := cmp.Diff(again.Totals(), totals); diff != "" || !unloaded(one.base) || totals.Files != files+3 {
		t.Errorf("%d files, at rest: %v: %s", totals.Files, unloaded(one.base), diff)
	}
	if n := one.pushAll(); n > 0 { // what was written a moment ago is looked at again
		t.Error("the next scan finds changes")
	}
	two.mustAcquire()
	if diff := cmp.Diff(one.show(), two.show()); diff != "" {
		t.Error(diff)
	}
}

// A save comes with all that it edits in the tree of the manifest before, so that nobody reads
// the rest of it: until something goes, comes from another machine, or the
// base is opened anew. What is told is what is so: the harness compares each of them.
func TestSavesAreTold(t *testing.T) {
	one, two := started(t, map[string]string{"a": "1", "b": "2", "d/c": "3", "d/e/f": "4"})
	w := one.w
	one.spoolAfter, two.spoolAfter = base.SpoolMany, base.SpoolMany
	for _, step := range []struct {
		name string
		do   func()
		told bool
	}{
		{"a file", func() { one.put("a", "second") }, true},
		{"the same one", func() { one.put("a", "third, which is longer") }, true},
		{"a new one", func() { one.put("new/g", "5") }, true},
		{"a mode", func() { w.must(os.Chmod(one.at("b"), 0o755)) }, true},
		{"a mode of a directory", func() { w.must(os.Chmod(one.at("d/e"), 0o700)) }, true},
		{"a link", func() { one.put("d/l", "> c") }, true},
		{"an empty file", func() { one.put("d/empty", "") }, true},
		{"a link that becomes a file", func() { w.must(errorsJoin(os.Remove(one.at("d/l")), os.WriteFile(one.at("d/l"), []byte("6"), 0o644))) }, true},
		{"what goes", func() { w.must(os.Remove(one.at("d/c"))) }, false},
		{"a file after that", func() { one.put("d/e/f", "7") }, true},
		{"many", func() {
			for i := range 1200 {
				one.put(fmt.Sprintf("many/%d", i), "m")
			}
		}, false},
		{"a file of those", func() { one.put("many/7", "8") }, true},
		{"one beside what came from elsewhere", func() {
			two.mustAcquire()
			two.put("theirs", "9")
			two.pushAll()
			one.mustAcquire()
			one.put("a", "after theirs")
		}, false},
		{"and one more", func() { one.put("theirs", "10") }, true},
		{"one after a crash", func() {
			again, err := base.Open(one.Dir())
			w.must(err)
			one.base = again
			one.put("a", "after a crash")
		}, false},
		{"the last", func() { one.put("a", "the end") }, true},
	} {
		step.do()
		was := w.told
		if n := one.pushAll(); n != 1 || (w.told > was) != step.told {
			t.Errorf("%s: %d steps, told %v", step.name, n, w.told > was)
		}
	}
	two.mustAcquire()
	if diff := cmp.Diff(one.show(), two.show()); diff != "" {
		t.Error(diff)
	}
}
