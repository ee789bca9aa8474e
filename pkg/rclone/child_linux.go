package rclone

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/process"
)

// top is the directory that children work in.
const top = "/"

// handedDir is the directory that a job hands to its child.
const handedDir = "/proc/self/fd/3"

// hand gives the name by which a child finds a directory. One that this process reaches
// through a descriptor is nothing to the child before it is handed over.
func (j *job) hand(dir string) (name string, err error) {
	if _, _, held := anchor.Number(dir); !held {
		return dir, nil
	}
	if j.dir, err = os.Open(dir); err != nil {
		return "", &Error{Op: j.op, Key: j.key, Exit: -1, Class: localClass(err), cause: err}
	}
	return handedDir, nil
}

// told gives a text of the child's the name of the directory that it was handed.
func (j *job) told(text string) string {
	if j.dir == nil {
		return text
	}
	return strings.ReplaceAll(text, handedDir, anchor.Plain(j.dir.Name()))
}

// apart gives a child a process group of its own, and TERM to all of that when its context ends.
func apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
}

// finish runs a child to its end.
func finish(cmd *exec.Cmd) error {
	release, err := process.StartCmd(cmd) // coltecd reaps orphans: this is none
	if err != nil {
		return err
	}
	defer release()
	err = cmd.Wait()
	// What rclone started (an ssh, say) may have outlived it.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	return err
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
