package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrSlow says that processes did not stand still in time, or stood longer than they may.
var ErrSlow = errors.New("it takes longer than its processes may stand still")

// A Selection says which processes are meant: those that carry a marker, and all that descend
// from them. We ourselves, those above us, and descendants of ours without a marker of that
// supervisor are never among them.
type Selection struct {
	Marker string   // of the supervisor
	Units  []string // of its units; nil: of all but Spare
	Spare  []string // names of units, or what they begin with
}

// meant reports whether the processes of a unit are.
func (s Selection) meant(name string) bool {
	name, _, _ = strings.Cut(name, ":probe")
	if s.Units != nil {
		return slices.Contains(s.Units, name)
	}
	return !slices.ContainsFunc(s.Spare, func(p string) bool { return strings.HasPrefix(name, p) })
}

// members are the live processes that are meant, and the parents of all. What one carries
// does not change: those that were looked at are in known, and need no look again.
func (s Selection) members(known map[proc]bool) (members []proc, parents map[int]proc) {
	all := procs()
	spare := ancestors(all)
	parents = parentsIn(all)
	prefix := []byte(MarkerVar + "=" + s.Marker + "/")
	in, groups := map[int]bool{}, map[int]bool{}
	for _, p := range all {
		if p.zombie || spare[p.pid] {
			continue
		}
		p.ppid = 0
		is, looked := known[p]
		if !looked {
			name, carries := strings.CutPrefix(variable(p.pid, prefix), string(prefix))
			is = carries && s.meant(name)
			known[p] = is
			if carries && !is {
				spare[p.pid] = true // it is another unit's, whoever started it
			}
		}
		if is {
			in[p.pid], groups[p.pgrp] = true, true
		}
	}
	for _, p := range all { // one may have cleared its environment
		if groups[p.pgrp] && !spare[p.pid] {
			in[p.pid] = true
		}
	}
	return family(all, in, spare), parents
}

// parentsIn are the parents of processes, by their children's numbers.
func parentsIn(all []proc) map[int]proc {
	byPID, parents := map[int]proc{}, map[int]proc{}
	for _, p := range all {
		byPID[p.pid] = p
	}
	for _, p := range all {
		if parent, ok := byPID[p.ppid]; ok {
			parents[p.pid] = parent
		}
	}
	return parents
}

// A Freezer has processes stand still for a moment. Whatever becomes of this process, they go
// on: a guard has their numbers, and continues them when it ends, or when the time is over.
// Not for concurrent use.
type Freezer struct {
	guard   *guard
	limit   time.Duration
	began   time.Time
	ours    []proc // those that we stopped
	others  []proc // those that somebody else had stopped before
	known   map[proc]bool
	running bool // a stop has begun, and nobody was continued
}

// NewFreezer starts a guard by argv, which is to call [Guard] with its standard input and
// output. limit is for how long processes may stand.
func NewFreezer(argv []string, limit time.Duration) (*Freezer, error) {
	g, err := startGuard(argv, limit)
	if err != nil {
		return nil, fmt.Errorf("cannot start what continues processes when coltecd is killed: %w", err)
	}
	return &Freezer{guard: g, limit: limit}, nil
}

// Close ends the guard. What stands still goes on.
func (f *Freezer) Close() {
	if f.running {
		_ = f.Continue()
	}
	f.guard.close()
}

// Stop stops processes, and returns when all of them stand still, with what they forked
// meanwhile. It says how many they are. After an error they go on again. Who is waited for
// by a process in an uninterruptible call keeps that from standing still.
func (f *Freezer) Stop(s Selection) (n int, err error) {
	f.known = map[proc]bool{}
	s.members(f.known) // most of what is to be read, before anybody stands
	f.began, f.ours, f.others, f.running = time.Now(), nil, nil, true
	if err := f.stop(s); err != nil {
		return 0, errors.Join(err, f.Continue())
	}
	return len(f.ours), nil
}

func (f *Freezer) stop(s Selection) error {
	seen := map[int]uint64{}
	for {
		var news []proc
		members, parents := s.members(f.known)
		for _, p := range members {
			if start, ok := seen[p.pid]; !ok || start != p.start {
				news = append(news, p)
			}
			seen[p.pid] = p.start
		}
		// Who stands does not fork; who was not there yet when we looked is there now.
		if len(news) == 0 {
			return nil
		}
		if err := f.stopEach(news, parents, seen); err != nil {
			return err
		}
	}
}

// stopEach stops processes, each once its parent stands: that may wait for it, in a vfork, and
// would not stand before it went on.
func (f *Freezer) stopEach(list []proc, parents map[int]proc, among map[int]uint64) error {
	for pause := standMin; ; pause = min(2*pause, standMax) {
		var wait []proc
		for _, p := range list {
			parent := parents[p.pid]
			if _, ours := among[parent.pid]; ours && !stands(parent) {
				wait = append(wait, p)
			} else if err := f.stopOne(p); err != nil {
				return err
			}
		}
		if list = wait; len(list) == 0 && f.stand() {
			return nil
		}
		if time.Since(f.began) > f.limit {
			return ErrSlow
		}
		time.Sleep(pause) // there is no event for the stop of a process that is no child
	}
}

func (f *Freezer) stopOne(p proc) error {
	if stands(p) {
		f.others = append(f.others, p)
		return nil
	}
	if err := f.guard.tell(p); err != nil {
		return err
	}
	f.ours = append(f.ours, p)
	p.signal(syscall.SIGSTOP)
	return nil
}

// standMin and standMax bound how often it is looked whether processes stand.
const (
	standMin = 200 * time.Microsecond
	standMax = 2 * time.Millisecond
)

// PIDs are the processes that stand.
func (f *Freezer) PIDs() []int {
	var pids []int
	for _, p := range slices.Concat(f.ours, f.others) {
		pids = append(pids, p.pid)
	}
	return pids
}

// Left is for how long the processes may stand still.
func (f *Freezer) Left() time.Duration { return f.limit - time.Since(f.began) }

// Took is for how long they stand, or stood.
func (f *Freezer) Took() time.Duration { return time.Since(f.began) }

// Continue has the processes that were stopped go on. A nil error says that until then all of
// them stood, and that it was not too long.
func (f *Freezer) Continue() error {
	stood := f.stand()
	for _, p := range f.ours {
		p.signal(syscall.SIGCONT)
	}
	// The guard began to count later than we did: within the limit, it has continued nobody.
	late := time.Since(f.began) > f.limit
	f.running = false
	if err := f.guard.done(); err != nil {
		return err
	}
	switch {
	case late:
		return ErrSlow
	case !stood:
		return errors.New("somebody let a process go on meanwhile")
	}
	return nil
}

// stand reports whether all that were stopped stand, or have ended.
func (f *Freezer) stand() bool {
	return !slices.ContainsFunc(f.ours, func(p proc) bool { return !stands(p) })
}

// stands reports whether all threads of a process stand, or the process is none any more.
func stands(p proc) bool {
	now, ok := readProc(p.pid)
	if !ok || now.start != p.start || now.zombie {
		return true
	}
	dir := "/proc/" + strconv.Itoa(p.pid) + "/task"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	for _, e := range entries {
		stat, err := os.ReadFile(dir + "/" + e.Name() + "/stat")
		if err != nil {
			continue // it has ended
		}
		end := bytes.LastIndexByte(stat, ')')
		if end < 0 || end+2 >= len(stat) || !bytes.ContainsRune([]byte("TtZX"), rune(stat[end+2])) {
			return false
		}
	}
	return true
}
