package process

import (
	"bytes"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// proc is one process as /proc/PID/stat shows it.
type proc struct {
	pid, ppid, pgrp int
	zombie          bool
	start           uint64 // ticks since boot: with pid, a name that is not given twice
}

// signal sends sig, unless the number has passed to another process meanwhile.
func (p proc) signal(sig syscall.Signal) {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		if now, ok := readProc(p.pid); ok && now.start == p.start {
			_ = syscall.Kill(p.pid, sig) // no pidfds here: as close as it gets
		}
		return
	}
	defer unix.Close(fd)
	if now, ok := readProc(p.pid); ok && now.start == p.start {
		_ = unix.PidfdSendSignal(fd, sig, nil, 0)
	}
}

// end sends sig, and has the process go on where it stands still: it gets sig only then.
func (p proc) end(sig syscall.Signal) {
	p.signal(sig)
	if sig != syscall.SIGKILL {
		p.signal(syscall.SIGCONT)
	}
}

// met are processes that were found once, by pid. One that ends has no environment any
// more before it is a zombie, and holds its ports and files until then: by its marker
// alone it would count as gone. So would one that an exec has given another environment.
type met map[int]uint64

func (m met) has(p proc) bool { start, ok := m[p.pid]; return ok && start == p.start }

func (m met) add(found []proc) {
	for _, p := range found {
		m[p.pid] = p.start
	}
}

// hasVar reports whether the process was started with the variable kv.
func hasVar(pid int, kv []byte) bool {
	return environ(pid, func(has []byte) bool { return bytes.Equal(has, kv) })
}

// procs lists all processes that can be seen.
func procs() []proc {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	all := make([]proc, 0, len(names))
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if p, ok := readProc(pid); ok {
				all = append(all, p)
			}
		}
	}
	return all
}

// readProc reads one process; false: there is none.
func readProc(pid int) (proc, bool) {
	var buf [1024]byte // more than the longest line; os.ReadFile costs twice as much
	fd, err := syscall.Open("/proc/"+strconv.Itoa(pid)+"/stat", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return proc{}, false
	}
	defer syscall.Close(fd)
	n, err := ignoringEINTR(func() (int, error) { return syscall.Read(fd, buf[:]) })
	if err != nil {
		return proc{}, false
	}
	return parseStat(pid, buf[:n])
}

// parseStat reads the fields behind the command name, which may hold anything,
// ") R 1" too: the last parenthesis counts.
func parseStat(pid int, stat []byte) (proc, bool) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return proc{}, false
	}
	fields := bytes.Fields(stat[end+1:])
	if len(fields) < 20 {
		return proc{}, false
	}
	ppid, err1 := strconv.Atoi(string(fields[1]))
	pgrp, err2 := strconv.Atoi(string(fields[2]))
	start, err3 := strconv.ParseUint(string(fields[19]), 10, 64)
	state := fields[0][0]
	ok := err1 == nil && err2 == nil && err3 == nil
	return proc{pid: pid, ppid: ppid, pgrp: pgrp, zombie: state == 'Z' || state == 'X', start: start}, ok
}

// family is the live processes of in and all that descend from them, but those to
// spare.
func family(all []proc, in, spare map[int]bool) (left []proc) {
	for changed := true; changed; { // children may have lower numbers than their parents
		changed = false
		for _, p := range all {
			if !in[p.pid] && in[p.ppid] && !spare[p.pid] {
				in[p.pid] = true
				changed = true
			}
		}
	}
	for _, p := range all {
		if in[p.pid] && !p.zombie {
			p.ppid = 0 // it changes when a parent dies; the rest names the process for good
			left = append(left, p)
		}
	}
	return left
}

// ancestors are ourselves and those above us.
func ancestors(all []proc) map[int]bool {
	parent := map[int]int{}
	for _, p := range all {
		parent[p.pid] = p.ppid
	}
	above := map[int]bool{}
	for pid := os.Getpid(); pid > 0 && !above[pid]; pid = parent[pid] {
		above[pid] = true
	}
	return above
}

// hasPrefix reports whether the process was started with a variable that begins so.
func hasPrefix(pid int, prefix []byte) bool {
	return environ(pid, func(kv []byte) bool { return bytes.HasPrefix(kv, prefix) })
}

// environ reports whether a variable that the process was started with is one.
func environ(pid int, is func([]byte) bool) bool {
	env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false
	}
	for kv := range bytes.SplitSeq(env, []byte{0}) {
		if is(kv) {
			return true
		}
	}
	return false
}

// variable is the first variable of a process that begins with prefix.
func variable(pid int, prefix []byte) (found string) {
	environ(pid, func(kv []byte) bool {
		if bytes.HasPrefix(kv, prefix) {
			found = string(kv)
			return true
		}
		return false
	})
	return found
}
