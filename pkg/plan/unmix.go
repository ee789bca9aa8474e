package plan

import "github.com/coltec/coltec/pkg/tree"

// Unmix keeps a directory, "" for all, from being made of two where its files are only valid
// together: where both sides changed files in it, it becomes what the remote side has, all of
// it, and all that the local side has is kept aside. It reports whether it had to. A
// directory that one side alone changed is that side's already.
func Unmix(plan []Decision, dir string) (mixed bool) {
	var here, there bool
	in := func(d *Decision) bool { return dir == "" || tree.Within(d.Path, dir) }
	for i := range plan {
		if d := &plan[i]; in(d) && !d.ofDirs() {
			l, r := d.changes()
			here, there = here || l, there || r
		}
	}
	if !here || !there {
		return false
	}
	for i := range plan {
		if d := &plan[i]; in(d) {
			d.unmix()
		}
	}
	return true
}

// ofDirs reports whether no side has anything but a directory at the path.
func (d *Decision) ofDirs() bool {
	return (d.Local == nil || d.Local.Kind == tree.Dir) && (d.Remote == nil || d.Remote.Kind == tree.Dir)
}

// changes reports whose change a decision follows.
func (d *Decision) changes() (local, remote bool) {
	switch d.Op {
	case Keep, Withdraw, Displace:
		return true, false
	case Take, Delete:
		return false, true
	case Conflict:
		return true, true
	}
	return false, false
}

// unmix has a path show what the remote side has of it, with the local version aside.
func (d *Decision) unmix() {
	switch {
	case d.Local == nil && d.Remote != nil:
		d.Op = Take
	case d.Local == nil:
	case d.Remote == nil:
		d.Op = Displace
	case !d.ofDirs():
		d.Op = Conflict
	case d.Op == Keep:
		d.Op = Take
	}
	if d.Remote != nil {
		d.Entry = WithMode(*d.Remote, d.Local)
	}
}
