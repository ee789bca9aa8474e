package daemon

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ground is the directory of a spec, locked: the one coltecd of it that lives.
type ground struct {
	dir *os.File
	id  string
}

// takeGround locks a directory as long as this process lives. It gives nil where
// another has it, or where a directory cannot be locked (NFS). Children do not get
// the descriptor.
func takeGround(path string) *ground {
	dir, err := openDir(path)
	if err != nil {
		return nil
	}
	id, err := inodeOf(path)
	if err != nil || unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		dir.Close()
		return nil
	}
	return &ground{dir, id}
}

// inodeOf is what a file is called on this kernel, as long as it is open.
func inodeOf(path string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino), nil
}

// openDir opens a directory. A pipe that has its name is not waited for.
func openDir(path string) (*os.File, error) { return os.OpenFile(path, unix.O_DIRECTORY, 0) }
