package gitstate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/coltec/coltec/pkg/wholefile"
	"golang.org/x/sys/unix"
)

// What lies in a git directory need not be what git put there. Whoever opens a
// FIFO waits until somebody writes into it, and a device may do anything: so all
// files are opened here, and only those that are files.

// kindOf names what is not a regular file; "" for one that is.
func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return ""
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a FIFO"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	case mode&fs.ModeSymlink != 0:
		return "a link that leads nowhere"
	}
	return "of an unknown kind"
}

// errKind says that something is not a file.
var errKind = errors.New("not a file")

func wrongKind(path, kind string) error { return fmt.Errorf("%s is %s, %w", path, kind, errKind) }

// openFile opens a regular file, also by a link to it. It waits for nothing.
func openFile(file string) (*os.File, error) {
	f, err := wholefile.Open(file)
	if errors.Is(err, wholefile.ErrIrregular) || errors.Is(err, unix.EISDIR) {
		return nil, wrongKind(file, kindAt(file))
	}
	return f, err
}

// What is read whole has a size that git would give it: more is not a file of git's.
const (
	smallMost = 64 << 10  // a ref, a HEAD, a file that leads elsewhere
	textMost  = 128 << 20 // refs, a log, an index: of a million files
)

// readFile reads a regular file, also by a link to it, of at most limit bytes.
func readFile(file string, limit int64) ([]byte, error) {
	body, err := wholefile.Read(file, limit)
	if errors.Is(err, wholefile.ErrIrregular) || errors.Is(err, unix.EISDIR) {
		return nil, wrongKind(file, kindAt(file))
	}
	return body, err
}

// kindAt names what is at a path.
func kindAt(file string) string {
	s, err := os.Stat(file)
	if err != nil {
		return "a link that leads nowhere"
	}
	return kindOf(s.Mode())
}

// alternatesMost bounds the list of whom a repository borrows from: git reads it whole.
const alternatesMost = 1 << 20

// askable says why git cannot be asked for the objects of a git directory: what is not a file
// among them it would wait for for ever, and a list without an end it would read. Only
// names, kinds and sizes are read.
func askable(objects string) error {
	var found error
	look := func(dir string) {
		entries, _ := os.ReadDir(filepath.Join(objects, dir)) // what cannot be read git says
		for _, e := range entries {
			list := dir == "info" && e.Name() == "alternates"
			if e.IsDir() || e.Type().IsRegular() && !list || found != nil {
				continue
			}
			s, err := os.Stat(filepath.Join(objects, dir, e.Name()))
			switch {
			case err != nil:
			case s.Mode()&(fs.ModeNamedPipe|fs.ModeDevice) != 0:
				found = refused("%s: git would wait for it for ever", wrongKind(filepath.Join("objects", dir, e.Name()), kindOf(s.Mode())))
			case list && s.Size() > alternatesMost:
				found = refused("objects/info/alternates has %d bytes: git would read them all", s.Size())
			case list:
				found = lendable(objects, lendersMost)
			}
		}
	}
	entries, _ := os.ReadDir(objects)
	for _, e := range entries {
		if e.IsDir() || e.Type()&fs.ModeSymlink != 0 {
			look(e.Name())
		}
	}
	look(filepath.Join("info", "commit-graphs"))
	return found
}

// lendersMost is how far git goes from one that lends to the next.
const lendersMost = 5

// lendable refuses objects that a repository borrows, where they are not its owner's, nor
// everybody's to read: git would read them as coltecd's user.
func lendable(objects string, more int) error {
	body, err := readFile(filepath.Join(objects, "info/alternates"), alternatesMost)
	if absent(err) || more == 0 {
		return nil
	}
	if err != nil {
		return refused("%s: git would read it, and all that it is given there", err)
	}
	for line := range strings.Lines(string(body)) {
		from := strings.TrimSuffix(line, "\n")
		if plain, err := strconv.Unquote(from); err == nil {
			from = plain
		}
		if from == "" || from[0] == '#' {
			continue
		}
		if !filepath.IsAbs(from) {
			from = filepath.Join(objects, from)
		}
		real, err := filepath.EvalSymlinks(from)
		if err != nil {
			continue // git says so
		}
		if !mayLead(objects, real) && !public(real) {
			return foreign("objects/info/alternates", real)
		}
		if err := lendable(real, more-1); err != nil {
			return err
		}
	}
	return nil
}

// public says that everybody may read a directory, and enter those that it is in.
func public(dir string) bool {
	s, err := os.Stat(dir)
	if err != nil || s.Mode()&0o005 != 0o005 {
		return false
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if s, err := os.Stat(filepath.Dir(dir)); err != nil || s.Mode()&0o001 == 0 {
			return false
		}
	}
	return true
}

// whyNone says why a directory is not a git directory that can be captured.
func whyNone(dir string) error {
	for _, part := range []string{"HEAD", "objects", "refs"} {
		s, err := os.Stat(filepath.Join(dir, part))
		if part == "HEAD" {
			if l, e := os.Lstat(filepath.Join(dir, part)); e == nil && l.Mode()&fs.ModeSymlink != 0 && err != nil {
				continue // to a branch that has no commit yet
			}
		}
		switch {
		case absent(err):
			return refused("it is not a git directory, or one that is damaged: %s is missing", part)
		case err != nil:
			return refused("it cannot be read: %s", lastWord(err))
		case part == "HEAD" && !s.Mode().IsRegular():
			return refused("it is not a git directory, or one that is damaged: HEAD is %s, not a file", kindOf(s.Mode()))
		case part != "HEAD" && !s.IsDir():
			return refused("it is not a git directory, or one that is damaged: %s is not a directory", part)
		}
	}
	return nil
}

// lastWord is the reason of an error of the file system, with the last element of
// the path.
func lastWord(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Sprintf("%s: %s", filepath.Base(p.Path), p.Err)
	}
	return err.Error()
}

// PartialError says that a repository was captured but for some of it.
type PartialError struct {
	Parts []string
	Here  bool // some of it has content that is on this machine alone
}

// Lost says that an error tells only of what is on no machine any more: there is nothing
// that could still be carried.
func Lost(err error) bool {
	var partial *PartialError
	return errors.As(err, &partial) && !partial.Here
}

// partsTold bounds how many parts an error names.
const partsTold = 3

func (e *PartialError) Error() string {
	text := strings.Join(e.Parts[:min(len(e.Parts), partsTold)], "; ")
	if n := len(e.Parts) - partsTold; n > 0 {
		text += fmt.Sprintf("; and %d more", n)
	}
	return text + ": all else of it is carried"
}
