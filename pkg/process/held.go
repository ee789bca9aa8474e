package process

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// held is the beginning of a line that a child has not ended. It cannot stay in the
// pipe: a child that waits for room in there does not end its line. In our memory alone
// it would go with us, and the rest of the line, which who comes after us finds in the
// pipe, would look like a line. So it moves to a file, and Rescue puts both together.
//
// So do lines that the log keeps in its memory.
//
// What is in the file and then in the pipe begins with a line at any moment, and lacks
// nothing that is not in the log. One system call moves bytes from the one to the other,
// so that a kill leaves each in one of them.
type held struct {
	dir, unit string   // dir is empty where nothing can be held
	file      *os.File // nil before there was something to hold
	size      int64    // of what is in it
}

// holdMost is how much of a line is held: what is longer is data, of which the log has
// all but the end.
const holdMost = chunk

// newHeld makes what holds the lines of the child that is marked so.
func newHeld(dir, marker string) held {
	return held{dir: dir, unit: marker[strings.LastIndexByte(marker, '/')+1:]}
}

// move takes exactly as many bytes out of the pipe as text holds, which are the next in
// it, and holds them if it can.
func (h *held) move(pipe int, text []byte) error {
	if h.size == 0 && !h.reachable() {
		h.remove()
		h.open(pipe)
	}
	for h.file != nil && len(text) > 0 {
		n, err := ignoringEINTR(func() (int, error) {
			n, err := unix.Splice(pipe, nil, int(h.file.Fd()), &h.size, len(text), unix.SPLICE_F_NONBLOCK)
			return int(n), err
		})
		if err != nil || n == 0 {
			h.remove()
			h.dir = "" // its disk is full, or its file system knows no splice
			break
		}
		text = text[n:]
	}
	return drainInto(pipe, text)
}

// reachable reports whether who comes after us can find the file: a cleaner of temporary
// files may have removed it.
func (h *held) reachable() bool {
	var info syscall.Stat_t
	return h.file != nil && syscall.Fstat(int(h.file.Fd()), &info) == nil && info.Nlink > 0
}

// open makes the file, which has the number of the pipe in its name.
func (h *held) open(pipe int) {
	var info syscall.Stat_t
	if h.dir == "" || syscall.Fstat(pipe, &info) != nil || os.MkdirAll(h.dir, 0o700) != nil {
		return
	}
	dir, err := os.OpenRoot(h.dir)
	if err != nil {
		return
	}
	defer dir.Close()
	name := h.unit + "." + strconv.FormatUint(info.Ino, 10)
	if f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err == nil {
		h.file, h.size = f, 0
	}
}

// clear is for when all of it is in the log.
func (h *held) clear() {
	if h.size > 0 && h.file.Truncate(0) != nil {
		h.remove()
	}
	h.size = 0
}

// remove ends it, with the output.
func (h *held) remove() {
	if h.file != nil {
		_ = os.Remove(filepath.Join(h.dir, filepath.Base(h.file.Name())))
		h.file.Close()
	}
	h.file, h.size = nil, 0
}
