// Package tree is the noun that scans, manifests, bases and plans share: a
// file tree as a list of entries sorted by path, and its text form. Pure; it
// does no I/O but on the reader or writer it is given.
package tree

import (
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"slices"
	"strings"
)

// Kind is what an entry is. Sockets, fifos and devices are not carried.
type Kind byte

// The kinds that are carried.
const (
	File Kind = 'f'
	Dir  Kind = 'd'
	Link Kind = 'l'
)

// NoMode is the mode of an entry whose source carries none: a plain object
// that another tool wrote.
const NoMode = ^uint32(0)

// Sum is the SHA-256 of a file's content.
type Sum [sha256.Size]byte

// String gives the sum in hexadecimal, or "" for the zero sum.
func (s Sum) String() string {
	if s == (Sum{}) {
		return ""
	}
	return hex.EncodeToString(s[:])
}

// Codec says how an extent is stored.
type Codec byte

// The codecs of format 1.
const (
	Raw  Codec = 'r' // as it is
	Zstd Codec = 'z' // one zstd frame
)

// Extent is a stretch of a stored object that holds a stretch of content.
type Extent struct {
	Object string // key under the replica's .coltec/
	Offset int64  // where the stored bytes begin in the object
	Stored int64  // stored bytes
	Size   int64  // content bytes
	Codec  Codec
	Sum    string // the 32 bytes of the content's SHA-256, in a file of several parts; else ""
}

// Entry is one path of a tree.
type Entry struct {
	Path  string // any bytes, slash separated, relative, never empty
	Kind  Kind
	Mode  uint32 // permission bits with setuid, setgid and sticky: 07777
	MTime int64  // nanoseconds since the epoch; of a directory 0 where it is not known, and no change on its own
	Size  int64  // of a file's content
	Sum   Sum    // of a file's content
	Link  string // a symlink's target
	Tag   string // what a mirror's store calls this version (its hash); "" elsewhere
	Where []Extent
}

// Edit is an entry that another one came to.
type Edit struct {
	Now Entry
	Was *Entry // nil: there was none
}

// SameContent reports whether a and b are the same thing to a person: kind,
// content and link target. Mode and time are compared on their own.
func (e *Entry) SameContent(o *Entry) bool {
	return e.Kind == o.Kind && (e.Kind != File || e.Sum == o.Sum && e.Size == o.Size) && (e.Kind != Link || e.Link == o.Link)
}

// SameMeta reports whether mode and, where it is kept, time are the same.
func (e *Entry) SameMeta(o *Entry) bool {
	return (e.Kind == Link || e.Mode == o.Mode) && (e.Kind == Dir || e.MTime == o.MTime)
}

// Same is SameContent and SameMeta: nothing to carry from one to the other.
func (e *Entry) Same(o *Entry) bool { return e.SameContent(o) && e.SameMeta(o) }

// Compare orders paths as a walk meets them: by bytes, with the slash lower
// than every other byte, so that a directory's content follows it directly.
func Compare(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if x, y := a[i], b[i]; x != y {
			switch {
			case x == '/':
				return -1
			case y == '/':
				return 1
			case x < y:
				return -1
			default:
				return 1
			}
		}
	}
	return len(a) - len(b)
}

// Sort puts entries in the order of Compare.
func Sort(entries []Entry) {
	slices.SortFunc(entries, func(a, b Entry) int { return Compare(a.Path, b.Path) })
}

// All gives entries one by one.
func All(entries []Entry) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		for i := range entries {
			if !yield(&entries[i], nil) {
				return
			}
		}
	}
}

// Find looks a path up in sorted entries; nil when it is not there.
func Find(entries []Entry, path string) *Entry {
	if i, ok := slices.BinarySearchFunc(entries, path, func(e Entry, p string) int { return Compare(e.Path, p) }); ok {
		return &entries[i]
	}
	return nil
}

// Within reports whether path is dir or lies under it.
func Within(path, dir string) bool {
	return strings.HasPrefix(path, dir) && (len(path) == len(dir) || path[len(dir)] == '/')
}

// Parents yields the directories above path, outermost first.
func Parents(path string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range len(path) {
			if path[i] == '/' && !yield(path[:i]) {
				return
			}
		}
	}
}
