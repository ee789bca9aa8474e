package replica

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// giveNames lets each name go to one path. What comes, and would be one here
// with something that stays, waits; what comes in the place of something that
// goes comes after it.
func (p *planning) giveNames(q localfs.Quirks) (late map[string]bool) {
	if !q.MergeNames() {
		return nil
	}
	late = map[string]bool{}
	stays, goes := map[string]string{}, map[string]bool{}
	for i := range p.seen {
		stays[q.Key(p.seen[i].Path)] = p.seen[i].Path
	}
	for i := range p.decisions {
		if d := &p.decisions[i]; (d.Op == plan.Delete || d.Op == plan.Displace) && d.Local != nil {
			goes[q.Key(d.Path)] = true
			delete(stays, q.Key(d.Path))
		}
	}
	waits := map[string]bool{}
	var kept []plan.Decision
	for _, d := range p.decisions {
		if d.Local != nil || d.Op != plan.Take && d.Op != plan.Conflict {
			kept = append(kept, d)
			continue
		}
		key := q.Key(d.Path)
		owner, taken := stays[key]
		switch {
		case below(d.Path, waits):
			continue
		case taken && owner != d.Path:
			waits[d.Path] = true
			p.unshown = append(p.unshown, localfs.Unknown{Path: d.Path, Reason: twinReason(owner)})
			continue
		case goes[key] || below(d.Path, late):
			late[d.Path] = true
		}
		stays[key] = d.Path
		kept = append(kept, d)
	}
	p.decisions = kept
	return late
}

// Plan says what Settle would do.
func (r *Replica) Plan(ctx context.Context) ([]plan.Decision, error) {
	p, err := r.plan(ctx)
	if err != nil {
		return nil, err
	}
	return p.decisions, nil
}

// planning is a plan with what it was made from.
type planning struct {
	decisions []plan.Decision
	seen      []localfs.Entry
	local     []tree.Entry            // what is here, as the plan took it
	read      map[string]localfs.Seen // of files that were read for it
	times     map[string]int64        // of directories, as the base has them
	forgotten []base.Change           // rows that are nobody's to carry any more
	together  []string                // directories whose files are only valid together
	mixed     []string                // directories that both sides changed, and that are the remote side's then
	unknown   []localfs.Unknown
	unshown   []localfs.Unknown // what the file system here cannot show, and where somebody works
}

// plan looks at the three sides and plans.
func (r *Replica) plan(ctx context.Context) (*planning, error) {
	r.root.Forget()
	if err := r.base.Load(); err != nil {
		return nil, err
	}
	seen, unknown, err := r.walk(ctx)
	if err != nil {
		return nil, err
	}
	theirs, err := filter.Compile(r.base.Header.Filters)
	if err != nil {
		return nil, fmt.Errorf("cannot use the filters of generation %d: %w", r.base.Header.Generation, err)
	}
	p := &planning{seen: seen, read: map[string]localfs.Seen{}, unknown: unknown}
	remote := r.base.Remote()
	// What the remote side has it has, whatever its filters; only what it lacks
	// says nothing where they do not carry it.
	carried := func(path string, dir bool) bool {
		return r.carries(path, dir) && (theirs.Carries(path, dir) || tree.Find(remote, path) != nil)
	}
	for i := range r.base.Rows() {
		if row := &r.base.Rows()[i]; !tree.Within(row.Path, localfs.Dir) && !carried(row.Path, row.Kind == tree.Dir) {
			p.forgotten = append(p.forgotten, base.Change{Row: base.Row{Entry: tree.Entry{Path: row.Path}}, Gone: true})
		}
	}
	under, err := r.covered(seen)
	if err != nil {
		return nil, err
	}
	p.unknown = append(p.unknown, under...)
	p.unshown = append(r.names().unshowable(remote, seen), p.occupied(ctx, r)...)
	hidden := hiddenBy(slices.Concat(p.unknown, p.unshown))
	covered := r.Wholes.Covers(remote)
	known := func(e *tree.Entry) bool {
		return carried(e.Path, e.Kind == tree.Dir) && !hidden(e.Path) && !covered(e.Path)
	}
	s := plan.Sides{Base: pick(r.base.Entries(), known), Remote: pick(slices.Clone(remote), known), Pristine: r.pristine, Newer: r.newer}
	var unread map[string]bool
	if s.Local, unread, err = p.here(ctx, r, s); err != nil {
		return nil, err
	}
	if len(unread) > 0 {
		readable := func(e *tree.Entry) bool { return !unread[e.Path] }
		s.Base, s.Remote = pick(s.Base, readable), pick(s.Remote, readable)
	}
	s.Local = pick(s.Local, known)
	p.local = s.Local
	p.times = map[string]int64{}
	for i := range s.Base {
		if s.Base[i].Kind == tree.Dir {
			p.times[s.Base[i].Path] = s.Base[i].MTime
		}
	}
	p.decisions = r.merge(s)
	p.unmix()
	return p, nil
}

// occupied gives what must stay as it is of what waits to be placed, and notes the directories
// that must not be made of two.
func (p *planning) occupied(ctx context.Context, r *Replica) (occupied []localfs.Unknown) {
	if r.Comes == nil || len(r.base.Unplaced) == 0 {
		return nil
	}
	var paths []string
	for i := range r.base.Unplaced {
		if path := r.base.Unplaced[i].Path; !tree.Within(path, localfs.Dir) {
			paths = append(paths, path)
		}
	}
	occupied, p.together = r.Comes(ctx, r.root, paths)
	return occupied
}

// unmix gives the directories that must not be made of two to one of the sides.
func (p *planning) unmix() {
	for _, dir := range p.together {
		if plan.Unmix(p.decisions, dir) {
			p.mixed = append(p.mixed, dir)
		}
	}
}

func (o *Options) pristine(e *tree.Entry) bool {
	return o.Pristine != nil && e.Kind == tree.File && o.Pristine(e.Path, e.Sum)
}

// here makes the local side of a plan. Only files whose content matters to
// the plan are read: those that the base or the remote has too. The ones that
// cannot be read are given apart.
func (p *planning) here(ctx context.Context, r *Replica, s plan.Sides) ([]tree.Entry, map[string]bool, error) {
	var out []tree.Entry
	unread, files := map[string]bool{}, r.reader()
	for i := range p.seen {
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		sight := &p.seen[i]
		row := r.base.Row(sight.Path)
		if row != nil && !changed(r.quirks, row, sight) && sight.Kind != tree.Dir {
			out = append(out, row.Entry)
			continue
		}
		e := entryOf(r.quirks, sight, row)
		remote := tree.Find(s.Remote, e.Path)
		if e.Kind == tree.Link {
			matchListed(&e, remote, store.MirrorTag([]byte(e.Link)))
		}
		if e.Kind != tree.File || row == nil && remote == nil {
			out = append(out, e)
			continue
		}
		tag := md5.New() // what a mirror's store calls it
		got, now, err := files.Read(sight, func(f io.Reader) error {
			_, err := io.Copy(tag, f)
			return err
		})
		if err != nil {
			unread[e.Path] = true
			if !localfs.Absent(err) {
				p.unknown = append(p.unknown, localfs.Unknown{Path: e.Path, Reason: reason(err)})
			}
			continue
		}
		p.read[e.Path] = now
		e.Sum = got
		matchListed(&e, remote, hex.EncodeToString(tag.Sum(nil)))
		out = append(out, e)
	}
	return out, unread, nil
}

// matchListed completes a listed remote entry when the store's tag says that
// its content is the local one: it need not be fetched to know.
func matchListed(local, remote *tree.Entry, tag string) {
	if remote == nil || remote.Tag == "" || remote.Tag != tag || remote.Kind != local.Kind || remote.Mode != tree.NoMode {
		return
	}
	remote.Sum, remote.Size, remote.Link, remote.MTime = local.Sum, local.Size, local.Link, local.MTime
}

// hold takes the deletions out of a plan that wait for a person's word, and names the
// files that they are of. What a person brought back stays, and is pushed again.
func (p *planning) hold(r *Replica, o SettleOptions) (held []string, err error) {
	if returns(r.base, p.decisions) {
		plan.Reconcile(p.decisions) // the directories of what stays do too
	}
	lost := plan.Losing(p.decisions)
	explained := min(max(o.Allowed-r.base.Header.Allowed, 0), int64(len(lost)))
	loss, err := r.loss(lost, int(explained), o.GivesBack && r.Layout.ByContent())
	if err != nil || o.AllowDelete || !loss.Waits() {
		return nil, err
	}
	p.decisions = slices.DeleteFunc(p.decisions, func(d plan.Decision) bool {
		if d.Op == plan.Delete && d.Local.Kind != tree.Dir {
			held = append(held, d.Path)
		}
		return d.Op == plan.Delete
	})
	return held, nil
}
