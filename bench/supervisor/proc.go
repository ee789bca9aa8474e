package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// markVar is in the environment of all that a run starts; its value is the run's
// directory.
const markVar = "COLTEC_BENCH"

// processes are those of a run: the supervisor's own, without the services.
func processes(dir string) (own []int) {
	for _, pid := range marked(dir) {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		switch name := strings.TrimSpace(string(comm)); name {
		case "sleep", "sh", "seq", "sv": // a service
		default:
			own = append(own, pid)
		}
	}
	return own
}

// marked are all processes of the runs at or below dir.
func marked(dir string) (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile("/proc/" + e.Name() + "/environ")
		if err == nil && bytes.Contains(env, []byte(markVar+"="+dir)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// endAll kills what a run has left.
func endAll(dir string) {
	for range 100 {
		pids := marked(dir)
		if len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// pss is the memory of processes in kB, shared pages by their share.
func pss(pids []int) (kb int) {
	for _, pid := range pids {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		for line := range strings.Lines(string(text)) {
			var n int
			if _, err := fmt.Sscanf(line, "Pss: %d kB", &n); err == nil {
				kb += n
			}
		}
	}
	return kb
}

// usage is what processes have used so far.
type usage struct {
	wakes int // how often a thread was given a CPU
	cpu   time.Duration
}

func (u usage) since(was usage) usage { return usage{u.wakes - was.wakes, u.cpu - was.cpu} }

func used(pids []int) (u usage) {
	for _, pid := range pids {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		for _, task := range tasks {
			text, _ := os.ReadFile(task + "/schedstat") // nanoseconds on a CPU, and waiting for one; how often
			var on, wait int64
			var times int
			if _, err := fmt.Sscan(string(text), &on, &wait, &times); err == nil {
				u.cpu += time.Duration(on)
				u.wakes += times
			}
		}
	}
	return u
}
