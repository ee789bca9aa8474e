package replica

import (
	"errors"
	"fmt"
	"math"
	"path"
	"path/filepath"
	"time"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
	"golang.org/x/sys/unix"
)

// noRoom reports whether an error says that there is no room for a file here: the disk
// is full, or a quota used up, or the file system takes none of that size.
func noRoom(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG) ||
		rclone.ClassOf(err) == rclone.LocalDiskFull
}

// spare is left for the base, which has to note what was placed.
const spare = 1 << 20

// freeAt is how many bytes are free where a path of the tree is, or will be. A file
// system that does not tell has room for anything.
func freeAt(root, name string) int64 {
	var fs unix.Statfs_t
	for unix.Statfs(filepath.Join(root, name), &fs) != nil {
		if name == "" || name == "." {
			return math.MaxInt64
		}
		name = path.Dir(name)
	}
	if fs.Blocks == 0 {
		return math.MaxInt64
	}
	return max(int64(min(fs.Bavail, math.MaxInt64/uint64(fs.Bsize)))*fs.Bsize-spare, 0)
}

// refusal is a file that the disk had no room for.
type refusal struct {
	sum  tree.Sum
	room int64 // that there was
	at   time.Time
}

// A file that had no room is tried again when there is a good deal more of it, and after
// a while in any case: a quota may have been raised. Each try loads as much as there
// is room for.
const (
	refusedFor = 10 * time.Minute
	roomMore   = 16 // a part of what the file takes up
)

// crowded says why a file that comes is not even tried; "" when it is.
func (p *placement) crowded(d *plan.Decision, room int64) string {
	size := takesUp(d)
	was, refused := p.r.refused[d.Path]
	if !refused && p.full == 0 && size <= min(smallComes, room) {
		return "" // there may be many
	}
	room = min(room, freeAt(p.r.Path, d.Path)) // it may go to another file system
	refused = refused && was.sum == d.Entry.Sum && room < was.room+size/roomMore && time.Since(was.at) < refusedFor
	if refused || p.full > 0 && size >= p.full || leastRoom(d) > room {
		return crowdedWords(size, room, nil)
	}
	return ""
}

// leastRoom is what a file takes at least, also where the file system compresses: as
// much as it does in the bucket.
func leastRoom(d *plan.Decision) (n int64) {
	seen := map[string]bool{}
	for i := range d.Entry.Where {
		if x := &d.Entry.Where[i]; x.Sum == "" || !seen[x.Sum] {
			seen[x.Sum] = true
			n += x.Stored
		}
	}
	return n
}

// crowdedWords is the sentence for a file that has no room.
func crowdedWords(size, room int64, err error) string {
	switch {
	case errors.Is(err, unix.EFBIG):
		return fmt.Sprintf("the file system here takes no file of its size (%s)", amount(size))
	case room >= size:
		return fmt.Sprintf("the disk of this machine is full, or its quota: it takes %s; free up space on the disk", amount(size))
	}
	return fmt.Sprintf("the disk of this machine is full: it takes %s, and %s are free; free up space on the disk", amount(size), amount(room))
}

// amount writes bytes for a person.
func amount(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d bytes", n)
	}
	x, i := float64(n)/1024, 0
	for ; x >= 1024 && i < len(units)-1; i++ {
		x /= 1024
	}
	return fmt.Sprintf("%.1f %ciB", x, units[i])
}

// forgo notes that a file is not placed now.
func (p *placement) forgo(d *plan.Decision, why string) {
	p.out.Problems = append(p.out.Problems, localfs.Unknown{Path: d.Path, Reason: why, Moving: why == localfs.ErrEdited.Error()})
}

// retreat is for a batch that the disk had no room for: the stage is emptied, and less
// comes at a time, until one file is left that has none.
func (p *placement) retreat(takes []*plan.Decision, err error) (int, error) {
	kept := p.kept
	p.kept = false
	if err := p.r.emptyStage(); err != nil {
		return 0, err
	}
	if len(takes) > 1 || kept {
		p.limit = max(p.pace.batch/2, 1)
		return 0, nil
	}
	d := takes[0]
	if !errors.Is(err, unix.EFBIG) {
		p.full = max(takesUp(d), 1)
	}
	p.forgo(d, p.refuse(d, err))
	return 1, nil
}

// refuse remembers a file that had no room, and gives the sentence for it.
func (p *placement) refuse(d *plan.Decision, err error) string {
	room := min(freeAt(p.r.Path, ""), freeAt(p.r.Path, d.Path))
	if p.r.refused == nil {
		p.r.refused = map[string]refusal{}
	}
	p.r.refused[d.Path] = refusal{d.Entry.Sum, room, time.Now()}
	return crowdedWords(takesUp(d), room, err)
}

// takesUp is about how many bytes the content of a decision takes up on the disk: holes
// take none.
func takesUp(d *plan.Decision) int64 {
	size := d.Entry.Size
	for i := range d.Entry.Where {
		if x := &d.Entry.Where[i]; store.MayBeZero(x) {
			size -= x.Size
		}
	}
	return size
}
