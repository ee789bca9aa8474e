package localfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/hint"
	"golang.org/x/sys/unix"
)

// OwnDir is the own directory of a tree. It lies in one that others may write. What is in
// it is ours alone, because it belongs to us and nobody else may write it; but who can
// rename it can put another in its place. In a tree that only we can lead elsewhere it is
// reached by its path. In all others it is held open, and reached through that.
type OwnDir struct {
	tree   string
	within string   // no link below it leads to the tree; "" is none
	held   *os.File // nil: it is reached by its path
}

// NewOwnDir is the own directory of the tree at a path. byPath has it reached by its path
// whoever can lead that elsewhere. Else a descriptor is reserved where others can: the
// path through it stays the same, whatever is opened on it.
func NewOwnDir(tree, within string, byPath bool) *OwnDir {
	o := &OwnDir{tree: tree, within: within}
	if byPath || anchor.Fixed(filepath.Join(tree, Dir)) {
		return o
	}
	if f, err := os.Open(os.DevNull); err == nil { // nothing is below it
		o.held = f
	}
	return o
}

// Path is where the directory is reached, for this process and for who gets the path from
// it.
func (o *OwnDir) Path() string {
	if o.held != nil {
		return anchor.At(o.held)
	}
	return filepath.Join(o.tree, Dir)
}

// OwnOpener is [OpenOwn] or [ReadOwn].
type OwnOpener func(path, within string, perm os.FileMode) (*os.File, error)

// Hold opens the directory with open, and holds it, and has the open tree look there for
// what is below it. perm is what it is made with; 0 makes none.
func (o *OwnDir) Hold(files FileSystem, open OwnOpener, perm os.FileMode) error {
	own, err := open(o.tree, o.within, perm)
	if err != nil {
		return err
	}
	defer own.Close()
	if root, real := files.(*Root); real {
		if err := root.has(own); err != nil {
			return err
		}
		if o.held != nil {
			root.own = int(o.held.Fd())
		}
	}
	if o.held == nil {
		return nil
	}
	return unix.Dup3(int(own.Fd()), int(o.held.Fd()), unix.O_CLOEXEC)
}

// Make makes the directory where it is to be held and is not yet, for who works in it
// before the tree is opened.
func (o *OwnDir) Make(files FileSystem) error {
	if o.held == nil {
		return nil
	}
	if info, err := o.held.Stat(); err == nil && info.IsDir() {
		return nil
	}
	return o.Hold(files, OpenOwn, 0o700)
}

// Release gives the directory free, so that its volume can be unmounted.
func (o *OwnDir) Release() {
	if o.held == nil {
		return
	}
	if null, err := os.Open(os.DevNull); err == nil {
		_ = unix.Dup3(int(null.Fd()), int(o.held.Fd()), unix.O_CLOEXEC)
		null.Close()
	}
}

// Stands reports whether the open tree still has the directory that is held.
func (o *OwnDir) Stands(files FileSystem) bool {
	if o.held == nil {
		return true
	}
	root, real := files.(*Root)
	return !real || root.has(o.held) == nil
}

// has holds that the tree's own directory is the one that is open.
func (r *Root) has(own *os.File) error {
	var here, there unix.Stat_t
	err := errors.Join(unix.Fstatat(r.fd, Dir, &here, unix.AT_SYMLINK_NOFOLLOW), unix.Fstat(int(own.Fd()), &there))
	if err == nil && (here.Dev != there.Dev || here.Ino != there.Ino) {
		err = errors.New("another directory is there by now")
	}
	if err != nil {
		return &fs.PathError{Op: "open", Path: filepath.Join(r.Path, Dir), Err: err}
	}
	return nil
}

// OpenOwn opens the own directory of the tree at a path, to which no link below within
// leads ("" is none), and holds that it is ours and has nothing that another put there.
func OpenOwn(path, within string, perm os.FileMode) (*os.File, error) {
	own, err := ReadOwn(path, within, perm)
	if err != nil {
		return nil, err
	}
	if err := ours(own); err != nil {
		own.Close()
		return nil, err
	}
	return own, nil
}

// ReadOwn is OpenOwn for who writes nothing: what another user's coltecd made tells root
// too what is there.
func ReadOwn(path, within string, perm os.FileMode) (*os.File, error) {
	if within == "" {
		within = path
	}
	own, err := anchor.Open(filepath.Join(path, Dir), within, perm)
	if errors.Is(err, anchor.ErrRedirected) {
		return nil, notOurs(filepath.Join(path, Dir), "a link")
	}
	return own, err
}

// ours holds that an own directory is ours alone, and what is in it of our making. Of
// what was fetched before, what is not goes.
func ours(own *os.File) error {
	info, err := own.Stat()
	if err != nil {
		return err
	}
	if err := belongs(own, info); err != nil {
		return err
	}
	for _, dir := range []string{".", ".git", "manifests", "manifests/.coltec", "manifests/.coltec/m", "stage"} {
		if err := made(own, dir); err != nil {
			return err
		}
	}
	return errors.Join(clearStage(own), sift(filepath.Join(anchor.At(own), "stage/in")))
}

// clearStage empties the stage but for what was fetched before: a bucket may have had any of it
// made, at any depth and for all to write, below another name.
func clearStage(own *os.File) error {
	stage, err := os.OpenRoot(anchor.At(own) + "/stage") // no link, as was looked at
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer stage.Close()
	entries, err := fs.ReadDir(stage.FS(), ".")
	for _, e := range entries {
		if e.Name() != "in" {
			err = errors.Join(err, stage.RemoveAll(e.Name()))
		}
	}
	return err
}

// OwnTemp names a file of an own directory that is being written; a crash leaves one
// behind.
const OwnTemp = "base-*.tmp"

// LinkName is that of a link in the stage that has no place yet.
const LinkName = "link"

// belongs holds that a directory belongs to whom all belongs that we make there: that is
// another user where a file system says one for all.
func belongs(own *os.File, info fs.FileInfo) error {
	owner := ownerOf(info)
	if owner == os.Geteuid() || owner == 0 {
		return nil
	}
	f, err := os.CreateTemp(anchor.At(own), OwnTemp)
	if err != nil {
		return err
	}
	mine, err := f.Stat()
	err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	if err != nil || ownerOf(mine) == owner {
		return err
	}
	return hint.Wrap(fmt.Errorf("%q belongs to uid %d, and coltecd runs as uid %d", own.Name(), owner, os.Geteuid()),
		"run coltecd as that user; or, where that user runs none here any more, give it the directory: chown -R %d %s", os.Geteuid(), hint.Word(own.Name()))
}

func ownerOf(info fs.FileInfo) int {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1
	}
	return int(st.Uid)
}

// made holds that what is directly in a directory of ours is what we make: directories,
// and files that have no other name. Nobody else may put anything there from then on: a
// bucket may have had the directory made with all rights, below another name.
func made(own *os.File, dir string) error {
	d, err := os.OpenFile(anchor.At(own)+"/"+dir, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	info, err := d.Stat()
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o022 != 0 { // a file system without modes says so of all
		_ = d.Chmod(0o700)
	}
	entries, err := d.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // gone
		}
		if dir == "stage" && e.Name() == LinkName && info.Mode()&fs.ModeSymlink != 0 {
			// A link that was about to be placed when coltecd was killed.
			if err := unix.Unlinkat(int(d.Fd()), e.Name(), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		if kind := alien(info); kind != "" {
			return notOurs(filepath.Join(own.Name(), dir, e.Name()), kind)
		}
	}
	return nil
}

func notOurs(path, kind string) error {
	if kind == anotherName {
		return hint.Wrap(fmt.Errorf("%q is %s, and what is written there is written to that too", path, kind), "give it a file of its own: cp -p %s %s && mv %s %s", hint.Word(path), hint.Word(path+".own"), hint.Word(path+".own"), hint.Word(path))
	}
	return hint.Wrap(fmt.Errorf("%q is %s: coltecd has not made it", path, kind), "remove it")
}

const anotherName = "a file that has another name too"

// alien says what it is that we do not make; "" for what we do.
func alien(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return "a link"
	case info.IsDir():
		return ""
	case !info.Mode().IsRegular():
		return "neither a file nor a directory"
	case ok && st.Nlink > 1:
		return anotherName
	}
	return ""
}

// sift removes from a directory what we do not make, and closes it to others.
func sift(dir string) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && d.IsDir() && info.Mode().Perm()&0o022 != 0 { // before it is read
			_ = os.Chmod(path, 0o700)
		}
		if err != nil || alien(info) == "" {
			return err
		}
		return os.Remove(path)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// WithOwn calls do with the own directory of the tree at a path, for who has no replica.
// No link below within leads there; "" is none.
func WithOwn(path, within string, perm os.FileMode, do func(files *Root, own string) error) error {
	files, err := OpenRoot(path, within, 0)
	if err != nil {
		return err
	}
	defer files.Close()
	held, err := OpenOwn(path, within, perm)
	if err != nil {
		return err
	}
	defer held.Close()
	if err := files.has(held); err != nil {
		return err
	}
	files.own = int(held.Fd())
	return anchor.Told(do(files, anchor.At(held)))
}

// OpenOwnFile opens a file of an own directory: whatever has its name, nothing is waited
// for, and no link is followed.
func OpenOwnFile(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && alien(info) != "" {
		err = notOurs(path, alien(info))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// WriteOwnFile writes a file of an own directory.
func WriteOwnFile(path string, body []byte) error {
	f, err := OpenOwnFile(path, os.O_WRONLY|os.O_CREATE)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	return errors.Join(err, f.Truncate(int64(len(body))), f.Close())
}
