package base

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"

	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/localfs"
)

// The steps of writing the journal at which a crash test kills the process.
var (
	pointJournalWritten = killpoint.New("journal:written")
	pointJournalSynced  = killpoint.New("journal:synced")
)

// frame is the first line of a step in the journal; the rows follow it.
type frame struct {
	Kind   string  `json:"kind"` // apply, pending, commit, abort
	Seq    int64   `json:"seq"`  // of the base file that the journal continues
	Nonce  string  `json:"nonce,omitempty"`
	Header *Header `json:"header,omitempty"`
	Bytes  int     `json:"bytes"` // of the rows
	CRC    uint32  `json:"crc"`   // of this line with a CRC of 0, and of the rows
}

// sum is the checksum of a step.
func (f frame) sum(rows io.Reader) (uint32, error) {
	f.CRC = 0
	f, err := readBack(f)
	if err != nil {
		return 0, err
	}
	return f.sumAsRead(rows)
}

// sumAsRead is sum of a step that was read from the disk.
func (f frame) sumAsRead(rows io.Reader) (uint32, error) {
	f.CRC = 0
	sum, err := checksum(f)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(sum, rows)
	return sum.Sum32(), err
}

// append writes one step to the journal, durably.
func (b *Base) append(f frame, d *Delta) error {
	j, err := localfs.OpenOwnFile(b.journalFile(), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return fmt.Errorf("cannot write journal: %w", err)
	}
	defer j.Close()
	f.Seq = b.seq
	n, err := b.writeStep(j, f, d)
	pointJournalWritten.Reach()
	if err == nil {
		err = errors.Join(j.Truncate(b.journal+n), j.Sync())
	}
	if err != nil {
		return fmt.Errorf("cannot write journal: %w", err)
	}
	pointJournalSynced.Reach()
	if b.journal == 0 {
		if err := syncDir(b.dir); err != nil {
			return fmt.Errorf("cannot write journal: %w", err)
		}
	}
	b.journal += n
	return nil
}

// writeStep writes a step at the end of what is known to be whole: one that a full
// disk cut before is overwritten. The rows come first, because the line above them
// has their length and checksum; it is made as long as it may get.
func (b *Base) writeStep(j *os.File, f frame, d *Delta) (int64, error) {
	f.Bytes, f.CRC = math.MaxInt, math.MaxUint32
	line, err := json.Marshal(f)
	if err != nil {
		return 0, err
	}
	room := int64(len(line) + 1)
	rows := io.NewOffsetWriter(j, b.journal+room)
	if err := d.write(rows); err != nil {
		return 0, err
	}
	size, err := rows.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	f.Bytes = int(size)
	if f.CRC, err = f.sum(io.NewSectionReader(j, b.journal+room, size)); err != nil {
		return 0, err
	}
	if line, err = json.Marshal(f); err != nil {
		return 0, err
	}
	line = append(bytes.TrimSpace(line), bytes.Repeat([]byte{' '}, int(room)-1-len(line))...)
	_, err = j.WriteAt(append(line, '\n'), b.journal)
	return room + size, err
}

// replayed is what the whole steps of a journal come to.
type replayed struct {
	Delta
	pending     *Pending
	pendingFrom int64 // where it begins
	length      int64 // bytes of whole steps
}

// replay reads the journal's whole steps, up to a place in it. A step that was cut
// by a crash is the last one, and is dropped.
func (b *Base) replay(to int64) (r replayed, err error) {
	j, err := localfs.OpenOwnFile(b.journalFile(), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	defer j.Close()
	data, err := io.ReadAll(io.LimitReader(j, to))
	for err == nil {
		n, ok := r.step(data[r.length:], b.seq)
		if !ok {
			break
		}
		r.length += n
	}
	return r, err
}

// steps is what the journal's steps up to a place in it come to: read at most once until
// the base rests, as long as the journal is no longer and no shorter.
func (b *Base) steps(to int64) (*replayed, error) {
	size := int64(0)
	info, err := os.Lstat(b.journalFile())
	switch {
	case err == nil && info.Mode().IsRegular():
		size = info.Size()
	case !errors.Is(err, fs.ErrNotExist):
		size = -1 // what it is replay says
	}
	if b.read != nil && b.read.length == min(to, b.journal) && size == b.journal {
		return b.read, nil
	}
	b.read = nil
	r, err := b.replay(to)
	if err != nil {
		return nil, err
	}
	if size == b.journal {
		b.read = &r
	}
	return &r, nil
}

// step takes the journal step at the front of data in and gives its length.
func (r *replayed) step(data []byte, seq int64) (int64, bool) {
	line, rest, ok := bytes.Cut(data, []byte{'\n'})
	var f frame
	if !ok || json.Unmarshal(line, &f) != nil || f.Seq != seq || f.Bytes < 0 || len(rest) < f.Bytes {
		return 0, false
	}
	rows := rest[:f.Bytes]
	if sum, err := f.sumAsRead(bytes.NewReader(rows)); err != nil || sum != f.CRC {
		return 0, false
	}
	changes, err := readChanges(bytes.NewReader(rows))
	if err != nil {
		return 0, false
	}
	d := Delta{Header: f.Header, Changes: changes}
	switch f.Kind {
	case "apply":
		r.add(d)
	case "pending":
		r.pending, r.pendingFrom = &Pending{Nonce: f.Nonce, Delta: d}, r.length
	case "commit":
		if r.pending != nil && r.pending.Nonce == f.Nonce {
			r.add(r.pending.Delta)
		}
		r.pending = nil
	case "abort":
		r.pending = nil
	}
	return int64(len(line) + 1 + f.Bytes), true
}
