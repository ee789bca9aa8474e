package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// refused is a program: NUMBER COMMAND… runs the command where close_range fails with that
// number, as a kernel without it answers, or a filter of a container that is older than it.
func refused() {
	number, err := strconv.Atoi(os.Args[1])
	if err == nil {
		err = refuse(unix.SYS_CLOSE_RANGE, uint32(number))
	}
	if err == nil {
		err = syscall.Exec(os.Args[2], os.Args[2:], os.Environ())
	}
	fmt.Fprintln(os.Stderr, "refused:", err)
	os.Exit(99)
}

// refuse has a system call fail from now on, here and in all that is started.
func refuse(call, number uint32) error {
	runtime.LockOSThread() // a filter is the thread's
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // which call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: call},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0x00050000 | number}, // SECCOMP_RET_ERRNO
		{Code: unix.BPF_RET | unix.BPF_K, K: 0x7fff0000},          // SECCOMP_RET_ALLOW
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
}

// Without close_range, whoever waited for the end of a file or for a lock waited for
// coltecd, for ever, and each start said that it cannot close them.
func TestFaultInheritedFilesWithoutCloseRange(t *testing.T) {
	for _, number := range []syscall.Errno{
		syscall.ENOSYS, // before Linux 5.9
		syscall.EINVAL, // before 5.11: the flag is unknown
		syscall.EPERM,  // filters of containers
		syscall.EACCES, // or as a security module has it
	} {
		t.Run(number.Error(), func(t *testing.T) {
			w := newWorkspace(t, counted)
			r, pipe, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			locked := lockFile(t, filepath.Join(w.dir, "lock"))
			cmd := w.refused(number, "start")
			cmd.ExtraFiles = []*os.File{pipe, locked}
			out, err := cmd.CombinedOutput()
			pipe.Close()
			locked.Close()
			if err != nil || strings.Contains(string(out), "inherited") {
				t.Fatalf("%v: %s", err, out)
			}
			ended := make(chan error, 1)
			go func() { _, err := io.Copy(io.Discard, r); ended <- err }()
			select {
			case <-ended:
			case <-time.After(patience):
				t.Error("the pipe is held open")
			}
			lockFile(t, filepath.Join(w.dir, "lock")).Close()
		})
	}
}

// refused is coltecd with arguments where close_range fails.
func (w *workspace) refused(number syscall.Errno, args ...string) *exec.Cmd {
	path, err := exec.LookPath("refused")
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := w.command(args...)
	cmd.Args = append([]string{path, strconv.Itoa(int(number)), cmd.Path}, args...)
	cmd.Path = path
	return cmd
}

// lockFile is a file with a lock that nobody else has.
func lockFile(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return f
}

// TestKeepEach: with a list of the open files, and without.
func TestKeepEach(t *testing.T) {
	for name, dir := range map[string]string{"listed": "/proc/self/fd", "not listed": filepath.Join(t.TempDir(), "none")} {
		t.Run(name, func(t *testing.T) {
			fd, err := syscall.Dup(0)
			if err != nil {
				t.Fatal(err)
			}
			defer syscall.Close(fd)
			if err := keepEach(dir, fd); err != nil {
				t.Fatal(err)
			}
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("it is inherited: %#x, %v", flags, err)
			}
		})
	}
}
