package rclone

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// noConfig is the path that rclone itself uses for "there is no file": the
// user's own configuration is never read, and nothing is said about that.
const noConfig = "notfound"

// killAfter is how long an rclone that was told to end may take: it gives up
// its requests at once, but removes what it began.
const killAfter = 3 * time.Second

// command is a child in a process group of its own: TERM to the group when ctx
// ends, KILL to the whole of it later.
func command(ctx context.Context, path string, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, argv...)
	// Relative paths, and a file named as [noConfig], must not be found by chance.
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = killAfter
	return cmd
}

// wholeInput returns a file that holds all of the input before the child
// begins. A pipe will not do: were we killed while we write, rclone would take
// what it got for the whole and put a cut-off head in place of a good one.
func wholeInput(data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("rclone-stdin", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make rclone's input: %w", err)
	}
	file := os.NewFile(uintptr(fd), "rclone-stdin")
	if _, err = file.Write(data); err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("cannot write rclone's input: %w", err)
	}
	return file, nil
}
