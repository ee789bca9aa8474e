package localfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/tree"
	"golang.org/x/sys/unix"
)

// Walk lists the tree under root in the order of tree.Compare. What it cannot
// or shall not see is in unknown, and nothing under an unknown directory is
// listed. An error means that the root itself could not be read.
func Walk(ctx context.Context, root string, match Matcher) (seen []Entry, unknown []Unknown, err error) {
	return entries(func(visit func(*Met)) error {
		fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &fs.PathError{Op: "open", Path: root, Err: err}
		}
		return walkIn(ctx, fd, root, match, nil, visit)
	})
}

// entries collects what a walk meets.
func entries(walk func(visit func(*Met)) error) (seen []Entry, unknown []Unknown, err error) {
	err = walk(func(m *Met) {
		if m.Unknown != nil {
			unknown = append(unknown, *m.Unknown)
		} else {
			seen = append(seen, m.Entry)
		}
	})
	if err != nil {
		return nil, nil, err
	}
	return seen, unknown, nil
}

// Scope are the directories that a walk looks into, with all above them; true: and
// into all below. nil: into every one.
type Scope map[string]bool

// Add adds a directory.
func (s Scope) Add(dir string, whole bool) {
	for up := range tree.Parents(dir) {
		s[up] = s[up] || false
	}
	s[dir] = s[dir] || whole
}

// walkIn walks an open directory, which it closes. After an error nothing of what was
// met counts.
func walkIn(ctx context.Context, fd int, root string, match Matcher, in Scope, visit func(*Met)) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return &fs.PathError{Op: "stat", Path: root, Err: err}
	}
	names, err := namesIn(fd, root)
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("cannot read directory %q: %w", root, err)
	}
	w := walker{ctx: ctx, match: match, in: in, visit: visit}
	w.dir(fd, "", names, st.Dev)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

type walker struct {
	ctx   context.Context
	match Matcher
	in    Scope
	whole string // the directory around where we are that is in scope with all below; "" for none
	visit func(*Met)
	met   Met
}

// namesIn lists a directory in order.
func namesIn(fd int, path string) ([]string, error) {
	again, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(again), path)
	defer f.Close()
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// dir walks what is in one directory; it closes fd. dev is the directory's own
// device.
func (w *walker) dir(fd int, path string, names []string, dev uint64) {
	defer unix.Close(fd)
	for _, name := range names {
		if w.ctx.Err() != nil {
			return
		}
		w.child(fd, Join(path, name), name, dev)
	}
}

// Join puts a name below a directory, "" for the root.
func Join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// longPath is a length up to which a path is none too long: of shorter ones it is not
// asked.
const longPath = 255

func (w *walker) child(dirfd int, path, name string, dev uint64) {
	var st unix.Stat_t
	if err := unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if !errors.Is(err, unix.ENOENT) { // gone since the directory was read: it is gone
			w.skip(path, err)
		}
		return
	}
	s, err := entryOf(path, &st, dirfd, name)
	if errors.Is(err, errKind) && (!w.match.File(path) || knownSocket(name)) {
		w.unknown(Unknown{Path: path, Reason: "excluded", Quiet: true})
		return
	}
	if err != nil {
		w.skip(path, err)
		return
	}
	if len(path) > longPath && !tree.ValidPath(path) {
		w.skip(path, unix.ENAMETOOLONG)
		return
	}
	s.Mount = s.Kind == tree.Dir && (st.Dev != dev || mountRoot(dirfd, name))
	included := w.match.File
	if s.Kind == tree.Dir {
		included = w.match.Dir
	}
	if !included(path) {
		w.unknown(w.leftOut(dirfd, s, &st))
		return
	}
	if s.Kind != tree.Dir {
		w.see(s)
		return
	}
	w.enter(dirfd, name, s, st.Dev)
}

// knownSocket reports whether a name is that of a socket that a user's own daemons make in
// their directories wherever they run: of GnuPG, and of agents of ssh.
func knownSocket(name string) bool {
	return strings.HasPrefix(name, "S.gpg-agent") || slices.Contains([]string{"S.scdaemon", "S.dirmngr", "S.keyboxd", "S.uiserver", "ssh-agent.sock"}, name)
}

// leftOut is of what is not carried: on purpose, but for what has the name of our own
// directory with capitals, where that is another one.
func (w *walker) leftOut(dirfd int, s *Entry, st *unix.Stat_t) Unknown {
	out := Unknown{Path: s.Path, Reason: "excluded", Quiet: true}
	reserves, _ := w.match.(interface {
		Reserves(path string, dir bool) bool
	})
	if s.Path == Dir || reserves == nil || !reserves.Reserves(s.Path, s.Kind == tree.Dir) {
		return out
	}
	var own unix.Stat_t
	if unix.Fstatat(dirfd, Dir, &own, unix.AT_SYMLINK_NOFOLLOW) == nil && own.Dev == st.Dev && own.Ino == st.Ino {
		return out
	}
	return Unknown{Path: s.Path, Reason: "where capitals do not count it has the name of coltecd's own directory: give it another one, or exclude it", Unread: true}
}

// looksInto reports whether a directory is in scope. What is mounted is, as a whole:
// what it hides is known of all or nothing.
func (w *walker) looksInto(s *Entry) bool {
	if w.in == nil || w.whole != "" && tree.Within(s.Path, w.whole) {
		return true
	}
	whole, listed := w.in[s.Path]
	if whole || s.Mount {
		w.whole = s.Path
		return true
	}
	return listed
}

// enter walks a directory below. One that cannot be read is unknown as a whole.
func (w *walker) enter(dirfd int, name string, s *Entry, dev uint64) {
	if !w.looksInto(s) {
		w.met = Met{Entry: *s, Passed: true}
		w.visit(&w.met)
		return
	}
	fd, err := unix.Openat(dirfd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		w.skip(s.Path, err)
		return
	}
	names, err := namesIn(fd, s.Path)
	if err != nil {
		unix.Close(fd)
		w.skip(s.Path, err)
		return
	}
	w.see(s)
	w.dir(fd, s.Path, names, dev)
}

func (w *walker) see(s *Entry) {
	w.met = Met{Entry: *s}
	w.visit(&w.met)
}

func (w *walker) unknown(u Unknown) {
	w.met = Met{Unknown: &u}
	w.visit(&w.met)
}

func (w *walker) skip(path string, err error) {
	w.unknown(Unknown{Path: path, Reason: err.Error(), Unread: !errors.Is(err, errKind)})
}
