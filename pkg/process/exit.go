package process

import (
	"strconv"
	"syscall"
)

// Exit is how a leader ended.
type Exit struct {
	Code   int            // exit status, if Signal is 0
	Signal syscall.Signal // that killed it
	Core   bool
}

// OK reports whether it ended with status 0.
func (e Exit) OK() bool { return e.Signal == 0 && e.Code == 0 }

// String reads as os.ProcessState's does: "exit status 1", "signal: killed".
func (e Exit) String() string {
	switch {
	case e.Signal != 0 && e.Core:
		return "signal: " + e.Signal.String() + " (core dumped)"
	case e.Signal != 0:
		return "signal: " + e.Signal.String()
	default:
		return "exit status " + strconv.Itoa(e.Code)
	}
}
