//go:build !windows

package main

import (
	"os/exec"
	"syscall"
	"time"
)

// ownGroup keeps the terminal's Ctrl-C from a child.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

// endsByTerm has TERM go to a child alone when its context ends, as it ends what it started itself;
// if it has not ended within that patience, it and all of its group are killed. The result is
// called when it has ended.
func endsByTerm(cmd *exec.Cmd, patience time.Duration) (ended func()) {
	var kill *time.Timer
	cmd.Cancel = func() error {
		kill = time.AfterFunc(patience*9/10, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }) // before it is waited for: until then nobody else has its number
		return cmd.Process.Signal(syscall.SIGTERM)
	}
	return func() {
		if kill != nil {
			kill.Stop()
		}
	}
}
