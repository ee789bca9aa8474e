package toolbox

import (
	"os/exec"
	"runtime"
	"syscall"
)

// runWithUs runs a program to its end. Where we are killed meanwhile it is interrupted, as where
// the agent has gone: nobody would hear what comes of it, and its next line would kill it in the
// middle of something.
func runWithUs(cmd *exec.Cmd) error {
	runtime.LockOSThread() // it is that thread's end which is told
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT}
	return cmd.Run()
}
