package process

import (
	"bytes"
	"os"
	"slices"
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

// members are the live processes of the group but its leader: those in the
// process group, those that carry the marker, all their descendants, and who was one at
// an earlier look. kill(-pgid, 0) would be cheaper, but it succeeds on zombies.
func (c *Child) members() []proc {
	all := procs()
	in := map[int]bool{c.pid: true}
	for _, p := range all {
		if p.pgrp == c.pid || c.met.has(p) || c.marks(p) {
			in[p.pid] = true
		}
	}
	live := family(all, in, nil)
	live = slices.DeleteFunc(live, func(p proc) bool { return p.pid == c.pid })
	c.met.add(live)
	return live
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

// marks reports whether p was started with our marker, and so after the leader: that
// spares a look at nearly all. The environment of a process of another user cannot
// be read; it is then none of ours, unless we are root.
func (c *Child) marks(p proc) bool {
	return c.marker != "" && p.start >= c.start && !p.zombie && hasVar(p.pid, []byte(c.marker))
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
