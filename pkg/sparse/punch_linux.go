package sparse

import (
	"os"

	"golang.org/x/sys/unix"
)

func punch(f *os.File, at, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, size)
		if err != unix.EINTR {
			return err
		}
	}
}
