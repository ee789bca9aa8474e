package replica

import (
	"fmt"
	"io/fs"
	"syscall"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// limits are what the rows of a replica may have, so that they can be read again.
type limits struct {
	rows      int
	fileParts int // of one file
	parts     int // of all files, beside the tree.MaxExtentsPerRow that each row may have
}

var usualLimits = limits{rows: store.MaxRows, fileParts: tree.MaxFileExtents, parts: tree.MaxExtents}

// A file is cut into parts of about usualPart where its content says so; what is all
// zeros, as holes are, has no such place, and is cut into the largest.
const (
	usualPart = 600 << 10
	zeroPart  = 2 << 20
)

// allowance is what is left of the limits while edits are staged. What is beyond it is
// left out by its name: else the tree could not be written, or nobody could read it.
type allowance struct {
	limits
	all         limits // before anything was taken from them
	byContent   bool   // files are cut into parts
	root        localfs.FileSystem
	cutTooOften map[string]localfs.Seen // the replica's
}

// refuses says why an edit is left out before it is read; "" for one that is read.
func (a *allowance) refuses(s *Edit) string {
	switch {
	case s.Was == nil && a.rows <= 0:
		return fmt.Sprintf("a replica can have %d files and directories", a.all.rows)
	case s.Kind != tree.File || !a.byContent:
		return ""
	case a.cutTooOften[s.Path] == version(&s.Seen):
		return a.tooLarge()
	case s.Size/usualPart < int64(min(a.fileParts, tree.MaxExtentsPerRow)):
		return ""
	}
	return a.over(s, a.estimate(s))
}

// estimate is about how many parts a file will have: as many for its size as it had, or as
// what it takes up on the disk makes likely.
func (a *allowance) estimate(s *Edit) int {
	if s.Was != nil && s.Was.Size > 0 && len(s.Was.Where) > 1 {
		return int(float64(len(s.Was.Where)) / float64(s.Was.Size) * float64(s.Size))
	}
	solid := min(s.Size, a.onDisk(s.Path, s.Size))
	return int(solid/usualPart + (s.Size-solid)/zeroPart)
}

// takes says why a file that was read is left out, or counts what it has.
func (a *allowance) takes(s *Edit, c *base.Change) string {
	if why := a.over(s, len(c.Where)); why != "" && s.Kind == tree.File {
		a.cutTooOften[s.Path] = version(&c.Seen)
		return why
	}
	delete(a.cutTooOften, s.Path)
	a.parts -= base.OverParts(len(c.Where)) - a.had(s)
	if s.Was == nil {
		a.rows--
	}
	return ""
}

// version is a file as it was seen, but for the time that a base notes only when it is old.
func version(s *localfs.Seen) localfs.Seen {
	return localfs.Seen{Size: s.Size, MTime: s.MTime, Inode: s.Inode}
}

// over says why a file with so many parts is left out.
func (a *allowance) over(s *Edit, parts int) string {
	switch {
	case parts > a.fileParts:
		return a.tooLarge()
	case base.OverParts(parts) > max(0, a.parts)+a.had(s):
		return fmt.Sprintf("the large files of a replica can have %d parts together, of some 600 KiB", a.all.parts)
	}
	return ""
}

func (a *allowance) tooLarge() string {
	return fmt.Sprintf("a file can have %d parts, of some 600 KiB", a.fileParts)
}

// had is what an edit's row has in the base of what is counted.
func (a *allowance) had(s *Edit) int {
	if s.Was == nil {
		return 0
	}
	return base.OverParts(len(s.Was.Where))
}

// onDisk is how much a file takes up, as far as the file system tells: its size otherwise.
func (a *allowance) onDisk(path string, size int64) int64 {
	f, err := a.root.Open(path)
	if err != nil {
		return size
	}
	defer f.Close()
	if s, ok := f.(interface{ Stat() (fs.FileInfo, error) }); ok {
		if info, err := s.Stat(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				return st.Blocks * 512
			}
		}
	}
	return size
}
