package daemon

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stat gives the fields of /proc/PID/stat after the name, which may hold
// anything: state is at 0, the parent at 1, the start at 19.
func stat(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 {
		return nil
	}
	return fields
}

// ProcStart is when pid began, in ticks since the boot; 0 if there is no such
// process. One that has ended and that nobody waited for is none: in a container
// whose first process reaps nothing it stays for ever.
func ProcStart(pid int) uint64 {
	fields := stat(pid)
	if fields == nil || fields[0] == "Z" || fields[0] == "X" {
		return 0
	}
	n, _ := strconv.ParseUint(fields[19], 10, 64)
	return n
}

// children are the processes whose parent is this one.
func children() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	me := strconv.Itoa(os.Getpid())
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if fields := stat(pid); fields != nil && fields[1] == me {
			pids = append(pids, pid)
		}
	}
	return pids
}

// LeftGrace is what units of a crashed coltecd get before KILL: they
// have no supervisor that they could block.
// The workspace is back within 2 s, whatever they do.
const LeftGrace = time.Second

// killPatience is how long a killed process may take: one in an uninterruptible
// read of a dead disk takes for ever.
const killPatience = 5 * time.Second

// endChildren ends every descendant. This process is a sub-reaper: what a
// killed child leaves becomes a child, so it is done when there is none.
func endChildren(grace time.Duration) {
	kill := time.Now().Add(grace)
	signaled := map[int]bool{}
	for {
		pids := children()
		if len(pids) == 0 || time.Since(kill) > killPatience {
			return
		}
		for _, pid := range pids {
			switch {
			case time.Now().After(kill):
				_ = syscall.Kill(pid, syscall.SIGKILL)
			case !signaled[pid]:
				signaled[pid] = true
				_ = syscall.Kill(pid, syscall.SIGTERM)
				_ = syscall.Kill(pid, syscall.SIGCONT) // who stands still gets no other
			}
		}
		time.Sleep(10 * time.Millisecond) // for them to end; nobody else waits on this
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != nil || pid <= 0 {
				break
			}
		}
	}
}

// HideEnvironment keeps other processes of the same user out of our environment:
// the credentials are in there. An execve undoes it, so each of us does it.
func HideEnvironment() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
