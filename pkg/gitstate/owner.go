package gitstate

import (
	"fmt"
	"os"
	"syscall"
)

func stranger(at string) error {
	return refused("its git directory is outside of the tree, at %s, and what leads there may have come from the bucket: "+
		"coltecd reads and writes nothing there for it; to have it carried, remove what leads there, sync, and make it anew", at)
}

// mayLead says whether what leads from a directory to somewhere else is to be followed.
// Where coltecd may do more than who owns the directory, it shall not do it for them.
func mayLead(dir, to string) bool {
	owner, target := ownerOf(dir), ownerOf(to)
	return owner == os.Geteuid() || owner == target
}

// ownerOf is the user that owns a directory or a file; none owns what is not there.
func ownerOf(file string) int {
	s, err := os.Stat(file)
	if err != nil {
		return -1
	}
	if st, ok := s.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

func foreign(path, to string) error {
	return &RefusedError{foreign: true, Reason: fmt.Sprintf("%s leads to %s, which is not its owner's: coltecd reads and writes nothing there for them", path, to)}
}
