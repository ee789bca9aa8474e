package replica

import (
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/tree"
)

// dirTimes gives directories their times, when nothing more is done in them.
func (p *placement) dirTimes() {
	for i := len(p.plan.decisions) - 1; i >= 0; i-- { // what is in a directory first
		d := &p.plan.decisions[i]
		if want := p.dirTime(d); want != 0 {
			p.setDirTime(d.Path, want)
		}
	}
}

// dirTime is the time that a directory is to have; 0 for one that nobody knows, and for
// what is none.
func (p *placement) dirTime(d *plan.Decision) int64 {
	switch d.Op {
	case plan.Delete, plan.Withdraw, plan.Forget, plan.Displace:
		return 0
	}
	here := d.Local != nil && d.Local.Kind == tree.Dir
	there := d.Remote != nil && d.Remote.Kind == tree.Dir && d.Entry.Kind == tree.Dir
	was := int64(0) // before this placement
	if i, ok := localfs.Search(p.plan.seen, d.Path); ok && here {
		was = p.plan.seen[i].MTime
	}
	switch {
	case !there || d.Op == plan.Keep:
		return was
	case !here:
		return d.Remote.MTime
	case d.Remote.MTime == 0 || p.plan.times[d.Path] == d.Remote.MTime:
		return was // it did not change there
	}
	return d.Remote.MTime
}

// setDirTime sets a directory's time, where it is another. That it cannot be set is no
// problem of the directory.
func (p *placement) setDirTime(path string, want int64) {
	if now, err := p.r.root.Lstat(path); err == nil && now != nil && now.Kind == tree.Dir && now.MTime != want {
		_ = p.r.root.SetTime(path, want)
	}
}
