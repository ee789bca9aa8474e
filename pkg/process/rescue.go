package process

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// Rescue takes over the output of what a killed supervisor of that marker has
// left: the lines that it held (see Spec.Held), what is in the pipes, and what is still
// to come, goes to what out gives for the unit. Call it before the leftovers are ended;
// wait, once they are, returns when all of it is there. A process of another user keeps
// its own, unless we are root.
func Rescue(marker, held string, out func(unit string) io.Writer) (wait func()) {
	var readers sync.WaitGroup
	pipes := leftPipes(marker)
	begun := findBeginnings(held)
	begun.takeOthers(pipes, out)
	for _, p := range pipes {
		to := out(p.unit)
		begun.take(p.inode, to)
		readers.Go(func() { copyAll(to, p.file) })
	}
	return func() {
		for _, p := range pipes {
			_ = p.file.SetReadDeadline(time.Now().Add(drain)) // a stranger may hold it
		}
		readers.Wait()
		for _, p := range pipes {
			p.file.Close()
		}
	}
}

// copyAll copies a pipe to its end, or what is in it by the deadline.
func copyAll(to io.Writer, pipe *os.File) {
	_, err := io.Copy(to, pipe)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return
	}
	if raw, err := pipe.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { carryRest(int(fd), to) })
	}
}
