//go:build !windows

package remote

import (
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/hint"
)

// ownedHere refuses what somebody else could have written.
func ownedHere(name string) error {
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	sticky := st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Mode&unix.S_ISVTX != 0
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 && !sticky {
		return hint.Wrap(fmt.Errorf("others can write %s", name), "it must belong to root or to you, and nobody else may write it: chmod go-w %s", hint.Word(name))
	}
	return nil
}
