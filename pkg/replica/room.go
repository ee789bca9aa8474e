package replica

import (
	"errors"
	"fmt"
	"math"
	"path"
	"path/filepath"
	"time"

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
