// Package process runs one child as a group: started with a full environment and
// its own process group, stopped with everything that it started. It never lets a
// grandchild that holds the output delay the news of the leader's end, and never
// signals a process group whose number may have passed to somebody else.
//
// The supervisor starts all units with it; anything that starts children may
// import it.
package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Times of the end of a child.
const (
	// drain is how long output may come after all of the group is gone: long
	// enough for a full pipe on a slow disk; more than that is a stranger who
	// holds the pipe.
	drain = time.Second
	// pollMin and pollMax bound how often the members of a group whose leader has
	// ended are counted; there is no signal when a process that is not a child ends.
	pollMin = 5 * time.Millisecond
	pollMax = 250 * time.Millisecond
)

// Child is a process group with one leader. The one who started it calls Wait,
// then (Left and) Reap; Signal may come from anywhere.
type Child struct {
	group
	outlet
	pidfd *os.File // nil where the kernel has none
	alone bool     // Left found nobody; only the one who calls it and Reap

	mu     sync.Mutex
	sig    syscall.Signal // the last one sent; Reap passes it on to those whom the group signal misses
	reaped bool           // the number pid may belong to somebody else by now
}

// Start starts a child whose standard output and error go to out; nil drops
// them. Nothing of out is used after Reap has returned.
func Start(spec Spec, out io.Writer) (*Child, error) {
	c, err := start(spec, out)
	if err != nil {
		return nil, fmt.Errorf("cannot start %q: %w", strings.Join(spec.Argv[:min(1, len(spec.Argv))], ""), err)
	}
	return c, nil
}

func start(spec Spec, out io.Writer) (*Child, error) {
	path, err := lookPath(spec)
	if err != nil {
		return nil, err
	}
	cred, err := credential(spec.User)
	if err != nil {
		return nil, err
	}
	c := &Child{group: group{met: met{}}}
	env := spec.Env
	if spec.Marker != "" {
		c.marker = MarkerVar + "=" + spec.Marker
		env = append(env[:len(env):len(env)], c.marker)
	}
	open := openStdio
	if spec.Screen {
		open = openScreen
	}
	stdio, printed, err := open(spec.Quiet, out != nil, cred)
	if err != nil {
		return nil, err
	}
	defer stdio.close()
	c.outlet = outlet{printed, make(chan struct{})}
	if err := c.fork(path, spec, env, cred, stdio.fds()); err != nil {
		if c.out != nil {
			c.out.Close()
		}
		return nil, err
	}
	if spec.Screen {
		go c.show(out)
	} else {
		go c.pump(out, newHeld(spec.Held, spec.Marker))
	}
	return c, nil
}

// fork starts the leader and registers its pid in one critical section, so that
// a reaper of orphans never takes it for one.
func (c *Child) fork(path string, spec Spec, env []string, cred *syscall.Credential, fds []uintptr) error {
	pidfd := -1
	attr := &syscall.ProcAttr{
		Dir: spec.Dir, Env: env, Files: fds,
		Sys: &syscall.SysProcAttr{Setpgid: !spec.Screen, Setsid: spec.Screen, Setctty: spec.Screen, Credential: cred, PidFD: &pidfd},
	}
	if attr.Dir == "" {
		attr.Dir = "/"
	}
	if attr.Env == nil {
		attr.Env = []string{} // nil would inherit ours, secrets included
	}
	err := managed.start(func() (pid int, err error) {
		c.pid, err = syscall.ForkExec(path, spec.Argv, attr)
		return c.pid, err
	})
	if err != nil {
		return explain(err, path, spec)
	}
	if leader, ok := readProc(c.pid); ok {
		c.start = leader.start
	}
	if pidfd >= 0 && syscall.SetNonblock(pidfd, true) == nil {
		c.pidfd = os.NewFile(uintptr(pidfd), "pidfd") // non-blocking: waits in the poller, not in a thread
	}
	return nil
}

// explain adds which file ENOENT and its kin are about: the kernel does not.
func explain(err error, path string, spec Spec) error {
	if info, statErr := os.Stat(spec.Dir); spec.Dir != "" && (statErr != nil || !info.IsDir()) {
		return fmt.Errorf("its directory %q: %w", spec.Dir, errors.Join(statErr, notDir(statErr)))
	}
	if errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("%w (its interpreter is missing, or it was just removed)", err)
	}
	if errors.Is(err, syscall.EPERM) && spec.User != "" {
		return notPermitted(spec.User)
	}
	return err
}

func notDir(statErr error) error {
	if statErr != nil {
		return nil
	}
	return syscall.ENOTDIR
}

// PID of the leader.
func (c *Child) PID() int { return c.pid }

// Signal sends sig to the whole group, and has those go on that stand still, members that
// left the group too: who is stopped gets no other signal before. Once the leader has ended,
// Reap passes sig on to members that left the group.
func (c *Child) Signal(sig syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sig = sig
	if c.reaped {
		return
	}
	// The zombie of the leader holds the number. It fails if nobody is left: as good.
	_ = syscall.Kill(-c.pid, sig)
	if sig == syscall.SIGKILL {
		return
	}
	_ = syscall.Kill(-c.pid, syscall.SIGCONT)
	for _, p := range c.members() {
		if p.pgrp != c.pid {
			p.signal(syscall.SIGCONT) // the leader may wait for it
		}
	}
}

// Wait returns when the leader has ended, whoever of its group runs on. The
// leader stays a zombie, so that its number keeps meaning this group.
func (c *Child) Wait() Exit {
	if c.pidfd == nil {
		return c.waitInThread()
	}
	raw, err := c.pidfd.SyscallConn()
	if err != nil {
		return c.waitInThread()
	}
	var exit Exit
	var ended bool
	err = raw.Read(func(uintptr) bool {
		exit, ended = peek(c.pid, syscall.WNOHANG)
		return ended
	})
	if err != nil || !ended {
		return c.waitInThread()
	}
	return exit
}

// waitInThread is Wait for kernels without pidfds (gVisor, before 5.3).
func (c *Child) waitInThread() Exit {
	exit, _ := peek(c.pid, 0)
	return exit
}

// Left reports whether members of the group run on after the leader has ended.
func (c *Child) Left() bool {
	c.alone = len(c.members()) == 0 // for good: only a member makes a new one
	return !c.alone
}

// Reap returns when nothing of the group runs any more and its output is
// drained. It signals nobody by itself: until Signal is called, it waits for as
// long as a member lives.
func (c *Child) Reap() {
	signaled := map[int]syscall.Signal{}
	for pause := pollMin; !c.alone; pause = min(pause*2, pollMax) {
		members := c.members()
		if len(members) == 0 {
			break
		}
		c.tell(members, signaled)
		time.Sleep(pause)
	}
	c.collect()
	if c.out != nil {
		_ = c.out.SetReadDeadline(time.Now().Add(drain))
	}
	<-c.pumped
}

// tell passes the last signal on to members that the group signal misses, once
// each; KILL goes to all each time, for what forked meanwhile.
func (c *Child) tell(members []proc, signaled map[int]syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sig == syscall.SIGKILL {
		_ = syscall.Kill(-c.pid, syscall.SIGKILL)
	}
	for _, p := range members {
		if p.pgrp != c.pid && c.sig != 0 && (signaled[p.pid] != c.sig || c.sig == syscall.SIGKILL) {
			p.end(c.sig)
			signaled[p.pid] = c.sig
		}
	}
}

// collect reaps the zombie: from here on, the number is anybody's.
func (c *Child) collect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reaped = true
	managed.collect(c.pid)
	if c.pidfd != nil {
		c.pidfd.Close()
	}
}
