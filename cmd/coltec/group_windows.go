package main

import (
	"os/exec"
	"syscall"
)

// ownGroup keeps the console's Ctrl-C from a child: it ends with its context.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
