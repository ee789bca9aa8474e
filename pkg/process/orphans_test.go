package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
)

// gone waits until pid is not even a zombie.
func gone(t *testing.T, pid int) {
	t.Helper()
	within(t, "the end of an orphan", func() {
		for {
			if _, ok := readProc(pid); !ok {
				return
			}
			syscall.Select(0, nil, nil, nil, &syscall.Timeval{Usec: 10000})
		}
	})
}

func TestAdopt(t *testing.T) {
	sample.Long(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := Adopt(ctx); err != nil {
		t.Fatal(err)
	}
	t.Run("an orphan is ours, and is collected", func(t *testing.T) {
		c, out := startBad(t, spec("leave daemon", nil))
		orphan := out.grandchild(t)
		within(t, "the end", func() { c.Wait(); c.Reap() })
		p, ok := readProc(orphan)
		if !ok || p.ppid != os.Getpid() {
			t.Fatalf("the orphan is %+v, %v", p, ok)
		}
		if err := syscall.Kill(orphan, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		gone(t, orphan)
	})
	t.Run("no exit status is stolen", func(t *testing.T) {
		for range 20 { // by plain os/exec, unregistered
			err := exec.Command("sh", "-c", "exit 7").Run()
			if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 7 {
				t.Fatalf("got %v", err)
			}
		}
		cmd := exec.Command("sh", "-c", "exit 7")
		release, err := StartCmd(cmd)
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		// Its zombie waits for longer than any orphan's may, and the reaper looks.
		within(t, "the zombie", func() {
			for p := (proc{}); !p.zombie; {
				p, _ = readProc(cmd.Process.Pid)
			}
		})
		reapOlder(reapOlder(nil, time.Now()), time.Now().Add(time.Hour))
		if err := cmd.Wait(); err == nil || err.Error() != "exit status 7" {
			t.Errorf("got %v", err)
		}
	})
}

// wait4(-1) beside os/exec stole 35 statuses of 300.
func TestFaultNoExitStatusIsStolen(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := Adopt(ctx); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for worker := range 4 { // half of them ours, half by plain os/exec, with orphans among them
		all.Go(func() {
			for i := range sample.Size(60, 250) {
				want := 1 + (worker+i)%100
				script := fmt.Sprintf("(sleep 0 &) ; exit %d", want)
				if got := exitOf(t, worker%2 == 0, script); got != want {
					t.Errorf("exit status %d, want %d", got, want)
				}
			}
		})
	}
	within(t, "a thousand children", all.Wait)
	within(t, "the end of all zombies", func() {
		for len(orphans()) > 0 {
			syscall.Select(0, nil, nil, nil, &syscall.Timeval{Usec: 10000})
		}
	})
}

func exitOf(t *testing.T, ours bool, script string) int {
	if !ours {
		cmd := exec.Command("/bin/sh", "-c", script)
		_ = cmd.Run()
		return cmd.ProcessState.ExitCode()
	}
	c, err := Start(Spec{Argv: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}}, nil)
	if err != nil {
		t.Error(err)
		return -1
	}
	exit := c.Wait()
	c.Reap()
	return exit.Code
}

func TestSweep(t *testing.T) {
	mine := "sweep-" + strconv.Itoa(os.Getpid())
	start := func(bad, marker string) int {
		c, out := startBad(t, spec(bad, func(s *Spec) { s.Marker = marker }))
		if strings.HasPrefix(bad, "leave") {
			pid := out.grandchild(t)
			within(t, "the leader", func() { c.Wait() })
			return pid
		}
		out.expect(t, "up")
		return c.PID()
	}
	sleeper := start("sleeper", mine+"/web")
	stubborn := start("stubborn", mine+"/db")
	daemon := start("leave daemon", mine+"/other")
	stranger := start("sleeper", mine+"-2/web")
	within(t, "the sweep", func() {
		if n := Sweep(t.Context(), mine, 50*time.Millisecond); n != 3 {
			t.Errorf("%d ended, want 3", n)
		}
	})
	for name, pid := range map[string]int{"sleeper": sleeper, "stubborn": stubborn, "daemon": daemon} {
		if runs(pid) {
			t.Errorf("the %s runs on", name)
		}
	}
	if !runs(stranger) {
		t.Error("a stranger was ended")
	}
	if n := Sweep(t.Context(), mine, time.Second); n != 0 {
		t.Errorf("%d ended the second time", n)
	}
}

// What a killed supervisor left standing still ends by TERM, long before KILL is due.
func TestSweepContinues(t *testing.T) {
	mine := "sweep-still-" + strconv.Itoa(os.Getpid())
	c, out := startBad(t, spec("sleeper", func(s *Spec) { s.Marker = mine + "/web" }))
	out.expect(t, "up")
	if err := syscall.Kill(c.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	within(t, "the sweep", func() { Sweep(t.Context(), mine, time.Hour) })
	if exit := c.Wait(); exit.Signal != syscall.SIGTERM {
		t.Errorf("it ended by %v", exit)
	}
}

// Whoever starts coltecd from a terminal of a supervised service has its marker.
func TestSweepSparesUsAndThoseAbove(t *testing.T) {
	all := []proc{{pid: os.Getpid(), ppid: 20}, {pid: 20, ppid: 10}, {pid: 10, ppid: 1}, {pid: 30, ppid: 10}}
	above := ancestors(all)
	for pid, want := range map[int]bool{os.Getpid(): true, 20: true, 10: true, 1: true, 30: false} {
		if above[pid] != want {
			t.Errorf("%d is above: %v", pid, above[pid])
		}
	}
}
