//go:build !windows

package devcontainer

import (
	"os/exec"
	"syscall"
)

// apart gives a child a session of its own, and TERM to all of that when its context ends.
func apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
}
