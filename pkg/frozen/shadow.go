package frozen

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// killUnmarked is the step of a change of a shadow at which a test kills the process.
var killUnmarked = killpoint.New("frozen:unmarked")

// mark is what the mark of a shadow says.
type mark struct {
	Format int    `json:"format"` // 1
	Path   string `json:"path"`   // of the directory in the tree
	By     By     `json:"by"`     // how it was captured
}

// shadow is a directory of ours alone that is made to be what another one was.
type shadow struct {
	at    string // its path
	was   seen   // what is in it
	now   seen   // what is to be
	begun bool   // it is being changed, and has no mark
}

// openShadow looks at a shadow.
func openShadow(at string, now seen) (*shadow, error) {
	s := &shadow{at: at, was: seen{}, now: now}
	entries, _, err := localfs.Walk(context.Background(), at, localfs.Everything{})
	if err != nil && !absent(err) {
		return nil, err
	}
	for _, e := range entries {
		s.was[e.Path] = e
	}
	return s, nil
}

// change takes the mark away before the first change.
func (s *shadow) change() error {
	if s.begun {
		return nil
	}
	s.begun = true
	if err := os.MkdirAll(s.at, 0o700); err != nil {
		return err
	}
	for _, name := range []string{markName, goneName} {
		if err := os.Remove(filepath.Join(s.at, name)); err != nil && !absent(err) {
			return err
		}
	}
	killUnmarked.Reach()
	return nil
}

// fill makes the shadow what it is to be: files that were copied come from a directory.
func (s *shadow) fill(from string, copied seen, m mark) error {
	for _, do := range []func() error{s.clear, s.dirs, func() error { return s.files(from, copied) }, s.links, s.modes} {
		if err := do(); err != nil {
			return err
		}
	}
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	body = append(body, '\n')
	file := filepath.Join(s.at, markName)
	if was, err := os.ReadFile(file); err == nil && bytes.Equal(was, body) {
		return nil // nothing changed
	}
	if err := s.change(); err != nil {
		return err
	}
	return writeDurable(file, body)
}

// clear removes what is not to be there.
func (s *shadow) clear() error {
	for _, at := range slices.Backward(slices.Sorted(maps.Keys(s.was))) {
		was := s.was[at]
		e, is := s.now[at]
		if is && e.Kind == was.Kind || at == markName || at == goneName {
			continue
		}
		if err := s.change(); err != nil {
			return err
		}
		if err := os.RemoveAll(filepath.Join(s.at, at)); err != nil {
			return err
		}
		delete(s.was, at)
	}
	return nil
}

// dirs makes directories in which files can be made.
func (s *shadow) dirs() error {
	for _, at := range slices.Sorted(maps.Keys(s.now)) {
		if e := s.now[at]; e.Kind != tree.Dir || at == "" {
			continue
		}
		was, is := s.was[at]
		if is && was.Mode&0o700 == 0o700 {
			continue
		}
		if err := s.change(); err != nil {
			return err
		}
		dir := filepath.Join(s.at, at)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// errTorn says that something of a shadow is not there: it is made anew.
var errTorn = errors.New("its copy is not whole: it is made anew")

func (s *shadow) files(from string, copied seen) error {
	for at, e := range s.now {
		if e.Kind != tree.File {
			continue
		}
		was, is := s.was[at]
		if _, came := copied[at]; !came {
			if !is {
				return errTorn
			}
			continue
		}
		source, target := filepath.Join(from, at), filepath.Join(s.at, at)
		if is && was.Size == e.Size && was.MTime == e.MTime && was.Mode == e.Mode {
			if equal, err := equal(source, target); err != nil {
				return err
			} else if equal {
				if err := os.Remove(source); err != nil {
					return err
				}
				continue
			}
		}
		if err := s.change(); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return err
		}
		if err := os.Rename(source, target); err != nil {
			return err
		}
	}
	return nil
}

func (s *shadow) links() error {
	for at, e := range s.now {
		if e.Kind != tree.Link {
			continue
		}
		was, is := s.was[at]
		if is && was.Link == e.Link {
			continue
		}
		if err := s.change(); err != nil {
			return err
		}
		file := filepath.Join(s.at, at)
		if is {
			if err := os.Remove(file); err != nil {
				return err
			}
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.Symlink(e.Link, file)); err != nil {
			return err
		}
	}
	return nil
}

// modes gives directories their modes, the deepest first.
func (s *shadow) modes() error {
	for _, at := range slices.Backward(slices.Sorted(maps.Keys(s.now))) {
		e := s.now[at]
		if e.Kind != tree.Dir {
			continue
		}
		dir := filepath.Join(s.at, at)
		var st unix.Stat_t
		if err := unix.Lstat(dir, &st); err != nil {
			return &os.PathError{Op: "stat", Path: dir, Err: err}
		}
		if st.Mode&0o7777 == e.Mode {
			continue
		}
		if err := s.change(); err != nil {
			return err
		}
		if err := unix.Chmod(dir, e.Mode); err != nil {
			return &os.PathError{Op: "chmod", Path: dir, Err: err}
		}
	}
	return nil
}

// equal reports whether two files have the same content.
func equal(a, b string) (bool, error) {
	f, err := os.Open(a)
	if err != nil {
		return false, err
	}
	defer f.Close()
	g, err := os.Open(b)
	if err != nil {
		return false, err
	}
	defer g.Close()
	one, other := bufio.NewReaderSize(f, 1<<16), bufio.NewReaderSize(g, 1<<16)
	bufA, bufB := make([]byte, 1<<16), make([]byte, 1<<16)
	for {
		n, errA := io.ReadFull(one, bufA)
		m, errB := io.ReadFull(other, bufB)
		if n != m || !bytes.Equal(bufA[:n], bufB[:m]) {
			return false, nil
		}
		switch {
		case errA == nil && errB == nil:
		case ended(errA) && ended(errB):
			return true, nil
		default:
			return false, errors.Join(errA, errB)
		}
	}
}

func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// timeless is the time of what is made anew now and then, and is the same each time.
var timeless = time.Unix(1, 0)

// writeDurable writes a file that is there whole or not at all, with all that was written to
// the directory before it.
func writeDurable(file string, body []byte) error {
	tmp := filepath.Join(filepath.Dir(file), ".tmp-"+path.Base(file))
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	if err = errors.Join(err, f.Sync(), f.Close(), os.Chtimes(tmp, time.Time{}, timeless)); err == nil {
		err = os.Rename(tmp, file)
	}
	return err
}
