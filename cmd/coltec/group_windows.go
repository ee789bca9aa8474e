package main

import (
	"os/exec"
	"syscall"
	"time"
)

// ownGroup keeps the console's Ctrl-C from a child: it ends with its context.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// endsByTerm has nothing to do here: a child is ended at once when its context ends.
func endsByTerm(*exec.Cmd, time.Duration) (ended func()) { return func() {} }
