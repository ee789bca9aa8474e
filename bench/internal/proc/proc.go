// Package proc reads in /proc what processes cost, and ends those that a
// benchmark started.
package proc

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

// MarkVar is in the environment of all that a run starts; its value is the run's
// directory.
const MarkVar = "COLTEC_BENCH"

// Marked are all processes of the runs at or below dir.
func Marked(dir string) (pids []int) {
	for _, pid := range all() {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err == nil && bytes.Contains(env, []byte(MarkVar+"="+dir)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Tree are the given processes and all below them.
func Tree(roots ...int) []int {
	below := map[int][]int{}
	for _, pid := range all() {
		if f := stat(pid); len(f) > 1 {
			parent, _ := strconv.Atoi(f[1])
			below[parent] = append(below[parent], pid)
		}
	}
	pids := append([]int(nil), roots...)
	for i := 0; i < len(pids); i++ {
		pids = append(pids, below[pids[i]]...)
	}
	return pids
}

// EndAll kills what a run has left, with all below it.
func EndAll(dir string) {
	for range 100 {
		pids := Tree(Marked(dir)...)
		if len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Name is the command name of a process; "" when it is gone.
func Name(pid int) string {
	comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(comm))
}

// Argv is the command line of a process; nil when it is gone.
func Argv(pid int) []string {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.FieldsFunc(string(line), func(r rune) bool { return r == 0 })
}

// Parent is the process that started one.
func Parent(pid int) int {
	if f := stat(pid); len(f) > 1 {
		parent, _ := strconv.Atoi(f[1])
		return parent
	}
	return 0
}

// PSS is the memory of processes in kB, shared pages by their share.
func PSS(pids []int) (kb int) {
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

// CPU is what processes and their ended children have used so far, to 10 ms.
func CPU(pids []int) (total time.Duration) {
	for _, pid := range pids {
		f := stat(pid)
		if len(f) < 15 {
			continue
		}
		for _, ticks := range f[11:15] { // utime, stime, cutime, cstime
			n, _ := strconv.ParseInt(ticks, 10, 64)
			total += time.Duration(n) * 10 * time.Millisecond // USER_HZ is 100 wherever Go runs
		}
	}
	return total
}

// Usage is what processes have used so far, without their children.
type Usage struct {
	Wakes int // how often a thread was given a CPU
	CPU   time.Duration
}

// Since is what was used after an earlier reading.
func (u Usage) Since(was Usage) Usage { return Usage{u.Wakes - was.Wakes, u.CPU - was.CPU} }

// Used reads the usage of processes to the nanosecond.
func Used(pids []int) (u Usage) {
	for _, pid := range pids {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		for _, task := range tasks {
			text, _ := os.ReadFile(task + "/schedstat") // nanoseconds on a CPU, and waiting for one; how often
			var on, wait int64
			var times int
			if _, err := fmt.Sscan(string(text), &on, &wait, &times); err == nil {
				u.CPU += time.Duration(on)
				u.Wakes += times
			}
		}
	}
	return u
}

// all are all processes but ourselves.
func all() (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// stat are the fields of /proc/PID/stat from the state on; nil when it is gone.
func stat(pid int) []string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	end := bytes.LastIndexByte(text, ')') // the name before it may hold anything
	if end < 0 {
		return nil
	}
	return strings.Fields(string(text[end+1:]))
}
