package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// First is a command that process 1 of a container runs, and what is to be done at its end:
// process 1 alone gets what a stop of the container sends.
type First struct {
	Argv, Env []string
	// Patience is how long the command has to end after a TERM before Last runs beside it.
	Patience time.Duration
	// Last gives the arguments with which this program runs once more, when the command has ended or does not end; since is when
	// TERM came, zero if it did not.
	Last func(since time.Time) (argv []string)
}

// handedOn are the signals that the command gets instead of us.
var handedOn = []os.Signal{
	syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
}

// Codes of a command that a shell cannot run.
const (
	codeNotFound = 127
	codeNotRun   = 126
)

// Run runs the command with our standard files, and returns its status as a shell gives it.
// Orphans become ours and are reaped: nothing else in this process may wait for children.
func (f First) Run() (code int, err error) {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, append(slices.Clone(handedOn), syscall.SIGCHLD)...)
	defer signal.Stop(signals)
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) // process 1 is it anyway
	path, err := exec.LookPath(f.Argv[0])
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return codeOfNoRun(err), fmt.Errorf("cannot run %s: %w", f.Argv[0], err)
	}
	w := watched{First: f, code: -1}
	if w.command, err = launch(path, f.Argv, f.Env, atTerminal()); err != nil {
		return codeOfNoRun(err), fmt.Errorf("cannot run %s: %w", f.Argv[0], err)
	}
	w.loop(signals)
	return w.code, nil
}

func codeOfNoRun(err error) int {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return codeNotFound
	}
	return codeNotRun
}

// atTerminal is how the command starts: what is typed at a terminal is for its group, and
// would come to it twice if it were ours, too.
func atTerminal() *syscall.SysProcAttr {
	if _, err := unix.IoctlGetTermios(0, unix.TCGETS); err != nil {
		return nil
	}
	return &syscall.SysProcAttr{Setpgid: true, Foreground: true, Ctty: 0}
}

func launch(path string, argv, env []string, sys *syscall.SysProcAttr) (int, error) {
	return syscall.ForkExec(path, argv, &syscall.ProcAttr{Env: env, Files: []uintptr{0, 1, 2}, Sys: sys})
}

// watched is a First that runs.
type watched struct {
	First
	command, last int // pids; last is 0 before it runs
	code          int // of the command; -1: it runs
	done          bool
	since         time.Time
}

// loop returns when both the command and what is last have ended.
func (w *watched) loop(signals <-chan os.Signal) {
	var late <-chan time.Time
	for w.reap(); w.code < 0 || !w.done; w.reap() {
		select {
		case s := <-signals:
			if s == syscall.SIGCHLD {
				continue
			}
			if s == syscall.SIGTERM && w.since.IsZero() {
				w.since, late = time.Now(), time.After(w.Patience)
			}
			if w.code < 0 {
				_ = syscall.Kill(w.command, s.(syscall.Signal)) // a zombie at worst: we alone reap it
			}
		case <-late:
			w.runLast()
		}
	}
}

// reap collects all that has ended, and runs what is last after the command.
func (w *watched) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := ignoringEINTR(func() (int, error) { return syscall.Wait4(-1, &status, syscall.WNOHANG, nil) })
		if err != nil || pid <= 0 {
			return
		}
		switch pid {
		case w.command:
			w.code = codeOfStatus(status)
			w.runLast()
		case w.last:
			w.done = true
		}
	}
}

func codeOfStatus(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

func (w *watched) runLast() {
	if w.last != 0 || w.done {
		return
	}
	argv := w.Last(w.since)
	pid, err := launch(self, argv, w.Env, nil)
	w.last, w.done = pid, err != nil
	if err != nil {
		fmt.Fprintf(os.Stderr, "cannot run %s: %v\n", argv[0], err)
	}
}
