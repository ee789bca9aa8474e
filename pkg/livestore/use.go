package livestore

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/coltec/coltec/pkg/localfs"
	"golang.org/x/sys/unix"
)

// Use is what is known of who has a data directory open.
type Use struct {
	Open bool
	PID  int // of the server; 0 where it is not known, as that of one in another container
	// Left is, in words, what looks as if a server were there, and shows none: it was
	// killed, or it is in another container on the same files. What such a one leaves on the
	// disk at any moment is what a power cut leaves.
	Left string
}

// locked are the files of each kind that its servers hold a lock on while they run.
var locked = map[Kind][]string{
	MySQL:   {"ibdata1", "mysql.ibd", "aria_log_control"},
	LevelDB: {"LOCK"},
	RocksDB: {"LOCK"},
}

// UseOf says who has the data directory open that lies at a path of the tree at root.
//
// PostgreSQL runs in its data directory, and refuses to run without its postmaster.pid. InnoDB,
// LevelDB and RocksDB hold a record lock, which is seen across containers on one
// kernel; others that took their files over, as goleveldb, hold another lock, and are found by
// what they have open.
func UseOf(files localfs.FileSystem, root, dir string, kind Kind, programs *Programs) Use {
	if kind == PostgreSQL {
		return postmaster(files, root, dir, programs)
	}
	for _, name := range locked[kind] {
		path := localfs.Join(dir, name)
		f, err := files.Open(path)
		if err != nil {
			continue
		}
		holder, held := holderOf(f)
		id, known := identify(f)
		f.Close()
		if held {
			return Use{Open: true, PID: holder}
		}
		if !known {
			continue
		}
		if pid, open := programs.opened(name, id); open {
			return Use{Open: true, PID: pid}
		}
		if pid, locks := programs.locks[id]; locks {
			return Use{Open: true, PID: pid}
		}
	}
	return Use{}
}

// identity tells a file or directory from all others.
type identity struct{ dev, inode uint64 }

// identify identifies an open file.
func identify(f localfs.File) (id identity, ok bool) {
	fd, ok := f.(interface{ Fd() uintptr })
	if !ok {
		return id, false
	}
	var st unix.Stat_t
	err := unix.Fstat(int(fd.Fd()), &st)
	return identity{st.Dev, st.Ino}, err == nil
}

// holderOf asks who holds a record lock on an open file. Nothing is locked by it.
func holderOf(f localfs.File) (pid int, held bool) {
	fd, ok := f.(interface{ Fd() uintptr })
	if !ok {
		return 0, false
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK} // all of the file
	// Of this process nobody holds one, so the plain question, which tells a pid, is as good
	// as F_OFD_GETLK. A file system without locks has no answer.
	if err := unix.FcntlFlock(fd.Fd(), unix.F_GETLK, &lock); err != nil || lock.Type == unix.F_UNLCK {
		return 0, false
	}
	return max(0, int(lock.Pid)), true
}

// postmaster says whether a server of PostgreSQL runs.
func postmaster(files localfs.FileSystem, root, dir string, programs *Programs) Use {
	id, known := identityAt(filepath.Join(root, dir))
	first, _, _ := strings.Cut(string(head(files, localfs.Join(dir, "postmaster.pid"), 64)), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	pid = max(pid, -pid) // of a server for one user it is negative
	switch {
	case known && err == nil && programs.worksIn(pid, id):
		return Use{Open: true, PID: pid}
	case known:
		if pid, runs := programs.inDir(id); runs {
			return Use{Open: true, PID: pid} // its lock file was removed, or is another's
		}
	}
	if err != nil || pid == 0 {
		return Use{}
	}
	return Use{Left: fmt.Sprintf("its postmaster.pid is of process %d, which is not here", pid)}
}

// identityAt identifies a directory by its path. A link in it leads elsewhere: then the
// answer is about another directory, and nothing is read or written there.
func identityAt(path string) (identity, bool) {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	return identity{st.Dev, st.Ino}, err == nil
}

// Programs are those that run, as far as they can be seen: those of the same container, of the same
// user or, for root, of all. They are read once, when somebody asks.
type Programs struct {
	read  bool
	dirs  map[identity]int            // working directories of PostgreSQL's
	opens map[string]map[identity]int // files that are open, by their names
	locks map[identity]int            // files that are locked
}

// worksIn reports whether a process has a directory as its own; where that cannot be seen,
// whether it is called as PostgreSQL's server is.
func (p *Programs) worksIn(pid int, dir identity) bool {
	at := "/proc/" + strconv.Itoa(pid)
	if pid <= 0 || ended(at) {
		return false
	}
	if id, ok := identityAt(at + "/cwd"); ok {
		return id == dir
	}
	return isPostgres(at)
}

// ended reports whether a process is gone, or waits to be reaped.
func ended(at string) bool {
	stat, err := os.ReadFile(at + "/stat")
	if err != nil {
		return true
	}
	_, state, _ := strings.Cut(string(stat[max(0, strings.LastIndexByte(string(stat), ')')):]), ") ")
	return strings.HasPrefix(state, "Z") || strings.HasPrefix(state, "X")
}

// inDir gives a process that has a directory as its own.
func (p *Programs) inDir(dir identity) (pid int, ok bool) {
	p.look()
	pid, ok = p.dirs[dir]
	return pid, ok
}

// opened gives a process that has a file of that name open.
func (p *Programs) opened(name string, file identity) (pid int, ok bool) {
	p.look()
	pid, ok = p.opens[name][file]
	return pid, ok
}

// look reads which directories and files the programs have.
func (p *Programs) look() {
	if p.read {
		return
	}
	p.read, p.dirs, p.opens = true, map[identity]int{}, map[string]map[identity]int{}
	for _, names := range locked {
		for _, name := range names {
			p.opens[name] = map[identity]int{}
		}
	}
	if text, err := os.ReadFile("/proc/locks"); err == nil {
		p.locks = locksIn(string(text))
	}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, at := range processes {
		pid, err := strconv.Atoi(filepath.Base(at))
		if err != nil || pid == os.Getpid() {
			continue
		}
		if id, ok := identityAt(at + "/cwd"); ok && isPostgres(at) {
			p.dirs[id] = pid
		}
		files, err := os.ReadDir(at + "/fd")
		if err != nil {
			continue // another user's
		}
		for _, f := range files {
			link, err := os.Readlink(at + "/fd/" + f.Name())
			if err != nil {
				continue
			}
			if of, wanted := p.opens[filepath.Base(link)]; wanted {
				if id, ok := identityAt(at + "/fd/" + f.Name()); ok {
					of[id] = pid
				}
			}
		}
	}
}

// locksIn reads /proc/locks, of this container: those of other users too, whose open files
// cannot be seen. Where a file system has devices of its own, as btrfs, it names another one
// than stat does, and then nothing is found.
func locksIn(text string) map[identity]int {
	held := map[identity]int{}
	for line := range strings.Lines(text) {
		var n, pid int
		var major, minor uint32
		var inode uint64
		var sort, how, mode string
		if got, _ := fmt.Sscanf(line, "%d: %s %s %s %d %x:%x:%d", &n, &sort, &how, &mode, &pid, &major, &minor, &inode); got == 8 {
			held[identity{unix.Mkdev(major, minor), inode}] = max(0, pid)
		}
	}
	return held
}

// isPostgres reports whether a process is of PostgreSQL, by its name (postgres, or postmaster
// of an older one): a shell in the directory is none.
func isPostgres(at string) bool {
	name, err := os.ReadFile(at + "/comm")
	return err == nil && strings.HasPrefix(string(name), "post")
}
