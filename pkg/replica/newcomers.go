package replica

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/tree"
	"golang.org/x/sys/unix"
)

// newcomer is a file that comes where nothing is: what is done with it concerns
// no other path.
type newcomer struct {
	d      *plan.Decision
	staged string
	seen   localfs.Seen
	err    error
}

// isNew reports whether a decision is about a newcomer.
func (p *placement) isNew(d *plan.Decision) bool {
	return d.Op == plan.Take && d.Entry.Kind == tree.File && d.Local == nil && !p.late[d.Path]
}

// bringEach brings decisions whose content is staged. Newcomers come last, a few
// at a time: the directories that they come to are there by then.
func (p *placement) bringEach(takes []*plan.Decision, staged []string) error {
	var later []newcomer
	for i, d := range takes {
		if p.isTaken(d.Path) {
			continue
		}
		if p.isNew(d) {
			later = append(later, newcomer{d: d, staged: staged[i]})
			continue
		}
		p.try(d, func(d *plan.Decision) error { return p.bring(d, staged[i]) })
	}
	if err := p.placeNew(later); err != nil {
		return err
	}
	for i := range later {
		c := &later[i]
		switch {
		case c.err == nil:
			p.out.Placed++
			p.settle(c.d, c.seen)
		case errors.Is(c.err, unix.EACCES): // another had the directory's mode changed for a moment
			p.try(c.d, func(d *plan.Decision) error { return p.take(d, c.staged) })
		default:
			p.try(c.d, func(*plan.Decision) error { return c.err })
		}
	}
	return nil
}

// newcomersRun is how many newcomers a worker takes at a time: neighbours, which
// come to the same directory.
const newcomersRun = 64

// placeNew gives newcomers their places and notes what is seen of them there.
func (p *placement) placeNew(all []newcomer) error {
	roots := []localfs.FileSystem{p.r.root}
	root, ok := p.r.root.(*localfs.Root) // others are not made for several goroutines
	for ok && len(roots) < min(runtime.GOMAXPROCS(0), 4, len(all)/newcomersRun) {
		fork, err := root.Fork()
		if err != nil {
			return err
		}
		defer fork.Close()
		roots = append(roots, fork)
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	for _, root := range roots {
		workers.Go(func() {
			for from := 0; from < len(all); {
				from = int(next.Add(newcomersRun)) - newcomersRun
				for i := from; i < min(from+newcomersRun, len(all)); i++ {
					c := &all[i]
					c.seen, c.err = p.putFile(root, c.d, c.staged)
				}
			}
		})
	}
	workers.Wait()
	return nil
}
