package engine

import (
	"maps"
	"path"
	"sync"

	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/watch"
)

// hints gather what a watch tells, from its own goroutine, until a walk takes it.
// The zero value is of a tree of which everything may have changed.
type hints struct {
	mu   sync.Mutex
	dirs watch.Touched
}

func (h *hints) add(dirs watch.Touched) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dirs = h.dirs.Join(dirs)
}

func (h *hints) take() watch.Touched {
	h.mu.Lock()
	defer h.mu.Unlock()
	dirs := h.dirs
	h.dirs = watch.Touched{}
	return dirs
}

// put has the next walk look at what was walked, and at what was found there, again.
func (h *hints) put(walked map[string]bool, found *replica.Changes) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if walked == nil {
		h.dirs = nil
		return
	}
	dirs := watch.Touched(maps.Clone(walked))
	for i := range found.Edited {
		dir := path.Dir(found.Edited[i].Path)
		if dir == "." {
			dir = ""
		}
		dirs[dir] = dirs[dir] || false
	}
	h.dirs = h.dirs.Join(dirs)
}
