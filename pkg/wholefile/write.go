package wholefile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
)

// Durability is what a write promises of a power cut.
type Durability bool

const (
	// Volatile is for what the next boot makes anew, or can do without: after a power cut
	// the file may have nothing.
	Volatile Durability = false
	// Durable is synced: after a power cut there is what was, or all of the new.
	Durable Durability = true
)

// temporary begins the names of files that are being written. One that a kill left is
// nobody's.
const temporary = ".coltec-"

// Write gives the file at path new content. Whoever opens it finds what was there, or all
// of the new, whatever ends the writer. What has the name is replaced, a link too; the
// directory is somebody's who is trusted, else [WriteIn].
func Write(path string, b []byte, mode fs.FileMode, d Durability) error {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer root.Close()
	return WriteIn(root, filepath.Base(path), bytes.NewReader(b), mode, d)
}

// WriteIn is Write of a file below root, in a directory that is there.
func WriteIn(root *os.Root, name string, r io.Reader, mode fs.FileMode, d Durability) error {
	dir := filepath.Dir(name)
	temp := filepath.Join(dir, temporary+strconv.FormatUint(rand.Uint64(), 36))
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = chmod(f, mode)
	}
	if err == nil && d == Durable {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = root.Rename(temp, name)
	}
	if err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	if d == Durable {
		return syncDir(root, dir)
	}
	return nil
}

// chmod gives a file its mode, whatever the umask is. A file system without modes has
// one for all.
func chmod(f *os.File, mode fs.FileMode) error {
	err := f.Chmod(mode)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

func syncDir(root *os.Root, dir string) error {
	f, err := root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
