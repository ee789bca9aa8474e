package sqlite

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/coltec/coltec/internal/sample"
)

// trailOf makes a directory with a trail that begins with the ledger as it is now.
func (l *ledger) trailOf() (dir *os.Root, path string) {
	l.t.Helper()
	path = filepath.Join(l.t.TempDir(), ledgerName)
	if err := copyFile(l.path, path); err != nil {
		l.t.Fatal(err)
	}
	return root(l.t, filepath.Dir(path)), path
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}

// follow makes a trail go on to the ledger as it is now.
func (l *ledger) follow(dir *os.Root, most int64) (int, error) {
	l.t.Helper()
	now, err := os.Open(l.path)
	if err != nil {
		l.t.Fatal(err)
	}
	defer now.Close()
	return Follow(dir, ledgerName, now, most)
}

// copied is a copy of a trail, as somebody lays it out to open it.
func copied(t *testing.T, path string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), ledgerName)
	if err := copyFile(path, to); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(path+"-wal", to+"-wal"); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return to
}

// A trail opens as the state that it followed last, in pages of each size, whether the database
// grew or became smaller, and whatever a crash left at its end; brought into one file it is that
// file.
func TestTrail(t *testing.T) {
	sample.Long(t)
	j := newJudge(t)
	for size := 512; size <= 1<<16; size *= 2 {
		l := newLedger(t, "delete", 300)
		s := l.shell(0)
		s.must("PRAGMA page_size="+strconv.Itoa(size), "VACUUM")
		dir, path := l.trailOf()
		for i, change := range []string{"few", "everything", "few", "DROP INDEX by_n", "VACUUM", "few"} {
			s.must(change)
			added, err := l.follow(dir, math.MaxInt64)
			if err != nil || added == 0 {
				t.Fatalf("pages of %d, %s: %d, %v", size, change, added, err)
			}
			if _, wrong := j.of(copied(t, path)); wrong != "" {
				t.Errorf("pages of %d, %s: %s", size, change, wrong)
			}
			if added, err := l.follow(dir, math.MaxInt64); err != nil || added != 0 {
				t.Errorf("pages of %d: nothing was written, and %d pages were added, %v", size, added, err)
			}
			if i == 2 { // a crash in the middle of the next
				log, err := os.OpenFile(path+"-wal", os.O_WRONLY|os.O_APPEND, 0)
				if err != nil {
					t.Fatal(err)
				}
				_, err = log.Write(bytes.Repeat([]byte{1}, size+100))
				if errors.Join(err, log.Close()) != nil {
					t.Fatal(err)
				}
			}
		}
		settled := copied(t, path)
		if err := Settle(root(t, filepath.Dir(settled)), ledgerName); err != nil {
			t.Fatal(err)
		}
		one, err := os.ReadFile(settled)
		other, err2 := os.ReadFile(l.path)
		if errors.Join(err, err2) != nil || !bytes.Equal(one, other) {
			t.Errorf("pages of %d: brought in it is another file: %v, %v", size, err, err2)
		}
		if _, err := os.Stat(settled + "-wal"); err == nil {
			t.Errorf("pages of %d: a log stays", size)
		}
		s.kill()
	}
}

// A trail that would become too large, or is of other pages, stays as it is.
func TestTrailBeginsAnew(t *testing.T) {
	sample.Long(t)
	l := newLedger(t, "delete", 100)
	s := l.shell(0)
	dir, path := l.trailOf()
	s.must("few")
	if _, err := l.follow(dir, 1000); !errors.Is(err, ErrAnew) {
		t.Errorf("too large: %v", err)
	}
	s.must("PRAGMA page_size=1024", "VACUUM")
	if _, err := l.follow(dir, math.MaxInt64); !errors.Is(err, ErrAnew) {
		t.Errorf("other pages: %v", err)
	}
	if _, err := os.Stat(path + "-wal"); err == nil {
		t.Error("something was written")
	}
}

// What a log lacks of a database is never the page in which SQLite locks, behind the first
// gibibyte.
func TestCoveredAcrossTheLockPage(t *testing.T) {
	for size := int64(512); size <= 1<<16; size *= 2 {
		h := newLogHeader(size)
		lock := lockPage(size)
		for _, x := range []struct {
			inFile int64
			pages  []int64 // in the log, of a database that ends with the last
			whole  bool
		}{
			{lock - 2, []int64{lock - 1, lock + 1}, true},
			{lock - 1, []int64{lock + 1}, true},
			{lock - 1, []int64{lock + 1, lock + 2}, true},
			{lock, []int64{lock + 1}, true},
			{lock - 1, []int64{lock + 2}, false},
			{lock - 2, []int64{lock + 1}, false},
			{lock, []int64{lock + 2}, false},
		} {
			var log bytes.Buffer
			log.Write(h.raw[:])
			w := frames{h, h.sum, make([]byte, frameHeader+size)}
			for i, page := range x.pages {
				commit := int64(0)
				if i == len(x.pages)-1 {
					commit = page
				}
				log.Write(w.next(uint32(page), uint32(commit), make([]byte, size)))
			}
			e := extent{frames: uint32(len(x.pages)), pages: uint32(x.pages[len(x.pages)-1]), header: h}
			if err := e.covered(io.Reader(&log), x.inFile, size); (err == nil) != x.whole {
				t.Errorf("pages of %d bytes, %d in the file, %d in the log: %v", size, x.inFile, x.pages, err)
			}
		}
	}
}
