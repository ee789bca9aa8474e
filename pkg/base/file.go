package base

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"syscall"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// fileHeader is the first line of a base file. Seq ties the journal to it.
type fileHeader struct {
	Header
	Seq      int64  `json:"seq"`
	Rows     int    `json:"rows"`
	Unplaced int    `json:"unplaced"`
	CRC      uint32 `json:"crc"` // of this line with a CRC of 0, and of all that follows
}

// errDamaged is the error where a file is not as it was written.
var errDamaged = errors.New("it is damaged")

// begin starts the checksum of a base file, with its header as it was read.
func (h fileHeader) begin() (hash.Hash32, error) {
	h.CRC = 0
	return checksum(h)
}

// readBack is a value as it is after its JSON was written and read: a byte that is not UTF-8
// is written in two ways.
func readBack[T any](v T) (again T, err error) {
	text, err := json.Marshal(v)
	if err != nil {
		return again, err
	}
	return again, json.Unmarshal(text, &again)
}

// checksum starts one with the JSON of a value that was read back.
func checksum[T any](v T) (hash.Hash32, error) {
	sum := crc32.NewIEEE()
	return sum, json.NewEncoder(sum).Encode(v)
}

// baseFile is a base file that is being read.
type baseFile struct {
	fileHeader
	f    *os.File
	sum  hash.Hash32
	tree *tree.Reader
	read int                    // changes
	past func(path string) bool // rows of which nothing but the path is read; nil: none
}

func openBase(file string) (*baseFile, error) {
	f, err := localfs.OpenOwnFile(file, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	b := &baseFile{f: f}
	if err := b.begin(); err != nil {
		f.Close()
		return nil, err
	}
	return b, nil
}

func (b *baseFile) close() { b.f.Close() }

func (b *baseFile) begin() error {
	r := bufio.NewReaderSize(b.f, 64<<10)
	line, err := r.ReadBytes('\n')
	if err != nil {
		return err
	}
	if err := json.Unmarshal(line, &b.fileHeader); err != nil {
		return err
	}
	if b.Format != baseFormat {
		return fmt.Errorf("format %d is not known to this version", b.Format)
	}
	if b.Rows < 0 || b.Unplaced < 0 {
		return errDamaged
	}
	if b.sum, err = b.fileHeader.begin(); err != nil {
		return err
	}
	b.tree = tree.NewReader(io.TeeReader(r, b.sum))
	return nil
}

// room is how many rows are to be expected, if the header is right.
func (b *baseFile) room() int { return min(b.Rows, 1<<20) }

// next gives the rows and then what is unplaced; io.EOF when it was all there,
// and as it was written.
func (b *baseFile) next() (c Change, row bool, err error) {
	c, err = readChange(b.tree, b.past)
	if err == io.EOF && (b.sum.Sum32() != b.CRC || b.read != b.Rows+b.Unplaced) {
		err = errDamaged
	}
	b.read++
	return c, b.read <= b.Rows, err
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
