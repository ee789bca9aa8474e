package rclone

import (
	"os/exec"
	"syscall"
)

// top is the directory that children work in.
const top = `C:\`

// apart keeps the console's Ctrl-C from a child: it ends with its context.
func apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

func endGroup(*exec.Cmd) {}
