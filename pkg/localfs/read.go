package localfs

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/coltec/coltec/pkg/tree"
	"golang.org/x/sys/unix"
)

// Reader reads files of a tree that others may write at any time.
type Reader struct {
	files  FileSystem
	quirks Quirks
	stage  string // the directory that a file which moves is cloned to
	care   care
}

// care is what a Reader has for files that move.
type care struct {
	waits  time.Duration // that are left
	buffer []byte        // for reading again
}

// stateWaits bounds what one Reader waits for all files that move.
const stateWaits = 2 * time.Second

// NewReader makes one. What it waits for files that move is bounded for all that it reads.
func NewReader(files FileSystem, q Quirks, stage string) *Reader {
	return &Reader{files: files, quirks: q, stage: stage, care: care{waits: stateWaits}}
}

// Read reads a file that was sighted, through read, and verifies that it was
// the same file before and after. A change of mode counts too: what is pushed
// is what the entry says.
func (r *Reader) Read(s *Entry, read func(f io.Reader) error) (tree.Sum, Seen, error) {
	f, err := r.files.Open(s.Path)
	if err != nil {
		return tree.Sum{}, Seen{}, FileError{err}
	}
	defer f.Close()
	before, err := f.Seen()
	if err != nil {
		return tree.Sum{}, Seen{}, FileError{err}
	}
	sum := sha256.New()
	if err := read(io.TeeReader(fileReader{f}, sum)); err != nil {
		return tree.Sum{}, Seen{}, err
	}
	after, err := f.Seen()
	if err != nil {
		return tree.Sum{}, Seen{}, FileError{err}
	}
	if before != after || after != s.Seen {
		return tree.Sum{}, Seen{}, FileError{ErrMoved}
	}
	r.quirks.DistrustCTime(&after, time.Now())
	return tree.Sum(sum.Sum(nil)), after, nil
}

// ErrMoved is the error where a file changed while it was read.
var ErrMoved = errors.New("it changes while it is read")

// FileError is the fault of one local file, and keeps nothing else from going
// on.
type FileError struct{ error }

// Unwrap gives what errors.Is and errors.As look into.
func (e FileError) Unwrap() error { return e.error }

// fileReader marks the errors of a local file.
type fileReader struct{ f io.Reader }

func (r fileReader) Read(p []byte) (int, error) {
	n, err := r.f.Read(p)
	if err != nil && err != io.EOF {
		err = FileError{err}
	}
	return n, err
}

// Drain reads to the end: for who wants the hash alone.
func Drain(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func fstat(f *os.File) (Seen, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return Seen{}, &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return Seen{}, ErrMoved
	}
	return seenOf(&st), nil
}
