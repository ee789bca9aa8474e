package process

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a zombie that nobody has registered stays one: its parent
// may be an os/exec that is about to wait for it, and to reap it first would steal
// the exit status. An orphan can wait.
const patience = 2 * time.Second

// Adopt makes this process the parent of the orphans of its descendants (a
// sub-reaper), and collects those that end, until ctx does. Whoever starts
// children by os/exec meanwhile should use StartCmd.
func Adopt(ctx context.Context) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot become the parent of orphans: %w", err)
	}
	ended := make(chan os.Signal, 1) // one is enough: it means "look"
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		defer signal.Stop(ended)
		collectOrphans(ctx, ended)
	}()
	return nil
}

// apart is how long after a look the next one is at the soonest: each reads all of
// /proc, and a zombie waits for longer anyway.
const apart = patience / 8

// collectOrphans looks when a child has ended, and once more when the zombies that
// it saw have waited long enough. Between, it sleeps.
func collectOrphans(ctx context.Context, ended <-chan os.Signal) {
	seen, last := map[proc]time.Time{}, time.Time{}
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ended:
			if wait := apart - time.Since(last); wait > 0 {
				again.Reset(wait)
				continue
			}
		case <-again.C:
		}
		last = time.Now()
		if seen = reapOlder(seen, time.Now()); len(seen) > 0 {
			again.Reset(patience)
		}
	}
}

// reapOlder reaps the orphans that were zombies patience ago, and returns the
// others with the time when they were first seen.
func reapOlder(seen map[proc]time.Time, now time.Time) map[proc]time.Time {
	waiting := map[proc]time.Time{}
	for _, p := range orphans() {
		if !p.zombie {
			continue
		}
		first, ok := seen[p]
		switch {
		case !ok:
			waiting[p] = now
		case now.Sub(first) < patience:
			waiting[p] = first
		default:
			managed.collectOrphan(p.pid)
		}
	}
	return waiting
}

// orphans are our children that nobody has registered.
func orphans() (found []proc) {
	managed.mu.Lock()
	defer managed.mu.Unlock()
	for _, p := range procs() {
		if p.ppid == os.Getpid() && !managed.pids[p.pid] {
			found = append(found, p)
		}
	}
	return found
}

// collectOrphan reaps pid unless it was registered meanwhile.
func (r *registry) collectOrphan(pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.pids[pid] {
		_, _ = ignoringEINTR(func() (int, error) { return syscall.Wait4(pid, nil, syscall.WNOHANG, nil) })
	}
}

// Sweep ends what carries a marker that begins with marker and a slash, and is
// neither us nor an ancestor of ours: what a killed supervisor has left. TERM
// first, KILL after grace. It returns how many there were, when none is left or ctx
// ends. Only one supervisor of a marker may run; a lock must see to that.
func Sweep(ctx context.Context, marker string, grace time.Duration) (ended int) {
	prefix := []byte(MarkerVar + "=" + marker + "/")
	signaled, known := map[proc]bool{}, met{}
	deadline := time.Now().Add(grace)
	for pause := pollMin; ; pause = min(pause*2, pollMax) {
		left := leftovers(prefix, known)
		known.add(left)
		for _, p := range left {
			switch late := time.Now().After(deadline); {
			case late:
				p.signal(syscall.SIGKILL)
			case !signaled[p]:
				p.end(syscall.SIGTERM)
			}
			signaled[p] = true
		}
		if len(left) == 0 || !sleep(ctx, pause) {
			return len(signaled)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// leftovers are the live processes with the marker, those that are known by now, and all
// their descendants: one that clears its environment is still the child of one that does
// not.
func leftovers(prefix []byte, known met) []proc {
	all := procs()
	spare := ancestors(all)
	in := map[int]bool{}
	for _, p := range all {
		if !spare[p.pid] && !p.zombie && (known.has(p) || hasPrefix(p.pid, prefix)) {
			in[p.pid] = true
		}
	}
	return family(all, in, spare)
}
