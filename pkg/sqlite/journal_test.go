package sqlite

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/coltec/coltec/internal/sample"
)

// halfWritten is a ledger whose writer died in a large transaction: pages of it are in the
// database, and what was there before is in a hot journal.
func halfWritten(t *testing.T) *ledger {
	t.Helper()
	l := newLedger(t, "delete", 500)
	w := l.shell(0)
	w.must("few", "PRAGMA cache_size=5", "BEGIN", "everything")
	w.kill()
	untouched(t, l)
	return l
}

// What a writer that died left is carried with its journal, and opens as before its
// transaction; without the journal it is torn.
func TestHotJournal(t *testing.T) {
	sample.Long(t)
	l, j, to := halfWritten(t), newJudge(t), root(t, t.TempDir())
	alone := filepath.Join(t.TempDir(), "alone.db")
	plainCopy(t, l.path, alone)
	if _, wrong := j.of(alone); wrong == "" {
		t.Error("the database is whole without its journal")
	}
	r, err := Capture(context.Background(), l.dir, ledgerName, to, Options{})
	if err != nil || r.Outcome != Captured || !slices.Equal(r.Names, []string{ledgerName, ledgerName + string(Journal)}) {
		t.Fatalf("%+v, %v", r, err)
	}
	if n, wrong := j.of(filepath.Join(to.Name(), ledgerName)); n != 1 || wrong != "" {
		t.Errorf("%d transactions, %s", n, wrong)
	}
}

// A journal that is of a transaction in several databases names their list. Where the list
// is, the copy is undone as the database would be, though the copy has no list; where it
// is gone the transaction is done, and the journal is nothing.
func TestJournalOfSeveralDatabases(t *testing.T) {
	sample.Long(t)
	l, j := halfWritten(t), newJudge(t)
	list := l.path + "-mj0123456789"
	if err := os.WriteFile(list, []byte(l.path+string(Journal)+"\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(l.path+string(Journal), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	sum := uint32(0)
	for _, c := range []byte(list) {
		sum += uint32(c)
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(0x40000000/4096+1)) // the page of the locks
	b = append(b, list...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(list)))
	b = binary.BigEndian.AppendUint32(b, sum)
	if _, err := f.Write(append(b, journalMagic...)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	untouched(t, l)

	to := root(t, t.TempDir())
	r, err := Capture(context.Background(), l.dir, ledgerName, to, Options{})
	if err != nil || r.Outcome != Captured || len(r.Names) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := os.Remove(list); err != nil {
		t.Fatal(err)
	}
	if n, wrong := j.of(filepath.Join(to.Name(), ledgerName)); n != 1 || wrong != "" {
		t.Errorf("%d transactions, %s", n, wrong)
	}
	// SQLite itself takes the transaction for done now: this one was not, so it is torn.
	if r, err = Capture(context.Background(), l.dir, ledgerName, root(t, t.TempDir()), Options{}); err != nil || len(r.Names) > 1 {
		t.Errorf("without the list: %+v, %v", r, err)
	}
	if _, wrong := j.of(l.path); wrong == "" {
		t.Error("SQLite undid it without the list")
	}
}
