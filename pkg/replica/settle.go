package replica

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// Receive notes what the remote tree of a generation is. Nothing is placed;
// until Settle has placed it, nothing at the paths concerned is pushed.
func (r *Replica) Receive(t *store.Tree, ref string, epoch, generation int64) error {
	if err := r.base.Load(); err != nil {
		return err
	}
	r.capitals = t.Capitals
	r.note(t, ref, epoch, generation)
	return r.base.Save()
}

// note is Receive in memory alone. Remote paths that are not the replica's to
// carry are forgotten: its next generation lacks them.
func (r *Replica) note(t *store.Tree, ref string, epoch, generation int64) {
	h := &r.base.Header
	r.newer = ref != "" && h.Before == ref && (h.Ref == "" || h.Ref == ref)
	if h.Before = ""; r.newer {
		h.Before = ref // also after a crash, until there is a generation over it
	}
	h.Ref, h.Epoch, h.Generation, h.Filters = ref, epoch, generation, t.Filters
	h.Restored, h.Carries = false, r.Filter.Hash()
	if r.gitFiles = r.repositoriesAsFiles(t.Entries); len(r.gitFiles) > 0 {
		h.Carries = "" // until they are placed it was not all seen
	}
	r.base.Unplaced = r.differences(t)
}

// Received reports whether the base is that of ref already. Other filters than
// those it was seen through may show more of the same generation.
func (r *Replica) Received(ref string) bool {
	return r.base.Header.Ref == ref && r.base.Header.Carries == r.Filter.Hash()
}

// differences says how the part of a remote tree that is the replica's to
// carry differs from the base.
func (r *Replica) differences(t *store.Tree) []base.Change {
	t.Entries = pick(t.Entries, func(e *tree.Entry) bool {
		return tree.Within(e.Path, localfs.Dir) || r.carries(e.Path, e.Kind == tree.Dir)
	})
	localise(r.base, t.Entries)
	if t.Listed {
		t.Entries = withUnlisted(r.base, t.Entries)
	}
	return r.base.Differences(t.Entries)
}

// Differs reports whether Receive would find anything to place.
func (r *Replica) Differs(t *store.Tree) (bool, error) {
	if err := r.base.Load(); err != nil {
		return false, err
	}
	return !r.base.Header.Restored || len(r.differences(t)) > 0, nil
}

// localise gives listed entries that the base knows, by the store's own tag,
// what a listing cannot tell.
func localise(b *base.Base, entries []tree.Entry) {
	for i := range entries {
		e := &entries[i]
		row := b.Row(e.Path)
		switch {
		case row == nil || row.Kind != e.Kind:
		case e.Mode == tree.NoMode && (e.Kind == tree.Dir || e.Tag == row.Tag):
			*e = row.Entry
		}
	}
}

// withUnlisted adds to a listing what it has no word for, and what therefore
// must not be read as gone: directories, and what is kept aside.
func withUnlisted(b *base.Base, entries []tree.Entry) []tree.Entry {
	var more []tree.Entry
	for i := range b.Rows() {
		row := &b.Rows()[i]
		if (row.Kind == tree.Dir || tree.Within(row.Path, localfs.Dir)) && tree.Find(entries, row.Path) == nil && room(entries, row.Path) {
			more = append(more, row.Entry)
		}
	}
	out := slices.Concat(entries, more)
	tree.Sort(out)
	return out
}

// room reports whether nothing but directories is above a path.
func room(entries []tree.Entry, path string) bool {
	for dir := range tree.Parents(path) {
		if e := tree.Find(entries, dir); e != nil && e.Kind != tree.Dir {
			return false
		}
	}
	return true
}

// SettleOptions say how to place.
type SettleOptions struct {
	Source      store.Layout // where content is fetched from
	AllowDelete bool         // a person said that many deletions are right
	// Allowed counts the deletions, in all that was ever committed, that somebody had a
	// say in: what came to it since the last placement is not asked for again.
	Allowed   int64
	GivesBack bool // kept generations have what is deleted
	Progress  store.Progress
}

// Outcome is what Settle did.
type Outcome struct {
	Placed    int               // files and links that were brought here or changed
	Deleted   int               // files and links that were removed here
	Conflicts []string          // paths whose local version lies aside now
	Held      []string          // files whose deletion waits for a person's word
	Forgotten int               // paths that the filters do not carry any more: kept, and not synced
	Problems  []localfs.Unknown // what could not be placed, and why
	Unknown   []localfs.Unknown // what could not be seen, and why
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
	seen      []localfs.Sighting
	local     []tree.Entry            // what is here, as the plan took it
	read      map[string]localfs.Seen // of files that were read for it
	times     map[string]int64        // of directories, as the base has them
	forgotten []base.Change           // rows that are nobody's to carry any more
	unknown   []localfs.Unknown
	unshown   []localfs.Unknown // what the file system here cannot show
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
	covered, err := r.covered(seen)
	if err != nil {
		return nil, err
	}
	p.unknown = append(p.unknown, covered...)
	p.unshown = r.names().unshowable(remote, seen)
	hidden := hiddenBy(slices.Concat(p.unknown, p.unshown))
	known := func(e *tree.Entry) bool { return carried(e.Path, e.Kind == tree.Dir) && !hidden(e.Path) }
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
	return p, nil
}

func pick(entries []tree.Entry, keep func(*tree.Entry) bool) []tree.Entry {
	return slices.DeleteFunc(entries, func(e tree.Entry) bool { return !keep(&e) })
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

// Settle places what the remote side has and the local one has not, and
// accounts for every path in the base. It can be interrupted at any point and
// called again.
func (r *Replica) Settle(ctx context.Context, o SettleOptions) (*Outcome, error) {
	if len(r.base.Unplaced) == 0 { // what else differs is an edit, for the next scan
		if err := r.emptyStage(); err != nil { // of a placement that was killed
			return nil, err
		}
		return &Outcome{Problems: r.Misnamed()}, r.restored(o.Allowed)
	}
	p, err := r.plan(ctx)
	if err != nil {
		return nil, err
	}
	out := &Outcome{Unknown: p.unknown, Forgotten: len(p.forgotten)}
	if out.Held, err = p.hold(r, o); err != nil {
		return nil, err
	}
	if own := append(p.forgotten, ownRows(r.base, r.root)...); len(own) > 0 {
		if err := r.base.Apply(base.Delta{Changes: own}); err != nil {
			return nil, err
		}
	}
	pl := &placement{r: r, o: o, out: out, plan: p, late: p.giveNames(r.quirks), stayed: map[string]string{}}
	out.Problems = append(p.unshown, r.Misnamed()...)
	if err := pl.run(ctx); err != nil {
		if noRoom(err) { // what is staged must not keep the disk full
			err = errors.Join(err, r.emptyStage())
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

// Misnamed is what of the remote tree has no place anywhere.
func (r *Replica) Misnamed() []localfs.Unknown {
	if r.capitals == 0 {
		return nil
	}
	return []localfs.Unknown{{Path: strings.ToUpper(localfs.Dir), Reason: fmt.Sprintf("%d paths have the name of coltecd's own directory with capitals, which an older version carried: they are left out, and stay where they are now", r.capitals)}}
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
		if tree.Within(u.Path, localfs.Dir) && !tree.Within(u.Path, base.GitDir) {
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
		case plan.Delete, plan.Aside:
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
	for i := len(p.plan.decisions) - 1; i >= 0; i-- {
		if d := &p.plan.decisions[i]; d.Op == plan.Delete || d.Op == plan.Aside {
			p.try(d, p.remove)
		}
	}
	if err := errors.Join(p.record(), p.bringAll(ctx, last), p.r.emptyStage()); err != nil {
		return err
	}
	p.dirTimes()
	for i := len(p.dirs) - 1; i >= 0; i-- {
		p.try(p.dirs[i], p.dirMode)
	}
	return p.record()
}
