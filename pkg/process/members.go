package process

import (
	"slices"
	"sync"
)

// group is a process group with one leader, and those that the leader started which left it.
type group struct {
	pid    int
	start  uint64 // of the leader, in ticks since boot
	marker string // MarkerVar=… as in the environment; empty: none

	looks sync.Mutex // one look at a time: Signal looks beside who waits for the end
	met   met        // members
}

// members are the live processes of the group but its leader: those in the
// process group, those that carry the marker, all their descendants, and who was one at
// an earlier look. kill(-pgid, 0) would be cheaper, but it succeeds on zombies.
func (g *group) members() []proc {
	g.looks.Lock()
	defer g.looks.Unlock()
	all := procs()
	in := map[int]bool{g.pid: true}
	for _, p := range all {
		if p.pgrp == g.pid || g.met.has(p) || g.marks(p) {
			in[p.pid] = true
		}
	}
	live := family(all, in, nil)
	live = slices.DeleteFunc(live, func(p proc) bool { return p.pid == g.pid })
	g.met.add(live)
	return live
}

// marks reports whether p was started with our marker, and so after the leader: that
// spares a look at nearly all. The environment of a process of another user cannot
// be read; it is then none of ours, unless we are root.
func (g *group) marks(p proc) bool {
	return g.marker != "" && p.start >= g.start && !p.zombie && hasVar(p.pid, []byte(g.marker))
}
