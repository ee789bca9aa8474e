package replica

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/sample"
)

// A step that does not fit into memory is one generation all the same, and is
// there after a crash between its preparation and its commit.
func TestLargeStep(t *testing.T) {
	sample.Long(t)
	one, two := started(t, map[string]string{"a": "1", "b": "2", "gone": "3", "m/x": "4"})
	one.spoolAfter = spoolMany
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

	w.must(one.base.Rest())
	found, err := one.Scan(t.Context())
	w.must(err)
	batch := one.Layout.Begin(filepath.Join(one.Stage(), "out"), 1, nil)
	staged, err := one.StageEdits(t.Context(), batch, found.Edited)
	w.must(errorsJoin(err, batch.Send(t.Context())))
	if staged.Spool.Len() < spoolMany || len(staged.Changes) == 0 || staged.Len() != files+50+2 {
		t.Fatalf("%d rows on the disk, %d in memory", staged.Spool.Len(), len(staged.Changes))
	}
	step, err := one.Next(staged, found.Gone, found.Forgotten, w.epoch, w.generation+1)
	w.must(err)
	ref, err := one.Layout.Publish(t.Context(), step.Publication)
	step.Delta.Header.Ref = ref.Manifest
	w.must(errorsJoin(err, one.base.Prepare("n", step.Delta)))

	crashed := load(t, one.Dir())
	if n := len(crashed.Pending.Delta.Changes); n != step.Delta.Len() || len(crashed.Rows()) != 5 {
		t.Errorf("after a crash %d changes are pending beside %d rows", n, len(crashed.Rows()))
	}
	w.must(one.base.Resolve(true))
	w.generation, w.ref = w.generation+1, step.Delta.Header.Ref
	totals := one.base.Totals()
	again := load(t, one.Dir())
	if diff := cmp.Diff(again.Totals(), totals); diff != "" || !one.base.resting || one.base.journal != 0 || totals.Files != files+3 {
		t.Errorf("%d files, a journal of %d bytes, resting %v: %s", totals.Files, one.base.journal, one.base.resting, diff)
	}
	if n := one.pushAll(); n > 0 { // what was written a moment ago is looked at again
		t.Error("the next scan finds changes")
	}
	two.mustAcquire()
	if diff := cmp.Diff(one.show(), two.show()); diff != "" {
		t.Error(diff)
	}
}

// What is pending at rest is no row yet, and is one after the commit, whatever else
// is in the journal.
func TestStepAtRest(t *testing.T) {
	for _, size := range []int{1, restJournal} {
		b := savedBase(t)
		b.Unplaced = nil
		b.unsaved = true
		was := state(b)
		if err := errorsJoin(b.Rest(), b.Prepare("n", put(baseRow("p", "1"), longRow(size)))); err != nil {
			t.Fatal(err)
		}
		var paths []string
		err := b.Each(func(row *Row) error { paths = append(paths, row.Path); return nil })
		if diff := cmp.Diff([]string{"a", "b", "b\n", "\xff"}, paths); err != nil || diff != "" {
			t.Errorf("while it is pending: %v %s", err, diff)
		}
		if err := b.Resolve(true); err != nil {
			t.Fatal(err)
		}
		if (b.journal == 0) != (size == restJournal) {
			t.Errorf("after a step of %d bytes the journal has %d", size, b.journal)
		}
		again := load(t, b.dir)
		if again.Row("p") == nil || again.Totals() != b.Totals() {
			t.Errorf("%+v on the disk, %+v here", again.Totals(), b.Totals())
		}
		if err := b.Wake(); err != nil || state(b) != state(again) || state(b) == was {
			t.Errorf("awake: %v %s", err, cmp.Diff(state(again), state(b)))
		}
	}
}

// longRow is a row whose text is at least so long.
func longRow(size int) Row {
	r := baseRow("q", "1")
	r.Link = string(make([]byte, size/3+1))
	return r
}

// A save that is cut leaves a base whose later steps count.
func TestStepAfterAFailedSave(t *testing.T) {
	b := savedBase(t)
	cut := func() (func() (*Row, error), func(), error) { return nil, nil, errDamaged }
	if err := b.save(cut); err == nil {
		t.Fatal("it was saved")
	}
	if err := b.Apply(put(baseRow("new", "1"))); err != nil {
		t.Fatal(err)
	}
	if load(t, b.dir).Row("new") == nil {
		t.Error("what came after a failed save is lost")
	}
}

// A spool that cannot be read is an error, and not the end of the rows.
func TestSpoolIsCut(t *testing.T) {
	s, err := newSpool(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 10 {
		row := baseRow(fmt.Sprint(i), "1")
		if err := s.add(&Change{Row: row}); err != nil {
			t.Fatal(err)
		}
	}
	if s.takes("5") || !s.takes("95") {
		t.Error("it takes rows out of order")
	}
	if err := errorsJoin(s.w.Flush(), s.file.Truncate(500)); err != nil {
		t.Fatal(err)
	}
	d := Delta{Spool: s}
	if _, err := d.paths(); err == nil {
		t.Error("a cut spool passes for a whole one")
	}
	b := savedBase(t)
	b.Unplaced = nil
	for _, rest := range []bool{false, true} {
		if rest {
			if err := b.Rest(); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Prepare("n", d); err == nil || b.Pending != nil || !b.Intact() {
			t.Errorf("resting %v: error %v, pending %v", rest, err, b.Pending)
		}
	}
	if again := load(t, b.dir); again.Row("0") != nil || again.Row("a") == nil {
		t.Errorf("rows: %v", again.Entries())
	}
}
