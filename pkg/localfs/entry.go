package localfs

import (
	"errors"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/tree"
	"golang.org/x/sys/unix"
)

// Seen is what lstat says of a path: enough to tell, later, that nothing
// happened to it in between.
type Seen struct {
	Mode  uint32 // permission bits: 07777
	Size  int64  // of a file
	MTime int64  // nanoseconds
	CTime int64  // nanoseconds; 0 in a base means: look at the content again
	Inode uint64
	Mount bool // a directory that something is mounted at
}

// Entry is a path that a walk met.
type Entry struct {
	Path   string
	Kind   tree.Kind
	Linked bool   // a file that has other names, here or elsewhere: hard links
	Link   string // a symlink's target
	Seen
}

// Unknown is a path about which a walk cannot tell, and why. Nothing is
// concluded from it: unknown is not gone.
type Unknown struct {
	Path   string
	Reason string
	Quiet  bool // not worth a word to a person: a deliberate exclusion
	Unread bool // it may have something that is nowhere else: it cannot be read
	Moving bool // it changed while it was read, each time
	Beyond bool // it is more than a replica can have
	// Rests is when the beginning of its last line, which alone is not carried, goes as it
	// is; zero: there is none.
	Rests time.Time
	Bytes int64
}

// Met is what a walk comes upon: an entry, or a path that is unknown.
type Met struct {
	Entry
	Unknown *Unknown
	Passed  bool // a directory that was not looked into
}

// At is the path.
func (m *Met) At() string {
	if m.Unknown != nil {
		return m.Unknown.Path
	}
	return m.Path
}

// errKind is for what trees do not carry.
var errKind = errors.New(ReasonKind)

// ReasonKind is why sockets, fifos and devices are unknown.
const ReasonKind = "sockets, fifos and devices are not carried"

func entryOf(path string, st *unix.Stat_t, dirfd int, name string) (*Entry, error) {
	s := &Entry{Path: path, Seen: seenOf(st)}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		s.Kind, s.Linked = tree.File, st.Nlink > 1
	case unix.S_IFDIR:
		s.Kind = tree.Dir
	case unix.S_IFLNK:
		s.Kind = tree.Link
		target, err := readlink(dirfd, name, st.Size)
		if err != nil {
			return nil, err
		}
		s.Link = target
	default:
		return nil, errKind
	}
	return s, nil
}

func seenOf(st *unix.Stat_t) Seen {
	s := Seen{Mode: st.Mode & 0o7777, MTime: st.Mtim.Nano(), CTime: st.Ctim.Nano(), Inode: st.Ino}
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		s.Size = st.Size
	}
	return s
}

func readlink(dirfd int, name string, size int64) (string, error) {
	buf := make([]byte, max(size, 255)+1)
	n, err := unix.Readlinkat(dirfd, name, buf)
	if err == nil && n == len(buf) {
		err = unix.ENAMETOOLONG
	}
	return string(buf[:max(n, 0)]), err
}

// mountRoot reports whether something is mounted at a directory, which may be of the device
// that is around it: a volume of Docker's, another directory. Linux tells since 5.8.
func mountRoot(dirfd int, name string) bool {
	var st unix.Statx_t
	err := unix.Statx(dirfd, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, unix.STATX_TYPE, &st)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// distrustCTime clears the change time of a file that was changed so shortly ago that
// a further change could show the same time. Linux stamps files with the time
// of the last timer tick, 10 ms apart at most; some file systems keep 2 s.
func (s *Seen) distrustCTime(now time.Time) {
	grain := 20 * time.Millisecond
	if s.MTime%int64(time.Second) == 0 && s.CTime%int64(time.Second) == 0 {
		grain = 2 * time.Second
	}
	if now.UnixNano()-s.CTime < int64(grain) {
		s.CTime = 0
	}
}

// Sort sorts entries, as a walk gives them.
func Sort(seen []Entry) {
	slices.SortFunc(seen, func(a, b Entry) int { return tree.Compare(a.Path, b.Path) })
}

// Sighted reports whether a path is among sorted sightings.
func Sighted(seen []Entry, path string) bool {
	_, ok := Search(seen, path)
	return ok
}

// Search finds a path among sorted sightings.
func Search(seen []Entry, path string) (int, bool) {
	return slices.BinarySearchFunc(seen, path, func(s Entry, p string) int { return tree.Compare(s.Path, p) })
}

// HiddenBy tells the paths about which a walk cannot tell, and so must not
// conclude anything: those in what it could not see.
func HiddenBy(unknown []Unknown) func(path string) bool {
	at := map[string]bool{}
	for _, u := range unknown {
		at[u.Path] = true
	}
	return func(path string) bool {
		if len(at) == 0 {
			return false
		}
		for dir := range tree.Parents(path) {
			if at[dir] {
				return true
			}
		}
		return at[path]
	}
}
