package base

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// unloadedBase is an unloaded base whose journal has something, and its rows.
func unloadedBase(t *testing.T) (*Base, []Row) {
	t.Helper()
	b := savedBase(t)
	for _, s := range steps {
		if err := s.do(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Apply(Delta{Changes: []Change{goneAt("c"), goneAt("b\n"), {Row: baseRow("0", "first")}, {Row: baseRow("\xff\xff", "last")}}}); err != nil {
		t.Fatal(err)
	}
	rows := b.rows
	if err := b.Unload(); err != nil {
		t.Fatal(err)
	}
	if !b.unloaded || b.journal == 0 {
		t.Fatalf("unloaded %v with a journal of %d bytes", b.unloaded, b.journal)
	}
	return b, rows
}

func TestUnload(t *testing.T) {
	b, want := unloadedBase(t)
	totals := b.Totals()
	var got []Row
	err := b.Each(func(row *Row) error {
		got = append(got, *row)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read while unloaded: %s", diff)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("an unloaded base says that it has no rows")
			}
		}()
		b.Row("0")
	}()
	if err := b.Load(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.Rows()); diff != "" {
		t.Errorf("loaded again: %s", diff)
	}
	if diff := cmp.Diff(b.Totals(), totals); diff != "" {
		t.Error(diff)
	}
}

// What the disk does not have is not forgotten.
func TestUnloadWaits(t *testing.T) {
	tests := map[string]struct {
		do    func(b *Base) error
		rests bool
	}{
		"settled":            {func(*Base) error { return nil }, true},
		"looked at again":    {func(b *Base) error { b.Distrust(); return nil }, true},
		"a long journal":     {func(b *Base) error { return b.Apply(put(baseRow(strings.Repeat("x", longJournal), "1"))) }, true},
		"pending":            {func(b *Base) error { return b.Prepare("n", put(baseRow("p", "1"))) }, false},
		"something unplaced": {func(b *Base) error { b.Unplaced = []Change{goneAt("a")}; return nil }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := savedBase(t)
			b.Unplaced = nil
			if err := errors.Join(b.Save(), tt.do(b)); err != nil {
				t.Fatal(err)
			}
			want := state(b)
			if err := b.Unload(); err != nil {
				t.Fatal(err)
			}
			if b.unloaded != tt.rests {
				t.Errorf("unloaded: %v", b.unloaded)
			}
			if err := b.Load(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, state(b)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Rows that cannot be read any more are not gone: the base counts as lost.
func TestRowsAreLostWhileUnloaded(t *testing.T) {
	tests := map[string]func(b *Base) error{
		"removed":     func(b *Base) error { return os.RemoveAll(b.dir) },
		"another's":   func(b *Base) error { return replaceFile(b.file()) },
		"cut":         func(b *Base) error { return os.Truncate(b.file(), b.size-1) },
		"no journal":  func(b *Base) error { return os.Remove(b.journalFile()) },
		"cut journal": func(b *Base) error { return os.Truncate(b.journalFile(), b.journal-1) },
		"damaged": func(b *Base) error {
			f, err := os.OpenFile(b.file(), os.O_RDWR, 0)
			if err != nil {
				return err
			}
			last := []byte{0}
			_, err = f.ReadAt(last, b.size-2)
			last[0] ^= 1
			_, err2 := f.WriteAt(last, b.size-2)
			return errors.Join(err, err2, f.Close())
		},
		"another's, which is newer": func(b *Base) error {
			other := load(t, b.dir)
			return other.Apply(put(baseRow("x", "1")))
		},
	}
	for name, do := range tests {
		t.Run(name, func(t *testing.T) {
			b, _ := unloadedBase(t)
			if err := do(b); err != nil {
				t.Fatal(err)
			}
			if err := b.Load(); err == nil || b.Intact() {
				t.Errorf("error %v, intact %v", err, b.Intact())
			}
		})
	}
}

// Of rows that are passed over the path alone is read, of the others all; whatever the journal
// says of them stays true.
func TestReaderPast(t *testing.T) {
	b, want := unloadedBase(t)
	for name, past := range map[string]func(path string) bool{
		"none": nil,
		"some": func(path string) bool { return path > "b" },
		"all":  func(string) bool { return true },
	} {
		t.Run(name, func(t *testing.T) {
			next, done, err := b.ReaderPast(past)
			if err != nil {
				t.Fatal(err)
			}
			defer done()
			bare := 0
			for i := range want {
				row, err := next()
				if err != nil || row == nil || row.Path != want[i].Path {
					t.Fatalf("row %d: %v, %v, and not that of %q", i, row, err, want[i].Path)
				}
				if row.Kind == 0 && past != nil && past(row.Path) {
					bare++
				} else if diff := cmp.Diff(want[i], *row); diff != "" {
					t.Errorf("row %d: %s", i, diff)
				}
			}
			if row, err := next(); row != nil || err != nil {
				t.Errorf("after the last row: %v, %v", row, err)
			}
			if (bare > 0) != (past != nil) {
				t.Errorf("%d of %d rows have their paths alone", bare, len(want))
			}
		})
	}
	if !b.Intact() {
		t.Error("the base does not count any more")
	}
}
