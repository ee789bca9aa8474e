package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// StageEdits reads what was edited into the batch, until the stage is full.
// Content that is in the store already is not sent again. The batch fills in
// where content lies when it is sent.
func (r *Replica) StageEdits(ctx context.Context, b store.Batch, edited []Edit) (out *Staged, err error) {
	out = &Staged{stood: map[string]localfs.Seen{}}
	defer func() {
		if err != nil {
			b.Stop()
			out.Spool.Close()
		}
	}()
	r.root.Forget()
	one := &staging{r: r, files: r.reader(), batch: b, allowed: r.allowance(), out: out, begun: map[string]bool{}}
	edited = one.inOrder(edited)
	defer func() { r.late = r.hurried && len(out.Deferred) > 0 && one.comes(&out.Deferred[0]) > hurryBytes }()
	if one.known, err = one.reuse(b, edited); err != nil {
		return out, err
	}
	plain := 0 // of the changes, those at the front that may be spooled
	for i := range edited {
		if ctx.Err() != nil {
			return out, context.Cause(ctx)
		}
		s := &edited[i]
		full := b.Staged() >= r.stageBytes || r.hurried && b.Staged() > 0 && one.comes(s) > 0 && b.Staged()+one.comes(s) > hurryBytes
		if full && !one.goesWith(s) && (i == 0 || !one.belong(&edited[i-1], s)) {
			out.Deferred = edited[i:]
			break
		}
		before := len(out.Changes)
		if err := one.edit(ctx, s); err != nil {
			return out, fmt.Errorf("cannot stage %q: %w", s.Path, err)
		}
		if plain == before && len(out.Changes) > before && one.plain(s) {
			plain++
		}
		if plain >= r.spoolAfter {
			n, err := one.spool(out, plain)
			if err != nil {
				return out, fmt.Errorf("cannot stage %q: %w", s.Path, err)
			}
			plain -= n
		}
	}
	one.together(out)
	return out, nil
}

// staging is what the edits of one step go by.
type staging struct {
	r       *Replica
	files   *localfs.Reader
	batch   store.Batch
	known   *content
	allowed *allowance
	out     *Staged
	begun   map[string]bool // directories that have to be still, and are staged in part
	tail    localfs.Tail    // of the file that was read last
}

// goesWith reports whether an edit cannot wait for the next step: others of its directory are
// in this one, and go with it or not.
func (x *staging) goesWith(s *Edit) bool {
	dir, still := x.r.still.at(s.Path)
	return still && x.begun[dir]
}

// edit stages one edit, or notes why it is not.
func (x *staging) edit(ctx context.Context, s *Edit) error {
	r, out := x.r, x.out
	dir, still := r.still.at(s.Path)
	if still {
		x.begun[dir] = true
	}
	why := x.allowed.refuses(s)
	var c *base.Change
	var err error
	x.tail = localfs.Tail{}
	if why == "" {
		if c, err = x.row(ctx, s); err == nil {
			why = x.allowed.takes(s, c)
		}
	}
	if still && c != nil {
		out.stood[s.Path] = c.Seen
	}
	switch {
	case why != "":
		x.without(localfs.Unknown{Path: s.Path, Reason: why, Beyond: true, Bytes: s.Size})
	case errors.As(err, new(localfs.FileError)) && localfs.Absent(err):
		// Gone since, or it has another name now that the scan had passed by: the
		// next scan says so, whatever it is of.
		x.without(localfs.Unknown{Path: s.Path, Reason: "it was moved or removed meanwhile", Moving: true})
	case errors.Is(err, localfs.ErrUnfinished):
		x.unfinished(s)
	case errors.As(err, new(localfs.FileError)):
		x.without(localfs.Unknown{Path: s.Path, Reason: reason(err), Moving: errors.Is(err, localfs.ErrMoved), Unread: !errors.Is(err, localfs.ErrMoved), Bytes: s.Size})
	case err != nil:
		return err
	case x.agreed(c, s.Was) && c.Kind == tree.Dir && c.MTime != s.Was.MTime:
		out.touch(c, s.Was)
	case x.agreed(c, s.Was):
		out.Refreshed = append(out.Refreshed, c)
	default:
		x.known.add(&c.Entry)
		if r.hurried {
			r.flushed[s.Path] = true
		}
		out.Changes = append(out.Changes, c)
		if x.tail.Bytes > 0 {
			x.unfinished(s)
		}
	}
	return nil
}

// unfinished notes that the last line of a file does not go yet.
func (x *staging) unfinished(s *Edit) {
	x.without(localfs.Unknown{Path: s.Path, Reason: localfs.ErrUnfinished.Error(), Rests: x.tail.Rests, Bytes: x.tail.Bytes})
}

// without notes what is not staged now.
func (x *staging) without(u localfs.Unknown) {
	x.out.Unsettled = append(x.out.Unsettled, u)
	x.r.doubts = append(x.r.doubts, u.Path)
}

// plain reports whether nothing depends on how an edit's row stands to others.
func (x *staging) plain(s *Edit) bool {
	return x.rank(s) == 0 && !tree.Within(s.Path, localfs.Dir) && (s.Was == nil || s.Was.Kind == s.Kind)
}

// spool moves the first changes to the disk, of so many those that are complete,
// and says how many they are.
func (x *staging) spool(out *Staged, plain int) (n int, err error) {
	complete := func(c *base.Change) bool { return placed(&c.Entry) && (out.Spool == nil || out.Spool.Takes(c.Path)) }
	for ; n < plain && complete(out.Changes[n]); n++ {
		if out.Spool == nil {
			if out.Spool, err = base.NewSpool(x.r.StageDir()); err != nil {
				return n, err
			}
		}
		if err := out.Spool.Add(out.Changes[n]); err != nil {
			return n, err
		}
	}
	if n > 0 {
		out.Changes = append(out.Changes[:0:0], out.Changes[n:]...)
	}
	return n, nil
}

// comes is how much of an edit is sent, as far as its size tells: nothing where the file
// has the size and time that were agreed on (what else the file system notes of it
// changes with a link to it, or its mode), and of a file that grew what it grew by.
func (x *staging) comes(s *Edit) int64 {
	switch {
	case s.Was != nil && (x.r.unstored(s.Was) || x.r.stale(s.Was)): // it is sent whatever its time
		return s.Size
	case s.Was != nil && s.Was.Kind == s.Kind && s.Was.Size == s.Size && (s.Was.MTime == s.MTime || s.Was.Seen.MTime == s.MTime):
		return 0
	case s.Kind == tree.File && len(x.grownFrom(s.Was, s.Size)) > 0:
		return s.Size - s.Was.Size
	}
	return s.Size
}

// rank is when an edit is staged: what replaces directories behind what is plain,
// because it waits until what is in them may go; the large bulk of wholes last of
// all. Before a near end small files come before large ones, but for one that was put
// off for them: small ones that change all the time would keep it away for ever. Behind
// all comes what was sent since the end was known: who writes a log all the time must not
// keep others here.
func (x *staging) rank(s *Edit) int {
	switch _, still := x.r.still.at(s.Path); {
	case still && x.r.hurried:
		return 2 // all of a directory at once, behind what is small
	case still:
		return 0
	case x.r.late && x.comes(s) > hurryBytes && !x.r.flushed[s.Path]:
		return -1
	case base.ShadowRow(s.Path) && x.comes(s) > hurryBytes:
		return 3
	case s.replaces():
		return 2
	case x.r.hurried && x.r.flushed[s.Path]:
		return 5
	case x.r.hurried && s.Kind == tree.File && x.comes(s) > hurryBytes/16:
		return 1
	}
	return 0
}

// inOrder puts edits in the order in which they are staged.
func (x *staging) inOrder(edited []Edit) []Edit {
	ordered, bulk := true, false
	for i := range edited {
		rank := x.rank(&edited[i])
		ordered, bulk = ordered && rank == 0, bulk || base.ShadowRow(edited[i].Path) && rank != 0
	}
	if ordered {
		return edited
	}
	rank := func(s *Edit) int {
		if bulk && x.r.refers(s.Path) {
			return 4 // it cannot go before the bulk that it needs
		}
		return x.rank(s)
	}
	edited = slices.Clone(edited)
	slices.SortStableFunc(edited, func(a, b Edit) int {
		n := rank(&a)
		if c := cmp.Compare(n, rank(&b)); c != 0 || n != 1 {
			return c
		}
		return cmp.Compare(x.comes(&a), x.comes(&b))
	})
	return edited
}

// agreed reports whether a staged row is what both sides agreed on already. One whose
// content was sent anew is not: no generation refers to that yet. Nor is one whose
// remote side is another by now.
func (x *staging) agreed(c *base.Change, row *base.Row) bool {
	return row != nil && row.Same(&c.Entry) && !x.r.unstored(row) && !x.r.stale(row) && slices.Equal(row.Where, c.Where)
}

// row brings one edit into the batch, and gives the row that comes of it.
func (x *staging) row(ctx context.Context, s *Edit) (*base.Change, error) {
	r, row := x.r, s.Was
	c := &base.Change{Row: base.Row{Entry: entryOf(r.quirks, &s.Entry, row), Seen: s.Seen}}
	if row != nil {
		c.Was = row.Kind
	}
	c.Tag = x.replacedTag(&s.Entry, row)
	switch s.Kind {
	case tree.Dir:
		return c, nil
	case tree.Link:
		if row != nil && row.Same(&c.Entry) {
			return c, nil
		}
		_, err := x.batch.Add(ctx, &c.Entry, strings.NewReader(s.Link))
		return c, err
	}
	if r.Wholes.Bulk(s.Path) && row != nil && row.Kind == s.Kind && x.comes(s) == 0 && !r.stale(row) && !r.unstored(row) {
		// Bulk never changes. What does is how many names it has, when the whole that shares
		// it is made anew.
		c.Sum, c.Where = row.Sum, row.Where
		return c, nil
	}
	if x.known.sizes[s.Size] {
		if done, err := x.isKnown(ctx, c, s); done || err != nil {
			return c, err
		}
	}
	return c, x.send(ctx, c, s)
}

// replacedTag is the tag of the object that a mirror is going to replace.
func (x *staging) replacedTag(s *localfs.Entry, row *base.Row) string {
	if x.r.Layout.ByContent() {
		return ""
	}
	if u := x.r.base.RemoteAt(s.Path); u != nil && u.Kind == s.Kind {
		return u.Tag
	}
	if row != nil && row.Kind == s.Kind {
		return row.Tag
	}
	return ""
}

// isKnown reads a file whose content may be in the store already, and reports
// whether it is.
func (x *staging) isKnown(ctx context.Context, c *base.Change, s *Edit) (bool, error) {
	r := x.r
	got, err := x.read(ctx, c, s, func(f io.Reader) (func() error, error) { return nil, localfs.Drain(f) })
	if err != nil {
		return false, err
	}
	row := s.Was
	c.Where = nil
	if row != nil && !r.stale(row) && row.SameContent(&c.Entry) && (row.SameMeta(&c.Entry) || r.Layout.ByContent()) && !r.unstored(row) {
		c.Where = row.Where
		return true, nil
	}
	where, ok := x.known.where[got]
	if !ok || !r.Layout.ByContent() {
		return false, nil
	}
	c.Where = where
	return true, nil
}

// send reads a file into the batch.
func (x *staging) send(ctx context.Context, c *base.Change, s *Edit) error {
	_, err := x.read(ctx, c, s, func(f io.Reader) (func() error, error) { return x.batch.Add(ctx, &c.Entry, f) })
	return err
}

// read reads a file in a state that it had, and notes what that was.
func (x *staging) read(ctx context.Context, c *base.Change, s *Edit, read func(io.Reader) (func() error, error)) (tree.Sum, error) {
	taken, err := x.files.State(ctx, s.Path, x.had(s), func(f io.Reader, seen localfs.Seen) (func() error, error) {
		x.become(c, s, seen)
		return read(f)
	})
	x.tail = taken.Tail
	if err != nil {
		return tree.Sum{}, err
	}
	c.Sum, c.Size, c.Seen = taken.Sum, taken.Seen.Size, taken.Seen
	return taken.Sum, nil
}

// had is how much of a file both sides agree on, so that nothing of it is taken back. At an
// end, of shadows, and of directories that have to be still, all is read.
func (x *staging) had(s *Edit) int64 {
	switch _, still := x.r.still.at(s.Path); {
	case still, x.r.hurried, x.r.handsOver, tree.Within(s.Path, localfs.Dir):
		return localfs.ToTheEnd
	case s.Was == nil, s.Was.Kind != tree.File, x.r.unstored(s.Was), x.r.stale(s.Was):
		return 0
	}
	return s.Was.Size
}

// become makes the entry that of a file as it is now: since it was sighted it may have
// been written, or replaced.
func (x *staging) become(c *base.Change, s *Edit, seen localfs.Seen) {
	now := localfs.Entry{Path: s.Path, Kind: tree.File, Seen: seen}
	c.Entry = entryOf(x.r.quirks, &now, s.Was)
	c.Tag = x.replacedTag(&now, s.Was)
	c.Where = x.grownFrom(s.Was, seen.Size)
}

// grownFrom are the parts, each with its hash, that a file of a size was in when it was
// smaller; nil when it was not, or they are not to be referred to.
func (x *staging) grownFrom(row *base.Row, size int64) []tree.Extent {
	if row == nil || row.Kind != tree.File || row.Size >= size || !x.r.Layout.ByContent() || x.r.unstored(row) || x.r.stale(row) {
		return nil
	}
	where := slices.Clone(row.Where)
	if len(where) == 1 {
		where[0].Sum = string(row.Sum[:])
	}
	return where
}

// content says what is in the store already, of the sizes that matter.
type content struct {
	sizes map[int64]bool
	where map[tree.Sum][]tree.Extent
}

// littleContent is how much is sent again rather than looked for: a save or a few
// share an object with nothing else to do, and to read all that the base has takes
// longer.
const littleContent = 64 << 10

// reuse looks for content that need not be sent again. What an edit had is known.
// Where there is more than a little, the base is looked through, for the sizes that
// were edited, because a renamed or copied file costs no upload, and for the parts of
// large files, of which an edit costs those that it touches.
func (x *staging) reuse(b store.Batch, edited []Edit) (*content, error) {
	k := &content{map[int64]bool{}, map[tree.Sum][]tree.Extent{}}
	wanted, size := map[int64]bool{}, int64(0)
	for i := range edited {
		s := &edited[i]
		if s.Kind != tree.File {
			continue
		}
		wanted[s.Size] = true
		size += s.Size
		if s.Was != nil {
			x.learn(k, b, s.Was, wanted)
		}
	}
	if size <= littleContent {
		return k, nil
	}
	return k, x.r.base.Each(func(row *base.Row) error {
		x.learn(k, b, row, wanted)
		return nil
	})
}

// learn notes a row's content, of the sizes that are wanted, and its parts.
func (x *staging) learn(k *content, b store.Batch, row *base.Row, wanted map[int64]bool) {
	whole := row.Kind == tree.File && wanted[row.Size] && !x.r.unstored(row)
	parts := len(row.Where) > 1
	if !whole && !parts || x.r.stale(row) {
		return
	}
	if whole {
		k.sizes[row.Size] = true
		k.where[row.Sum] = row.Where
	}
	if parts {
		b.Reuse(row.Where)
	}
}

// add makes what is staged now known for the rest of the scan. Its place in
// the store is known when the batch was sent, so only what has one counts.
func (k *content) add(e *tree.Entry) {
	if e.Kind == tree.File && len(e.Where) > 0 && placed(e) {
		k.sizes[e.Size] = true
		k.where[e.Sum] = e.Where
	}
}

// placed reports whether it is known where all of an entry's content lies.
func placed(e *tree.Entry) bool {
	return !slices.ContainsFunc(e.Where, func(x tree.Extent) bool { return x.Object == "" })
}

// allowance is what the base, and what waits to be placed, leaves.
func (r *Replica) allowance() *allowance {
	t := r.base.Totals()
	for i := range r.base.Unplaced {
		if u := &r.base.Unplaced[i]; !u.Gone {
			t.Add(&u.Row)
		}
	}
	a := &allowance{limits: r.limits, all: r.limits, byContent: r.Layout.ByContent(), root: r.root, cutTooOften: r.cutTooOften}
	a.rows -= t.Rows
	a.parts -= t.Parts
	return a
}

// belong reports whether two edits are of one whole and no bulk: they go in one step.
func (x *staging) belong(a, b *Edit) bool {
	one, ok := x.r.Wholes.Of(a.Path)
	other, too := x.r.Wholes.Of(b.Path)
	return ok && too && one == other && x.r.refers(a.Path) && x.r.refers(b.Path)
}

// together keeps the rows of wholes together: what is named by the others must be in the
// generation that they are in. What is not whole waits.
func (x *staging) together(staged *Staged) {
	waits := x.r.waitingWholes(staged)
	staged.Changes = slices.DeleteFunc(staged.Changes, func(c *base.Change) bool {
		if !x.r.refers(c.Path) || !x.r.Wholes.In(c.Path, waits) {
			return false
		}
		staged.Deferred = append(slices.Clip(staged.Deferred), Edit{Entry: localfs.Entry{Path: c.Path, Kind: c.Kind, Link: c.Link, Seen: c.Seen}})
		return true
	})
}

// waitingWholes are those of which something does not go with a step.
func (o *Options) waitingWholes(staged *Staged) map[string]bool {
	waits := map[string]bool{}
	note := func(path string) {
		if at, ok := o.Wholes.Of(path); ok {
			waits[at] = true
		}
	}
	for i := range staged.Deferred {
		note(staged.Deferred[i].Path)
	}
	for _, u := range staged.Unsettled {
		note(u.Path)
	}
	return waits
}
