package process

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// leftPipe is what the children of a killed supervisor print to.
type leftPipe struct {
	unit  string
	inode uint64
	file  *os.File // its reading end
}

// leftPipes opens the pipes of what a killed supervisor has left.
func leftPipes(marker string) (pipes []leftPipe) {
	seen := map[uint64]bool{} // inodes: a whole group prints to one pipe
	prefix := []byte(MarkerVar + "=" + marker + "/")
	for _, p := range leftovers(prefix, nil) {
		name, ok := strings.CutPrefix(variable(p.pid, prefix), string(prefix))
		if !ok {
			continue
		}
		for fd := 1; fd <= 2; fd++ {
			if file, inode := ourPipe(p.pid, fd, seen); file != nil {
				pipes = append(pipes, leftPipe{name, inode, file})
			}
		}
	}
	return pipes
}

// ourPipe opens the reading end of what a process prints to, if it is one of the
// pipes that we make: those alone are open for both directions. The pipes inside
// of `a | b` are none of our business.
func ourPipe(pid, fd int, seen map[uint64]bool) (*os.File, uint64) {
	path := fmt.Sprintf("/proc/%d/fd/%d", pid, fd)
	target, err := os.Readlink(path)
	if err != nil || !strings.HasPrefix(target, "pipe:") || !isOpenForBoth(pid, fd) {
		return nil, 0
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0
	}
	inode := info.Sys().(*syscall.Stat_t).Ino
	if seen[inode] {
		return nil, 0
	}
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0
	}
	seen[inode] = true
	return file, inode
}

func isOpenForBoth(pid, fd int) bool {
	info, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, fd))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(info)) {
		var flags int
		if n, _ := fmt.Sscanf(line, "flags:\t%o", &flags); n == 1 {
			return flags&unix.O_ACCMODE == unix.O_RDWR
		}
	}
	return false
}
