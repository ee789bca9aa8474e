package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// keepInherited keeps every open file but the three standard ones from what is started
// from now on. Who waits for the end of such a file, or for the lock on it, would
// otherwise wait for that, too.
func keepInherited() error {
	const first = 3
	// Linux 5.11 has it. Before 5.9 it is no call, up to 5.11 the flag is unknown, and
	// filters of system calls that are older than it refuse it in ways of their own.
	if unix.CloseRange(first, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return nil
	}
	return keepEach("/proc/self/fd", first)
}

// keepEach does it one by one: those that dir lists, where there is one, else all that
// this process may have.
func keepEach(dir string, first int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return keepAll(first, err)
	}
	var errs []error
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < first {
			continue
		}
		errs = append(errs, keep(fd))
	}
	return errors.Join(errs...)
}

// mostFiles bounds a search by number: containers have limits of a thousand million.
const mostFiles = 1 << 20

// keepAll asks for each number, as nobody lists the open files; that failed with why.
func keepAll(first int, why error) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("%w; %w", why, err)
	}
	var errs []error
	for fd := first; fd < int(min(limit.Cur, mostFiles)); fd++ {
		errs = append(errs, keep(fd))
	}
	return errors.Join(errs...)
}

// keep keeps one file, if it is open.
func keep(fd int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC)
	if errors.Is(err, unix.EBADF) {
		return nil // the directory's own, closed since
	}
	return err
}
