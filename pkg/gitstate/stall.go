package gitstate

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// errStalled says that git waited for something that does not come: a FIFO in the
// place of a file, most likely. No step may hold all others up for ever.
var errStalled = errors.New("it waited and did nothing for too long, and was ended: is a FIFO in the repository, or in one that it borrows objects from?")

// stallAfter is how long git may sleep without a byte or a tick of work. Git waits
// for nobody here: its input is ready, and disks are waited for in another way.
var stallAfter = time.Minute

// looks is how often git is looked at in that time. They are counted, and not the clock:
// where all of a container is paused, nobody stood still.
const looks = 10

// watch ends a process group of ours that sleeps without doing anything. Who calls
// what it gives ends the watch, and learns whether it did.
func watch(pid int, told func() int64) (ended func() bool) {
	done, gone := make(chan struct{}), make(chan struct{})
	var stalled atomic.Bool
	go func() {
		defer close(gone)
		tick := time.NewTicker(stallAfter / looks)
		defer tick.Stop()
		last, still := "", 0
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			work, sleeps := activity(pid)
			still++
			if now := fmt.Sprint(work, told()); !sleeps || now != last {
				last, still = now, 0
			}
			if still >= looks {
				stalled.Store(true)
				_ = syscall.Kill(-pid, syscall.SIGKILL)
				return
			}
		}
	}()
	return func() bool {
		close(done)
		<-gone
		return stalled.Load()
	}
}

// activity reads how much a process has worked, and whether it sleeps in a wait that
// may have no end. One of which nothing can be read is at work.
func activity(pid int) (work string, sleeps bool) {
	body, err := readFile("/proc/"+strconv.Itoa(pid)+"/stat", smallMost)
	if err != nil {
		return "", false
	}
	_, rest, _ := strings.Cut(string(body), ") ") // the name before may have anything
	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return "", false
	}
	return strings.Join(fields[11:15], " "), fields[0] == "S"
}
