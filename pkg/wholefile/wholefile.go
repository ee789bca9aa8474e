// Package wholefile reads and writes files whole. One that is read somebody else may have
// put there, an agent in a container, a store: it may be a named pipe that nobody writes, a
// device without an end, or larger than the memory. One that is written may be read by
// others meanwhile, or its writer killed.
package wholefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// ByHand is the limit, in bytes, of files that people write by hand: none comes near it.
const ByHand = 4 << 20

var (
	// ErrIrregular is of what is not a regular file: a named pipe, a socket, a device.
	ErrIrregular = errors.New("it is not a regular file")
	// ErrTooLarge is of a file with more bytes than the reader takes.
	ErrTooLarge = errors.New("it is too large")
)

// mode opens whatever it is without waiting for another side, and without making a
// terminal ours.
const mode = os.O_RDONLY | syscall.O_NONBLOCK | syscall.O_NOCTTY

// Open opens a regular file to read, for who does not hold all of it at once. A link is
// followed. The error is as of [Read].
func Open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, mode, 0)
	return regular(f, err, path)
}

// Read returns what the file has, of at most limit bytes. A link is followed: path is
// from somebody who is trusted, or its reader does not mind where it leads; else
// [ReadIn]. The error is a [*fs.PathError], of [ErrIrregular] or [ErrTooLarge] too.
func Read(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	return read(f, err, path, limit)
}

// OpenIn is Open of a file below root: a link that leads out of it is an error.
func OpenIn(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, mode, 0)
	return regular(f, err, name)
}

// ReadIn is Read of a file below root, as of [OpenIn].
func ReadIn(root *os.Root, name string, limit int64) ([]byte, error) {
	f, err := OpenIn(root, name)
	return read(f, err, name, limit)
}

// regular closes what was opened and is not a file.
func regular(f *os.File, err error, path string) (*os.File, error) {
	if errors.Is(err, syscall.ENXIO) { // a socket, or a device without a driver
		return nil, &fs.PathError{Op: "read", Path: path, Err: ErrIrregular}
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = &fs.PathError{Op: "read", Path: path, Err: syscall.EISDIR}
	case !info.Mode().IsRegular():
		err = &fs.PathError{Op: "read", Path: path, Err: ErrIrregular}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func read(f *os.File, err error, path string, limit int64) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// The size is asked of the reading: it may grow, and of some files it is 0.
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)}
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Unmarshal decodes JSON of at most so many values. An element of an array may take two
// bytes, and hundreds when it is decoded: a bound of the bytes alone is none of the memory.
func Unmarshal(b []byte, v any, most int) error {
	if n := Values(b); n > most {
		return fmt.Errorf("%w: %d values in JSON", ErrTooLarge, n)
	}
	return json.Unmarshal(b, v)
}

// Values counts what begins a value in JSON. A name counts as one where it is not the
// first of its object.
func Values(b []byte) (n int) {
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case ',', '[', '{':
			n++
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		}
	}
	return n
}
