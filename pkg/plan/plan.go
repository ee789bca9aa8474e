// Package plan merges what two sides last agreed on, the local tree and the
// remote one into decisions, one for each path, and judges what deletions would lose. It
// is pure: it reads and writes nothing. docs/planner.md holds its table.
package plan

import "github.com/coltec/coltec/pkg/tree"

// Op is what is to be done with one path.
type Op string

// The operations of a plan. Local and remote are the two sides; base is what
// they last agreed on.
const (
	Nothing  Op = "nothing"  // all sides agree
	Adopt    Op = "adopt"    // the sides agree and the base does not know yet
	Meta     Op = "meta"     // same content; set the local mode and time to Entry's
	Take     Op = "take"     // place the remote entry
	Delete   Op = "delete"   // delete the local entry
	Keep     Op = "keep"     // the local entry stays, and is pushed
	Withdraw Op = "withdraw" // gone here and unchanged there: the deletion is pushed
	Forget   Op = "forget"   // gone on both sides
	Conflict Op = "conflict" // keep the local version aside, then take the remote entry
	Displace Op = "aside"    // keep the local version aside; its place is taken by something above it
)

// Decision is the plan for one path.
type Decision struct {
	Path   string
	Op     Op
	Entry  tree.Entry  // what the local side shall show: for Take, Meta, Adopt and Conflict; for Keep its mode alone
	Local  *tree.Entry // nil where there is none
	Remote *tree.Entry // nil where there is none
}

// Sides are the three trees of a plan, sorted, and already without any path
// that is unknown: excluded, unreadable, in another replica.
type Sides struct {
	Base, Local, Remote []tree.Entry
	// Pristine reports whether a local file without a base is still as a template
	// rendered it: nobody's work, so the remote version may replace it. nil
	// means no file is.
	Pristine func(*tree.Entry) bool
	// Newer says that the local tree was made over the remote one, and the base that
	// knew it does not count: the bucket has lost the last generation. Where both have a
	// path, the local side is the one that changed.
	Newer bool
}

// Merge plans for three trees. It is pure, and total: each path of the three
// trees gets one decision, in the order of tree.Compare.
func Merge(s Sides) []Decision {
	var plan []Decision
	b, l, r := s.Base, s.Local, s.Remote
	for len(b)+len(l)+len(r) > 0 {
		path := least(b, l, r)
		plan = append(plan, s.decide(path, head(&b, path), head(&l, path), head(&r, path)))
	}
	Reconcile(plan)
	return plan
}

// least gives the lowest path at the fronts of the lists.
func least(lists ...[]tree.Entry) string {
	path, found := "", false
	for _, list := range lists {
		if len(list) > 0 && (!found || tree.Compare(list[0].Path, path) < 0) {
			path, found = list[0].Path, true
		}
	}
	return path
}

// head takes the front of the list when it has the path.
func head(list *[]tree.Entry, path string) *tree.Entry {
	if len(*list) == 0 || (*list)[0].Path != path {
		return nil
	}
	e := &(*list)[0]
	*list = (*list)[1:]
	return e
}

// decide is the table, for one path on its own.
func (s Sides) decide(path string, b, l, r *tree.Entry) Decision {
	d := Decision{Path: path, Local: l, Remote: r}
	if s.Newer && b == nil && l != nil {
		b = r
	}
	switch {
	case l == nil && r == nil:
		d.Op = Forget
	case l == nil:
		d.Op = decideGoneHere(b, r)
	case r == nil:
		d.Op = decideGoneThere(b, l)
	case l.SameContent(r):
		return decideMeta(d, b)
	case b != nil && b.SameContent(l):
		d.Op = Take
	case b != nil && b.SameContent(r):
		d.Op = Keep
	case b == nil && s.Pristine != nil && s.Pristine(l):
		d.Op = Take
	default:
		d.Op = Conflict
	}
	if r != nil {
		d.Entry = WithMode(*r, l)
	}
	if b != nil && l != nil && r != nil && l.Kind == r.Kind && (d.Op == Take || d.Op == Keep) {
		d.Entry.Mode = MergeMode(b, l, r)
	}
	return d
}

func decideGoneHere(b, r *tree.Entry) Op {
	if b == nil || !b.SameContent(r) {
		return Take
	}
	return Withdraw
}

// decideGoneThere lets an edit beat a delete. A chmod is an edit, a touch is
// not.
func decideGoneThere(b, l *tree.Entry) Op {
	if b == nil || !b.SameContent(l) || l.Kind == tree.File && l.Mode != b.Mode {
		return Keep
	}
	return Delete
}

// decideMeta merges mode and time where both sides have the same content.
func decideMeta(d Decision, b *tree.Entry) Decision {
	l, r := d.Local, d.Remote
	d.Entry = *r
	d.Entry.Mode = MergeMode(b, l, r)
	d.Entry.MTime = mergeTime(b, l, r)
	switch {
	case !d.Entry.SameMeta(l):
		d.Op = Meta
	case b != nil && b.Same(r) && b.Same(l):
		d.Op = Nothing
	default:
		d.Op = Adopt
	}
	return d
}

// MergeMode merges each permission bit three-way: who changed it wins, and a
// bit cannot be changed to two different values. Without a base the remote
// mode stays, unless the source carries none.
func MergeMode(b, l, r *tree.Entry) uint32 {
	switch {
	case r.Mode == tree.NoMode:
		return l.Mode
	case b == nil || b.Kind != r.Kind || b.Mode == tree.NoMode:
		return r.Mode
	}
	changedHere := l.Mode ^ b.Mode
	return l.Mode&changedHere | r.Mode&^changedHere
}

// mergeTime never conflicts: the side that changed wins, the remote one where
// both did or where nobody knows.
func mergeTime(b, l, r *tree.Entry) int64 {
	if b != nil && r.MTime == b.MTime {
		return l.MTime
	}
	return r.MTime
}

// WithMode gives an entry that carries no mode the local one, or the usual.
func WithMode(e tree.Entry, l *tree.Entry) tree.Entry {
	switch {
	case e.Mode != tree.NoMode:
	case l != nil && l.Kind == e.Kind:
		e.Mode = l.Mode
	case e.Kind == tree.Dir:
		e.Mode = 0o755
	default:
		e.Mode = 0o644
	}
	return e
}

// survival is what a plan leaves below a directory, by side.
type survival struct{ local, remote bool }

// Reconcile mends decisions that are right for each path alone and impossible
// together: a file cannot have children, and a directory that has some cannot
// go.
func Reconcile(plan []Decision) {
	below := map[string]survival{}
	for i := range plan {
		l, r := plan[i].leaves()
		if !l && !r {
			continue
		}
		for dir := range tree.Parents(plan[i].Path) {
			s := below[dir]
			below[dir] = survival{s.local || l, s.remote || r}
		}
	}
	taken := "" // the path above that a remote file or link takes
	for i := range plan {
		d := &plan[i]
		if taken != "" && tree.Within(d.Path, taken) {
			d.giveWay()
			continue
		}
		d.reconcile(below[d.Path])
		taken = ""
		if (d.Op == Take || d.Op == Conflict) && d.Entry.Kind != tree.Dir {
			taken = d.Path
		}
	}
}

// leaves reports of each side whether the decision leaves its version in place.
func (d *Decision) leaves() (local, remote bool) {
	switch d.Op {
	case Keep:
		return true, false
	case Take, Conflict:
		return false, true
	case Adopt, Meta, Nothing:
		return true, true
	}
	return false, false
}

// reconcile bends one decision to what stays below it.
func (d *Decision) reconcile(below survival) {
	switch {
	case d.Op == Delete && below.local:
		d.Op = Keep // the directory of something that stays
	case d.Op == Withdraw && below.remote:
		d.Op = Take // the directory of something that comes
	case d.Op == Keep && d.Local.Kind != tree.Dir && below.remote:
		d.Op = Conflict // something comes below it, so the remote directory does
	}
}

// giveWay is for a path below one that a remote file or link takes.
func (d *Decision) giveWay() {
	switch d.Op {
	case Keep:
		d.Op = Displace
	case Withdraw:
		d.Op = Forget
	}
}

// Loses reports whether an entry that goes has content that is not still there.
func Loses(e *tree.Entry, still map[tree.Sum]bool) bool {
	return e.Kind == tree.Link || e.Kind == tree.File && !still[e.Sum]
}

// Losing names the local files that a plan deletes, but for those whose content comes
// under another name.
func Losing(plan []Decision) (lost []tree.Entry) {
	still := map[tree.Sum]bool{}
	for i := range plan {
		if d := &plan[i]; d.Op == Take && d.Entry.Kind == tree.File && d.Entry.Sum != (tree.Sum{}) {
			still[d.Entry.Sum] = true
		}
	}
	for i := range plan {
		if d := &plan[i]; d.Op == Delete && Loses(d.Local, still) {
			lost = append(lost, *d.Local)
		}
	}
	return lost
}

// ReplacesDir reports whether a file or link takes the name of a directory here.
func (d *Decision) ReplacesDir() bool {
	return (d.Op == Take || d.Op == Conflict) && d.Local != nil && d.Local.Kind == tree.Dir && d.Entry.Kind != tree.Dir
}

// Fetches reports whether the decision needs content from the remote side.
func (d *Decision) Fetches() bool {
	return (d.Op == Take || d.Op == Conflict) && (d.Entry.Kind == tree.File || d.Entry.Kind == tree.Link && d.Entry.Tag != "")
}

// Changed reports whether the local side differs from the remote one, so that a
// push is to follow.
func (d *Decision) Changed() bool {
	return d.Local != nil && (d.Remote == nil || !d.Local.Same(d.Remote) && d.Remote.Mode != tree.NoMode)
}
