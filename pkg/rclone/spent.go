package rclone

import (
	"os"
	"path/filepath"
)

// Spent is what a run took of the store, as the commands here are known to: a
// store may count a few more for what was tried again.
type Spent struct {
	Requests int
	Sent     int64 // bytes of content; of a copy those that came by this machine
	Received int64 // bytes of content
}

// What rclone does with large files, by its defaults for S3.
const (
	uploadWhole   = 200 << 20 // larger ones are sent in parts of
	uploadPart    = 5 << 20
	uploadThreads = 256 << 20 // by several threads, with a HEAD at the end
	listPage      = 1000      // objects for each LIST
)

// puts is how many requests it takes to send files.
func puts(dir string, keys []string) int {
	n := len(keys)
	for _, key := range keys {
		if info, err := os.Lstat(filepath.Join(dir, key)); err == nil && info.Size() > uploadWhole {
			n += 1 + pages(info.Size(), uploadPart) // begin, parts, complete
			if info.Size() >= uploadThreads {
				n++
			}
		}
	}
	return n
}

// pages is how many of a size hold so much: at least one.
func pages(all, size int64) int { return max(1, int((all+size-1)/size)) }
