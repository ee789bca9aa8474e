package process

import (
	"os/exec"
	"sync"
	"syscall"
)

// registry knows the pids that somebody waits for. There is one in a program, as
// there is one table of children: who reaps orphans must leave these alone, or it
// steals their exit statuses.
type registry struct {
	mu   sync.Mutex
	pids map[int]bool
}

var managed = registry{pids: map[int]bool{}}

// start runs a function that starts a child, and registers it before a reaper
// can see it.
func (r *registry) start(fork func() (int, error)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := fork()
	if err == nil {
		r.pids[pid] = true
	}
	return err
}

// collect reaps pid, which is a zombie, and forgets it.
func (r *registry) collect(pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = ignoringEINTR(func() (int, error) { return syscall.Wait4(pid, nil, 0, nil) })
	delete(r.pids, pid)
}

// StartCmd is cmd.Start for whoever uses os/exec in a program that reaps orphans.
// Call release after cmd.Wait.
func StartCmd(cmd *exec.Cmd) (release func(), err error) {
	err = managed.start(func() (int, error) {
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		return cmd.Process.Pid, nil
	})
	if err != nil {
		return nil, err
	}
	pid := cmd.Process.Pid
	return func() {
		managed.mu.Lock()
		defer managed.mu.Unlock()
		delete(managed.pids, pid)
	}, nil
}
