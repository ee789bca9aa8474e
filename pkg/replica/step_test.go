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
