// Package anchor opens directories that others may redirect: a link may be put on the way
// to one, or in its place, by an agent, a bucket or another user. What is opened is held:
// what is done through it happens there, wherever its path leads by then.
package anchor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/hint"
)

// ErrRedirected is of a link that is not followed: others may say where it leads.
var ErrRedirected = errors.New("it is a link that others may have put there")

// linksMost is how many links a way may have, as for the kernel.
const linksMost = 40

// Open opens the directory at an absolute path. A link on the way is followed where only
// root and our own user can put one, and below the path within ("" is none) nowhere. perm
// is what the directory gets where it is missing, and those above it; 0 makes none.
func Open(path, within string, perm os.FileMode) (*os.File, error) {
	w, err := follow(path, within, perm)
	defer unix.Close(w.fd)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	fd, err := unix.Openat(w.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// OpenRoot is Open for who works below the directory.
func OpenRoot(path, within string, perm os.FileMode) (*os.Root, error) {
	f, err := Open(path, within, perm)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// By its path, which errors name; the slash has nothing but a directory opened.
	root, err := os.OpenRoot(path + "/")
	if err != nil {
		return nil, err
	}
	there, err := root.Stat(".")
	here, err2 := f.Stat()
	if err = errors.Join(err, err2); err == nil && !os.SameFile(here, there) {
		err = &fs.PathError{Op: "open", Path: path, Err: redirected(filepath.Base(path))}
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return root, nil
}

// ErrPlanted is of a name that is something else than a file: a link, a pipe, a folder; or
// a file that has another name, and may be somebody else's there.
var ErrPlanted = errors.New("it is not a file of its own")

// OpenFile opens the file of a name in a directory, to read or to write. It follows no
// link, and waits for no other side of a pipe.
func OpenFile(dir *os.Root, name string, flag int, perm os.FileMode) (*os.File, error) {
	d, err := dir.Open(".") // a Root follows links that stay within it
	if err != nil {
		return nil, err
	}
	defer d.Close()
	path := filepath.Join(dir.Name(), name)
	fd, err := unix.Openat(int(d.Fd()), name, flag|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, uint32(perm.Perm()))
	switch {
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO), errors.Is(err, unix.EISDIR):
		err = ErrPlanted
	case err == nil:
		if err = single(fd); err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// single holds that an open file has one name, and makes it wait again as files do.
func single(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink > 1 {
		return ErrPlanted
	}
	return unix.SetNonblock(fd, false)
}

// At is the path of an open directory that nobody can redirect. It is one of this
// process alone, and only while the directory is open.
func At(f *os.File) string { return Path(int(f.Fd())) }

const openFiles = "/proc/self/fd/"

// Path is At for a descriptor.
func Path(fd int) string { return openFiles + strconv.Itoa(fd) }

// Number gives the descriptor of a path of [At], and what is below it.
func Number(path string) (fd int, below string, ok bool) {
	rest, ok := strings.CutPrefix(path, openFiles)
	if !ok {
		return 0, "", false
	}
	number, below, _ := strings.Cut(rest, "/")
	fd, err := strconv.Atoi(number)
	return fd, below, err == nil
}

var held = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`/proc/self/fd/[0-9]+`) })

// Plain writes paths of [At] in a text as those that they are open at.
func Plain(text string) string {
	if !strings.Contains(text, "/proc/self/fd/") {
		return text // as most are
	}
	return held().ReplaceAllStringFunc(text, func(path string) string {
		if name, err := os.Readlink(path); err == nil {
			return name
		}
		return path
	})
}

// OneLine makes one line of an error that several steps may have joined, which
// often failed for the same reason.
func OneLine(err error) string {
	var lines []string
	for line := range strings.SplitSeq(Plain(err.Error()), "\n") {
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}

// Told is an error whose text is [Plain] as of now, for who closes the directory before
// anybody reads it.
func Told(err error) error {
	if err == nil || Plain(err.Error()) == err.Error() {
		return err
	}
	return &told{Plain(err.Error()), err}
}

type told struct {
	text string
	error
}

func (e *told) Error() string { return e.text }
func (e *told) Unwrap() error { return e.error }

// Real is a path without links, as far as it is there. Those that [Open] does not follow
// are an error.
func Real(path string) (string, error) {
	w, err := follow(path, "", 0)
	defer unix.Close(w.fd)
	if above := filepath.Dir(path); errors.Is(err, fs.ErrNotExist) && above != path {
		above, err = Real(above)
		return filepath.Join(above, filepath.Base(path)), err
	}
	if err != nil {
		return "", &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.Readlink(Path(w.fd))
}

// Fixed says that nobody but root and our own user can lead the path elsewhere. What of
// it is not there yet counts as made by us.
func Fixed(path string) bool {
	w, err := follow(path, "", 0)
	unix.Close(w.fd)
	return w.fixed && (err == nil || errors.Is(err, fs.ErrNotExist))
}

// others says that somebody else than root and a user can put names in a directory. A group
// with its owner's number is that user's own, as distributions make them.
func others(st *unix.Stat_t, user int) bool {
	group := st.Mode&0o020 != 0 && (st.Uid == 0 || st.Gid != st.Uid)
	return !trusted(st.Uid, user) || (group || st.Mode&0o002 != 0) && st.Mode&unix.S_ISVTX == 0
}

// Own says that nobody but root and our own user can put names in an open directory.
func Own(dir *os.File) bool {
	var st unix.Stat_t
	err := unix.Fstat(int(dir.Fd()), &st)
	return err == nil && !others(&st, os.Geteuid()) && st.Mode&0o002 == 0
}

func trusted(uid uint32, user int) bool { return uid == 0 || int(uid) == user }

// way is how far a path was followed.
type way struct {
	fd    int // of the directory that was reached, opened with O_PATH
	fixed bool
	links int
	left  []step
}

// step is one name of a path.
type step struct {
	name   string
	strict bool // it must be no link
}

const walked = unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC

func follow(path, within string, perm os.FileMode) (way, error) {
	w := way{fd: -1, fixed: true}
	if !filepath.IsAbs(path) {
		return w, fs.ErrInvalid
	}
	strict := len(path) + 1
	if rel, err := filepath.Rel(within, path); within != "" && err == nil && filepath.IsLocal(rel) {
		strict = len(names(within))
	}
	for i, name := range names(path) {
		w.left = append(w.left, step{name, i >= strict})
	}
	err := w.restart()
	for err == nil && len(w.left) > 0 {
		s := w.left[0]
		w.left = w.left[1:]
		err = w.enter(s, perm)
	}
	return w, err
}

func names(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(s string) bool { return s == "" || s == "." })
}

// restart goes to the root of all.
func (w *way) restart() error {
	fd, err := unix.Open("/", walked|unix.O_DIRECTORY, 0)
	if err == nil {
		w.to(fd)
	}
	return err
}

func (w *way) to(fd int) {
	if w.fd >= 0 {
		unix.Close(w.fd)
	}
	w.fd = fd
}

// enter takes one step.
func (w *way) enter(s step, perm os.FileMode) error {
	var here unix.Stat_t
	if err := unix.Fstat(w.fd, &here); err != nil {
		return err
	}
	open := here.Mode&unix.S_IFMT == unix.S_IFDIR && others(&here, os.Geteuid())
	w.fixed = w.fixed && !open
	fd, err := unix.Openat(w.fd, s.name, walked, 0)
	if errors.Is(err, fs.ErrNotExist) && perm != 0 && s.name != ".." {
		if err = unix.Mkdirat(w.fd, s.name, uint32(perm.Perm())); err == nil || errors.Is(err, fs.ErrExist) {
			fd, err = unix.Openat(w.fd, s.name, walked, 0)
		}
	}
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		w.to(fd)
		return nil
	case unix.S_IFLNK:
		defer unix.Close(fd)
		if s.strict || open || here.Mode&0o022 != 0 && !trusted(st.Uid, os.Geteuid()) { // in a sticky directory a link is its owner's
			return redirected(s.name)
		}
		return w.link(fd, st.Size)
	}
	unix.Close(fd)
	return unix.ENOTDIR
}

func redirected(name string) error {
	return hint.Wrap(fmt.Errorf("%q: %w", name, ErrRedirected), "put a folder in the place of the link, or name the folder that it leads to")
}

// link goes on with where a link leads.
func (w *way) link(fd int, size int64) error {
	if w.links++; w.links > linksMost {
		return unix.ELOOP
	}
	buf := make([]byte, max(size, unix.PathMax)+1)
	n, err := unix.Readlinkat(fd, "", buf)
	if err != nil {
		return err
	}
	target := string(buf[:n])
	var steps []step
	for _, name := range names(target) {
		steps = append(steps, step{name: name})
	}
	w.left = append(steps, w.left...)
	if filepath.IsAbs(target) {
		return w.restart()
	}
	return nil
}
