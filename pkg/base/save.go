package base

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// The steps of writing a base at which a crash test kills the process.
var (
	pointBaseWritten = killpoint.New("base:written")
	pointBaseRenamed = killpoint.New("base:renamed")
)

// Save writes the whole base anew: temporary file, fsync, rename.
func (b *Base) Save() error { return b.save(b.Reader) }

// save does it with rows that are opened, more than once, and given in order.
func (b *Base) save(open func() (next func() (*Row, error), done func(), err error)) error {
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return fmt.Errorf("cannot save base: %w", err)
	}
	tmp, err := os.CreateTemp(b.dir, localfs.OwnTemp)
	if err != nil {
		return fmt.Errorf("cannot save base: %w", err)
	}
	defer os.Remove(tmp.Name())
	seq := b.seq + 1
	if err := errors.Join(b.write(tmp, seq, open), tmp.Sync()); err != nil {
		tmp.Close()
		return fmt.Errorf("cannot save base: %w", err)
	}
	pointBaseWritten.Reach()
	inode, size, err := localfs.Identify(tmp)
	if err := errors.Join(err, tmp.Close(), os.Rename(tmp.Name(), b.file())); err != nil {
		return fmt.Errorf("cannot save base: %w", err)
	}
	// The journal named the sequence of the file before: it counts no more.
	b.seq, b.inode, b.size, b.journal, b.unsaved = seq, inode, size, 0, false
	if err := syncDir(b.dir); err != nil {
		return fmt.Errorf("cannot save base: %w", err)
	}
	pointBaseRenamed.Reach()
	if err := os.Remove(b.journalFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot save base: %w", err)
	}
	return nil
}

func (b *Base) write(f io.Writer, seq int64, open func() (func() (*Row, error), func(), error)) error {
	w := bufio.NewWriterSize(f, 64<<10)
	h := fileHeader{Header: b.Header, Seq: seq, Rows: len(b.rows), Unplaced: len(b.Unplaced)}
	if b.unloaded && b.counted != nil {
		h.Rows = b.counted.Rows
	}
	// Twice: number and checksum stand in the first line, and rows may be many.
	for again := true; again; {
		as, err := readBack(h)
		if err != nil {
			return err
		}
		sum, err := as.begin()
		if err != nil {
			return err
		}
		n, err := b.writeRows(sum, open)
		if err != nil {
			return err
		}
		h.CRC = sum.Sum32()
		again, h.Rows = n != h.Rows, n
	}
	if err := json.NewEncoder(w).Encode(h); err != nil {
		return err
	}
	n, err := b.writeRows(w, open)
	if err == nil && n != h.Rows {
		err = errReplaced
	}
	return errors.Join(err, w.Flush())
}

// writeRows writes the rows, and what is unplaced, and counts the rows.
func (b *Base) writeRows(w io.Writer, open func() (func() (*Row, error), func(), error)) (n int, err error) {
	t := tree.NewWriter(w)
	next, done, err := open()
	if err != nil {
		return 0, err
	}
	defer done()
	for {
		row, err := next()
		if err != nil {
			return n, err
		}
		if row == nil {
			return n, errors.Join(writeChanges(t, b.Unplaced), t.Flush())
		}
		if err := writeRow(t, row); err != nil {
			return n, err
		}
		n++
	}
}

// compactAt is the journal's size from which a base is written anew, or the
// base's own size where that is more, so that a long restore writes what it
// places a few times and not once a batch.
const compactAt = 1 << 20

// compact writes the base anew when the journal has grown, and nothing is
// pending: a pending delta lives in the journal alone.
func (b *Base) compact() error {
	if b.Pending != nil || b.unloaded || b.journal < max(compactAt, b.size) {
		return nil
	}
	return b.Save()
}
