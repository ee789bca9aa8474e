package replica

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// Settle places what the remote side has and the local one has not, and
// accounts for every path in the base. It can be interrupted at any point and
// called again. Where nothing waits it looks at nothing; a repository that waits is
// another's business.
func (r *Replica) Settle(ctx context.Context, o SettleOptions) (*Outcome, error) {
	if r.base.Header.Restored && !r.waiting() {
		return &Outcome{Idle: true, Problems: r.misnamed()}, nil
	}
	if len(r.base.Unplaced) == 0 { // what else differs is an edit, for the next scan
		if err := r.emptyStage(r.root); err != nil { // of a placement that was killed
			return nil, err
		}
		return &Outcome{Problems: r.misnamed()}, r.restored(o.Allowed)
	}
	p, err := r.plan(ctx)
	if err != nil {
		return nil, err
	}
	out := &Outcome{Unknown: p.unknown, Forgotten: pathsOf(p.forgotten)}
	if out.Held, err = p.hold(r, o); err != nil {
		return nil, err
	}
	if own := append(p.forgotten, ownRows(r.base, r.root)...); len(own) > 0 {
		if err := r.base.Apply(base.Delta{Changes: own}); err != nil {
			return nil, err
		}
	}
	pl := &placement{r: r, o: o, out: out, plan: p, late: p.giveNames(r.quirks), stayed: map[string]string{}}
	out.Problems = append(p.unshown, r.misnamed()...)
	if err := pl.run(ctx); err != nil {
		if noRoom(err) { // what is staged must not keep the disk full
			err = errors.Join(err, r.emptyStage(r.root))
		}
		return out, err
	}
	allowed := o.Allowed
	if len(out.Held) > 0 {
		allowed = r.base.Header.Allowed
	}
	// What is held or failed stays unplaced, path by path; the rest may be pushed.
	return out, errors.Join(r.restored(allowed), returned(r.base.Dir()))
}

// misnamed is what of the remote tree has no place anywhere.
func (r *Replica) misnamed() []localfs.Unknown {
	if r.capitals == 0 {
		return nil
	}
	return []localfs.Unknown{{Path: strings.ToUpper(localfs.Dir), Reason: hint.Count(r.capitals, "path has", "paths have") + " the name of coltecd's own directory with capitals, which an older version carried: what is there is left out, and stays where it is now"}}
}

// restored notes that all of the generation was placed, as far as that can be, and which
// deletions somebody had a say in.
func (r *Replica) restored(allowed int64) error {
	h := r.base.Header
	if h.Restored && h.Allowed == allowed {
		return nil // something waits for ever: that is no reason to write each time
	}
	h.Restored, h.Allowed = true, allowed
	pointRestored.Reach()
	return r.base.Apply(base.Delta{Header: &h})
}

// ownRows settles the rows of versions kept aside on other machines: they are
// part of every generation and are placed nowhere.
func ownRows(b *base.Base, root localfs.FileSystem) []base.Change {
	var out []base.Change
	for _, u := range b.Unplaced {
		if tree.Within(u.Path, localfs.Dir) && !base.ShadowRow(u.Path) {
			out = append(out, u)
			if u.Gone {
				retire(root, u.Path)
			}
		}
	}
	return out
}

// Peek plans against a remote tree and writes nothing, neither here nor
// there. A local tree that is missing counts as empty.
func (r *Replica) Peek(ctx context.Context, lineage string, generation int64, t *store.Tree) (decisions []plan.Decision, err error) {
	defer func() { err = anchor.Told(err) }()
	err = r.peer(localfs.ReadOwn)
	if errors.Is(err, fs.ErrNotExist) {
		r.base = base.New(r.Dir(), base.Header{})
		r.note(t, "", 0, generation)
		return plan.Merge(plan.Sides{Remote: r.base.Remote()}), nil
	}
	if err != nil {
		return nil, err
	}
	if r.base.Mismatch(r.Workspace, r.Name, lineage, generation) != "" {
		r.base = base.New(r.Dir(), base.Header{})
	}
	r.note(t, "", 0, generation)
	return r.Plan(ctx)
}

// run does everything in an order that is right at each point. What comes is
// there before anything is deleted, so that a fault in between leaves too much
// and not too little; only a file that takes a directory's name has to wait
// until that is empty. Directories get their modes last.
func (p *placement) run(ctx context.Context) error {
	p.stamp = stampOf(p.r.now())
	var first, last []*plan.Decision
	for i := range p.plan.decisions {
		switch d := &p.plan.decisions[i]; d.Op {
		case plan.Keep:
			p.try(d, p.keep)
		case plan.Withdraw, plan.Forget:
			p.note(d)
		case plan.Delete, plan.Displace:
		default:
			if d.ReplacesDir() || p.late[d.Path] {
				last = append(last, d)
			} else {
				first = append(first, d)
			}
		}
	}
	first, last = inTurn(first), inTurn(last)
	all := slices.Concat(first, last)
	p.limit = p.r.stageBytes
	p.expect(all)
	p.pace = pace{tell: p.o.Progress}
	p.pace.start(all, time.Now())
	if p.pace.all.TotalFiles > 0 {
		p.local = p.here()
	}
	if err := p.bringAll(ctx, first); err != nil {
		return err
	}
	p.askAgain(ctx)
	for i := len(p.plan.decisions) - 1; i >= 0; i-- {
		if d := &p.plan.decisions[i]; (d.Op == plan.Delete || d.Op == plan.Displace) && !p.isTaken(d.Path) {
			p.try(d, p.remove)
		}
	}
	if err := errors.Join(p.record(), p.bringAll(ctx, last), p.r.emptyStage(p.r.root)); err != nil {
		return err
	}
	p.keepDirs()
	p.dirTimes()
	for i := len(p.dirs) - 1; i >= 0; i-- {
		p.try(p.dirs[i], p.dirMode)
	}
	return p.record()
}

// pathsOf are the paths of changes.
func pathsOf(changes []base.Change) (paths []string) {
	for _, c := range changes {
		paths = append(paths, c.Row.Path)
	}
	return paths
}
