package base

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The journal of an unloaded base is read once as long as it stays as it is, and what another
// program did to it is found all the same.
func TestStepsAreReadOnce(t *testing.T) {
	for name, c := range map[string]struct {
		between func(b *Base) error
		again   bool // the journal is read again
		fails   bool
	}{
		"nothing":         {func(*Base) error { return nil }, false, false},
		"a rest":          {func(b *Base) error { return b.Unload() }, true, false},
		"a step":          {func(b *Base) error { return b.Apply(put(baseRow("s", "2"))) }, true, false},
		"a step prepared": {func(b *Base) error { return b.Prepare("n", put(baseRow("s", "2"))) }, false, false},
		"a step dropped": {func(b *Base) error {
			return errors.Join(b.Prepare("n", put(baseRow("s", "2"))), b.Resolve(false))
		}, true, false},
		"another's step": {func(b *Base) error {
			other, err := Open(b.dir)
			return errors.Join(err, other.Apply(put(baseRow("s", "2"))))
		}, true, true},
		"it was cut":  {func(b *Base) error { return os.Truncate(b.journalFile(), b.journal-1) }, true, true},
		"it was lost": {func(b *Base) error { return os.Remove(b.journalFile()) }, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := New(t.TempDir(), Header{})
			if err := errors.Join(b.Save(), b.Unload(), b.Apply(put(baseRow("p", "1"), baseRow("q", "1"))), b.Apply(put(baseRow("q", "2")))); err != nil {
				t.Fatal(err)
			}
			rows := func() (all []string, err error) {
				err = b.Each(func(row *Row) error {
					all = append(all, fmt.Sprint(row.Path, " ", row.Entry))
					return nil
				})
				return all, err
			}
			if _, err := rows(); err != nil {
				t.Fatal(err)
			}
			first := b.read
			if err := c.between(b); err != nil {
				t.Fatal(err)
			}
			got, err := rows()
			if (err != nil) != c.fails {
				t.Fatalf("%v", err)
			}
			if again := b.read != first; again != c.again {
				t.Errorf("read again: %v", again)
			}
			if c.fails {
				return
			}
			if err := b.Load(); err != nil {
				t.Fatal(err)
			}
			loaded, _ := rows()
			if fresh, err := Open(b.dir); err != nil || fresh.Pending == nil && len(fresh.Rows()) != len(loaded) {
				t.Errorf("%v: on the disk are %d rows", err, len(fresh.Rows()))
			}
			if diff := cmp.Diff(loaded, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
