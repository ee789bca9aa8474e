package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// WritableMaps adds the inodes of the files that processes have mapped to write to them: such a
// file changes without a sign of it. They are of any file system.
func WritableMaps(inodes map[uint64]bool, pids []int) error {
	for _, pid := range pids {
		body, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot see which files process %d writes by its memory: %w", pid, err)
		}
		for line := range bytes.Lines(body) { // address perms offset device inode path
			fields := bytes.Fields(line)
			if len(fields) < 6 || len(fields[1]) < 4 || fields[1][1] != 'w' || fields[1][3] != 's' {
				continue
			}
			if inode, err := strconv.ParseUint(string(fields[4]), 10, 64); err == nil && inode != 0 {
				inodes[inode] = true
			}
		}
	}
	return nil
}

// AllWritableMaps are those of all processes of which we are told.
func AllWritableMaps() map[uint64]bool {
	inodes := map[uint64]bool{}
	for _, p := range procs() {
		_ = WritableMaps(inodes, []int{p.pid})
	}
	return inodes
}

// User is a process that works in a directory.
type User struct {
	PID  int
	Name string
}

// Users are the processes that have files in a directory open or mapped. We ourselves are none. Nobody tells it of processes of other users, unless we are root.
func Users(dir string) (users []User) {
	dir = filepath.Clean(dir)
	for _, p := range procs() {
		if p.pid != os.Getpid() && !p.zombie && uses(p.pid, dir) {
			name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p.pid))
			users = append(users, User{p.pid, strings.TrimSpace(string(name))})
		}
	}
	slices.SortFunc(users, func(a, b User) int { return a.PID - b.PID })
	return users
}

func uses(pid int, dir string) bool {
	in := func(path string) bool {
		return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
	}
	proc := fmt.Sprintf("/proc/%d", pid)
	fds, _ := os.ReadDir(proc + "/fd")
	for _, fd := range fds {
		if path, err := os.Readlink(proc + "/fd/" + fd.Name()); err == nil && in(path) {
			return true
		}
	}
	maps, _ := os.ReadFile(proc + "/maps")
	return bytes.Contains(maps, []byte(" "+strings.TrimSuffix(dir, "/")+"/"))
}
