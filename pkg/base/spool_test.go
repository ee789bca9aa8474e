package base

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is pending while a base is unloaded is not a row yet, and is one after the commit, whatever else
// is in the journal.
func TestStepWhileUnloaded(t *testing.T) {
	for _, size := range []int{1, longJournal} {
		b := savedBase(t)
		b.Unplaced = nil
		b.unsaved = true
		was := state(b)
		if err := errors.Join(b.Unload(), b.Prepare("n", put(baseRow("p", "1"), longRow(size)))); err != nil {
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
		if (b.journal == 0) != (size == longJournal) {
			t.Errorf("after a step of %d bytes the journal has %d", size, b.journal)
		}
		again := load(t, b.dir)
		if again.Row("p") == nil || again.Totals() != b.Totals() {
			t.Errorf("%+v on the disk, %+v here", again.Totals(), b.Totals())
		}
		if err := b.Load(); err != nil || state(b) != state(again) || state(b) == was {
			t.Errorf("loaded: %v %s", err, cmp.Diff(state(again), state(b)))
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
	s, err := NewSpool(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 10 {
		row := baseRow(fmt.Sprint(i), "1")
		if err := s.Add(&Change{Row: row}); err != nil {
			t.Fatal(err)
		}
	}
	if s.Takes("5") || !s.Takes("95") {
		t.Error("it takes rows out of order")
	}
	if err := errors.Join(s.w.Flush(), s.file.Truncate(500)); err != nil {
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
			if err := b.Unload(); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Prepare("n", d); err == nil || b.Pending != nil || !b.Intact() {
			t.Errorf("unloaded %v: error %v, pending %v", rest, err, b.Pending)
		}
	}
	if again := load(t, b.dir); again.Row("0") != nil || again.Row("a") == nil {
		t.Errorf("rows: %v", again.Entries())
	}
}

// The rows of a step whose commit failed, or was found out about later, stayed open on the disk.
func TestASpoolIsFreed(t *testing.T) {
	for _, committed := range []bool{true, false} {
		for _, unloaded := range []bool{true, false} {
			b := savedBase(t)
			b.Unplaced, b.unsaved = nil, true
			if unloaded {
				if err := b.Unload(); err != nil {
					t.Fatal(err)
				}
			}
			s, err := NewSpool(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			row := baseRow("spooled", "1")
			if err := errors.Join(s.Add(&Change{Row: row}), b.Prepare("n", Delta{Spool: s})); err != nil {
				t.Fatal(err)
			}
			if _, err := s.file.Stat(); err != nil {
				t.Errorf("it is closed while it is pending: %v", err)
			}
			if err := b.Resolve(committed); err != nil {
				t.Fatal(err)
			}
			if _, err := s.file.Stat(); !errors.Is(err, os.ErrClosed) {
				t.Errorf("committed %v, unloaded %v: it is open still: %v", committed, unloaded, err)
			}
			if err := b.Load(); err != nil || (b.Row("spooled") != nil) != committed {
				t.Errorf("committed %v, unloaded %v: %v, %v", committed, unloaded, b.Row("spooled"), err)
			}
		}
	}
}
