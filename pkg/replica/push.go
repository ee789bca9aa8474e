package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// Changes is what a scan found against the base.
type Changes struct {
	Edited    []Edit       // sorted
	Gone      []tree.Entry // agreed on, and not there any more; sorted, and without where their content lies
	Forgotten []string     // agreed on, and not the replica's to carry any more
	Touched   []Edit       // directories of which the time alone is another: no reason to push
	Unknown   []localfs.Unknown
	// Awaited was changed here, and another version is to be placed there first.
	Awaited []Edit
}

// Staging is what is to be staged where there is something to push: the time of a
// directory travels with what else does.
func (c *Changes) Staging() []Edit {
	if len(c.Touched) == 0 {
		return c.Edited
	}
	return slices.Concat(c.Touched, c.Edited) // they need no room, so they are not among what does not fit
}

// Edit is a path that is new, or not as the base saw it.
type Edit struct {
	localfs.Sighting
	Was *Row // what the base has there; nil for nothing
}

// Empty says that there is nothing to push.
func (c *Changes) Empty() bool { return len(c.Edited)+len(c.Gone)+len(c.Forgotten) == 0 }

// unplaced says that the remote side of a path still waits to be placed: what
// is seen there says nothing yet.
func (r *Replica) unplaced(path string) bool {
	if r.PushOnly {
		return false // it is never placed: the local side counts
	}
	return r.remoteAt(path) != nil
}

// remoteAt is the remote side of a path that is not placed.
func (r *Replica) remoteAt(path string) *Change {
	i, ok := slices.BinarySearchFunc(r.base.Unplaced, path, func(c Change, p string) int { return tree.Compare(c.Path, p) })
	if !ok {
		return nil
	}
	return &r.base.Unplaced[i]
}

// hidden tells the paths about which a walk cannot tell, and so must not
// conclude anything: those in what it could not see.
func (r *Replica) hidden(unknown []localfs.Unknown) func(path string) bool {
	at := map[string]bool{}
	for _, u := range unknown {
		at[u.Path] = true
	}
	return func(path string) bool {
		if len(at) == 0 {
			return false
		}
		for dir := range tree.Parents(path) {
			if at[dir] {
				return true
			}
		}
		return at[path]
	}
}

// walkConflicts lists the local versions that are kept aside: they are pushed
// like any file, and never read as gone.
func (r *Replica) walkConflicts(ctx context.Context) ([]localfs.Sighting, error) {
	seen, _, err := r.root.Walk(ctx, localfs.Dir+"/"+conflictsDir, localfs.Everything{})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the conflicts: %w", err)
	}
	seen = slices.DeleteFunc(seen, func(s localfs.Sighting) bool { return s.Kind == tree.Dir })
	for i := range seen {
		seen[i].Path = localfs.Join(localfs.Dir+"/"+conflictsDir, seen[i].Path)
	}
	return seen, nil
}

// changed says whether a sighting is not what the base saw at its path.
func (row *Row) changed(s *localfs.Sighting) bool {
	switch {
	case s.Kind != row.Kind:
		return true
	case s.Kind == tree.Dir:
		return s.Mode != row.Seen.Mode || s.Mount != row.Seen.Mount
	case s.Kind == tree.Link:
		return s.Link != row.Link || s.MTime != row.Seen.MTime
	}
	return s.Seen != row.Seen
}

// entryOf makes the entry of a sighting whose content is already known; nil is not a row. What
// the file system shows as it showed it right after placing is as agreed: some
// ignore modes or round times.
func entryOf(s *localfs.Sighting, row *Row) tree.Entry {
	e := tree.Entry{Path: s.Path, Kind: s.Kind, Mode: s.Mode, MTime: s.MTime, Size: s.Size, Link: s.Link}
	timeless := s.Kind == tree.Dir && tree.Within(s.Path, localfs.Dir) // of copies of repositories, which are made anew
	if timeless {
		e.MTime = 0
	}
	if s.Kind == tree.Link {
		e.Mode = 0o777
	}
	if row == nil || row.Kind != s.Kind {
		return e
	}
	if s.Mode == row.Seen.Mode {
		e.Mode = row.Mode
	}
	if s.MTime == row.Seen.MTime && !timeless {
		e.MTime = row.MTime
	}
	return e
}

// Staged is the outcome of staging.
type Staged struct {
	Changes   []*Change         // rows that are new or differ from what was agreed
	Spool     *Spool            // more of them, once there are many; nil for none
	Refreshed []*Change         // rows that are as agreed; only what is seen of them differs
	Touched   []*Change         // of directories that have another time: they go along with the rest, if there is any
	Unsettled []localfs.Unknown // files that changed while they were read, cannot be read, or are more than a replica can have
	Rest      []Edit            // what did not fit
}

// Len is the number of rows that are new or differ.
func (s *Staged) Len() int { return len(s.Changes) + s.Spool.Len() }

// usualStage bounds what lies in the stage at a time.
const usualStage = 256 << 20

// StageEdits reads what was edited into the batch, until the stage is full.
// Content that is in the store already is not sent again. The batch fills in
// where content lies when it is sent.
func (r *Replica) StageEdits(ctx context.Context, b store.Batch, edited []Edit) (out *Staged, err error) {
	out = &Staged{}
	defer func() {
		if err != nil {
			b.Stop()
			out.Spool.Close()
		}
	}()
	r.root.Forget()
	edited = r.inOrder(edited)
	defer func() { r.late = r.hurried && len(out.Rest) > 0 && r.comes(&out.Rest[0]) > hurryBytes }()
	known, err := r.reuse(b, edited)
	if err != nil {
		return out, err
	}
	one := staging{r: r, files: r.reader(), batch: b, known: known, allowed: r.allowance(), out: out}
	plain := 0 // of the changes, those at the front that may be spooled
	for i := range edited {
		if ctx.Err() != nil {
			return out, context.Cause(ctx)
		}
		s := &edited[i]
		if b.Staged() >= r.stageBytes || r.hurried && b.Staged() > 0 && r.comes(s) > 0 && b.Staged()+r.comes(s) > hurryBytes {
			out.Rest = edited[i:]
			break
		}
		before := len(out.Changes)
		if err := one.edit(ctx, s); err != nil {
			return out, fmt.Errorf("cannot stage %q: %w", s.Path, err)
		}
		if plain == before && len(out.Changes) > before && r.plain(s) {
			plain++
		}
		if plain >= r.spoolAfter {
			n, err := r.spool(out, plain)
			if err != nil {
				return out, fmt.Errorf("cannot stage %q: %w", s.Path, err)
			}
			plain -= n
		}
	}
	r.gitWhole(out)
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
}

// edit stages one edit, or notes why it is not.
func (x *staging) edit(ctx context.Context, s *Edit) error {
	r, out := x.r, x.out
	why := x.allowed.refuses(s)
	var c *Change
	var err error
	if why == "" {
		if c, err = x.row(ctx, s); err == nil {
			why = x.allowed.takes(s, c)
		}
	}
	switch {
	case why != "":
		x.without(localfs.Unknown{Path: s.Path, Reason: why, Beyond: true, Bytes: s.Size})
	case errors.As(err, new(localfs.FileError)) && localfs.Absent(err):
		// Gone since, or it has another name now that the scan had passed by: the
		// next scan says so, whatever it is of.
		x.without(localfs.Unknown{Path: s.Path, Reason: "it was moved or removed meanwhile", Moving: true})
	case errors.As(err, new(localfs.FileError)):
		x.without(localfs.Unknown{Path: s.Path, Reason: reason(err), Moving: errors.Is(err, localfs.ErrMoved), Unread: !errors.Is(err, localfs.ErrMoved), Bytes: s.Size})
	case err != nil:
		return err
	case r.agreed(c, s.Was) && c.Kind == tree.Dir && c.MTime != s.Was.MTime:
		out.touch(c, s.Was)
	case r.agreed(c, s.Was):
		out.Refreshed = append(out.Refreshed, c)
	default:
		x.known.add(&c.Entry)
		if r.hurried {
			r.flushed[s.Path] = true
		}
		out.Changes = append(out.Changes, c)
	}
	return nil
}

// without notes what is not staged now.
func (x *staging) without(u localfs.Unknown) {
	x.out.Unsettled = append(x.out.Unsettled, u)
	x.r.doubts = append(x.r.doubts, u.Path)
}

// touch notes a directory that has another time. The base must not have it before the
// remote side does: it would pass for what both agreed on.
func (s *Staged) touch(c *Change, was *Row) {
	s.Touched = append(s.Touched, c)
	if c.Seen.Mode != was.Seen.Mode || c.Seen.Mount != was.Seen.Mount {
		seen := *c
		seen.MTime, seen.Seen.MTime = was.MTime, was.Seen.MTime
		s.Refreshed = append(s.Refreshed, &seen)
	}
}

// plain says that nothing depends on how an edit's row stands to others.
func (r *Replica) plain(s *Edit) bool {
	return r.rank(s) == 0 && !tree.Within(s.Path, localfs.Dir) && (s.Was == nil || s.Was.Kind == s.Kind)
}

// spool moves the first changes to the disk, of so many those that are complete,
// and says how many they are.
func (r *Replica) spool(out *Staged, plain int) (n int, err error) {
	complete := func(c *Change) bool { return placed(&c.Entry) && (out.Spool == nil || out.Spool.takes(c.Path)) }
	for ; n < plain && complete(out.Changes[n]); n++ {
		if out.Spool == nil {
			if out.Spool, err = newSpool(r.Stage()); err != nil {
				return n, err
			}
		}
		if err := out.Spool.add(out.Changes[n]); err != nil {
			return n, err
		}
	}
	if n > 0 {
		out.Changes = append(out.Changes[:0:0], out.Changes[n:]...)
	}
	return n, nil
}

// Replaces says that an edit has the name of what is a directory for the remote
// side.
func (s *Edit) Replaces() bool { return s.Kind != tree.Dir && s.Was != nil && s.Was.Kind == tree.Dir }

// comes is how much of an edit is sent, as far as its size tells: nothing where the file
// has the size and time that were agreed on (what else the file system notes of it
// changes with a link to it, or its mode), and of a file that grew what it grew by.
func (r *Replica) comes(s *Edit) int64 {
	switch {
	case s.Was != nil && (r.unstored(s.Was) || r.stale(s.Was)): // it is sent whatever its time
		return s.Size
	case s.Was != nil && s.Was.Kind == s.Kind && s.Was.Size == s.Size && (s.Was.MTime == s.MTime || s.Was.Seen.MTime == s.MTime):
		return 0
	case s.Kind == tree.File && len(r.grownFrom(s.Was, s.Size)) > 0:
		return s.Size - s.Was.Size
	}
	return s.Size
}

// rank is when an edit is staged: what replaces directories behind what is plain,
// because it waits until what is in them may go; large packs of repositories last of
// all. Before a near end small files come before large ones, but for one that was put
// off for them: small ones that change all the time would keep it away for ever. Behind
// all comes what was sent since the end was known: who writes a log all the time must not
// keep others here.
func (r *Replica) rank(s *Edit) int {
	switch {
	case r.late && r.comes(s) > hurryBytes && !r.flushed[s.Path]:
		return -1
	case GitRow(s.Path) && r.comes(s) > hurryBytes:
		return 3
	case s.Replaces():
		return 2
	case r.hurried && r.flushed[s.Path]:
		return 5
	case r.hurried && s.Kind == tree.File && r.comes(s) > hurryBytes/16:
		return 1
	}
	return 0
}

// inOrder puts edits in the order in which they are staged.
func (r *Replica) inOrder(edited []Edit) []Edit {
	ordered, packs := true, false
	for i := range edited {
		rank := r.rank(&edited[i])
		ordered, packs = ordered && rank == 0, packs || GitRow(edited[i].Path) && rank != 0
	}
	if ordered {
		return edited
	}
	rank := func(s *Edit) int {
		if packs && gitHeld(s.Path) {
			return 4 // it cannot go before the packs that it needs
		}
		return r.rank(s)
	}
	edited = slices.Clone(edited)
	slices.SortStableFunc(edited, func(a, b Edit) int {
		n := rank(&a)
		if c := cmp.Compare(n, rank(&b)); c != 0 || n != 1 {
			return c
		}
		return cmp.Compare(r.comes(&a), r.comes(&b))
	})
	return edited
}

// hurryBytes is what a step has at most before a near end: seconds on a slow
// line, so that what is sent is committed in time.
const hurryBytes = 8 << 20

// Hurry makes further steps small, small files first: there may be time for some
// of them only.
func (r *Replica) Hurry() {
	if !r.hurried {
		r.hurried, r.flushed = true, map[string]bool{}
	}
}

// Withhold takes out of what is staged, and names, what would put a file or link in
// the place of a directory that, for the remote side, still has something in it: a
// deletion that waits for a word, or what this file system cannot show.
func (r *Replica) Withhold(staged *Staged, gone []tree.Entry, forgotten []string) (waits []localfs.Unknown, err error) {
	replaced := map[string]bool{}
	for _, c := range staged.Changes {
		if c.Kind != tree.Dir && c.was == tree.Dir {
			replaced[c.Path] = true
		}
	}
	if len(replaced) == 0 {
		return nil, nil
	}
	going := map[string]bool{}
	for i := range gone {
		going[gone[i].Path] = true
	}
	for _, path := range forgotten {
		going[path] = true
	}
	holds := map[string]string{} // what is in them
	rows, done, err := r.base.reader()
	if err != nil {
		return nil, err
	}
	defer done()
	remote := overlay(rows, each(r.base.Unplaced))
	for row, err := remote(); row != nil || err != nil; row, err = remote() {
		if err != nil {
			return nil, err
		}
		for dir := range tree.Parents(row.Path) {
			if replaced[dir] && holds[dir] == "" && !going[row.Path] {
				holds[dir] = strings.Clone(row.Path)
			}
		}
	}
	staged.Changes = slices.DeleteFunc(staged.Changes, func(c *Change) bool {
		in := holds[c.Path]
		if in != "" {
			waits = append(waits, localfs.Unknown{Path: c.Path, Reason: fmt.Sprintf("it has the name of a directory that holds %q in the bucket", in)})
		}
		return in != ""
	})
	return waits, nil
}

// reason is an error's last word, without the path that a person is told anyway.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// agreed says that a staged row is what both sides agreed on already. One whose
// content was sent anew is not: no generation refers to that yet. Nor is one whose
// remote side is another by now.
func (r *Replica) agreed(c *Change, row *Row) bool {
	return row != nil && row.Same(&c.Entry) && !r.unstored(row) && !r.stale(row) && slices.Equal(row.Where, c.Where)
}

// row brings one edit into the batch, and gives the row that comes of it.
func (x *staging) row(ctx context.Context, s *Edit) (*Change, error) {
	r, row := x.r, s.Was
	c := &Change{Row: Row{Entry: r.entryOf(&s.Sighting, row), Seen: s.Seen}}
	if row != nil {
		c.was = row.Kind
	}
	c.Tag = r.replacedTag(&s.Sighting, row)
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
	if gitPack(s.Path) && row != nil && row.Kind == s.Kind && r.comes(s) == 0 && !r.stale(row) && !r.unstored(row) {
		// A pack never changes. What does is how many names it has, when the repository
		// that shares it is packed anew.
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
func (r *Replica) replacedTag(s *localfs.Sighting, row *Row) string {
	if r.Layout.ByContent() {
		return ""
	}
	if u := r.remoteAt(s.Path); u != nil && u.Kind == s.Kind {
		return u.Tag
	}
	if row != nil && row.Kind == s.Kind {
		return row.Tag
	}
	return ""
}

// isKnown reads a file whose content may be in the store already, and reports
// whether it is.
func (x *staging) isKnown(ctx context.Context, c *Change, s *Edit) (bool, error) {
	r := x.r
	got, seen, err := x.files.State(ctx, s.Path, func(f io.Reader, seen localfs.Seen) (func() error, error) {
		r.become(c, s, seen)
		return nil, localfs.Drain(f)
	})
	if err != nil {
		return false, err
	}
	row := s.Was
	c.settle(got, seen)
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

// unstored says that a row's content is not in the replica's layout: it was
// adopted from plain objects and is to be published.
func (r *Replica) unstored(row *Row) bool {
	return r.Layout.ByContent() && contentless(&row.Entry)
}

// stale says that the remote side of a row differs from it, so that where its
// content lies may be condemned by now, or that it is damaged there. A
// generation refers to what the one before refers to, and to what was sent for
// it; to nothing else.
func (r *Replica) stale(row *Row) bool {
	return r.remoteAt(row.Path) != nil || r.shunned != nil && slices.ContainsFunc(row.Where, func(x tree.Extent) bool { return r.shunned[x.Object] })
}

// contentless says that an entry has content and no place where it lies.
func contentless(e *tree.Entry) bool {
	return e.Kind == tree.File && e.Size > 0 && len(e.Where) == 0
}

// send reads a file into the batch.
func (x *staging) send(ctx context.Context, c *Change, s *Edit) error {
	got, seen, err := x.files.State(ctx, s.Path, func(f io.Reader, seen localfs.Seen) (func() error, error) {
		x.r.become(c, s, seen)
		return x.batch.Add(ctx, &c.Entry, f)
	})
	if err != nil {
		return err
	}
	c.settle(got, seen)
	return nil
}

// become makes the entry that of a file as it is now: since it was sighted it may have
// been written, or replaced.
func (r *Replica) become(c *Change, s *Edit, seen localfs.Seen) {
	now := localfs.Sighting{Path: s.Path, Kind: tree.File, Seen: seen}
	c.Entry = r.entryOf(&now, s.Was)
	c.Tag = r.replacedTag(&now, s.Was)
	c.Where = r.grownFrom(s.Was, seen.Size)
}

// grownFrom are the parts, each with its hash, that a file of a size was in when it was
// smaller; nil when it was not, or they are not to be referred to.
func (r *Replica) grownFrom(row *Row, size int64) []tree.Extent {
	if row == nil || row.Kind != tree.File || row.Size >= size || !r.Layout.ByContent() || r.unstored(row) || r.stale(row) {
		return nil
	}
	where := slices.Clone(row.Where)
	if len(where) == 1 {
		where[0].Sum = string(row.Sum[:])
	}
	return where
}

// settle notes what was read.
func (c *Change) settle(sum tree.Sum, seen localfs.Seen) {
	c.Sum, c.Size, c.Seen = sum, seen.Size, seen
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
func (r *Replica) reuse(b store.Batch, edited []Edit) (*content, error) {
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
			r.known(k, b, s.Was, wanted)
		}
	}
	if size <= littleContent {
		return k, nil
	}
	return k, r.base.Each(func(row *Row) error {
		r.known(k, b, row, wanted)
		return nil
	})
}

// known notes a row's content, of the sizes that are wanted, and its parts.
func (r *Replica) known(k *content, b store.Batch, row *Row, wanted map[int64]bool) {
	whole := row.Kind == tree.File && wanted[row.Size] && !r.unstored(row)
	parts := len(row.Where) > 1
	if !whole && !parts || r.stale(row) {
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

// placed says that it is known where all of an entry's content lies.
func placed(e *tree.Entry) bool {
	return !slices.ContainsFunc(e.Where, func(x tree.Extent) bool { return x.Object == "" })
}

// Step is one new generation of a replica, not yet published.
type Step struct {
	Publication store.Publication
	Delta       Delta // the base's part; its header still lacks Ref
	Deleted     int   // files and links that the generation has no more
}

// Next makes the step that staged changes, deletions and forgotten paths lead
// to. The base must not change before it is published.
func (r *Replica) Next(staged *Staged, gone []tree.Entry, forgotten []string, epoch, generation int64) (Step, error) {
	h := r.base.Header
	h.Epoch, h.Generation, h.Filters, h.Before = epoch, generation, r.Filter.Rules(), ""
	if h.Restored && len(r.base.Unplaced) == 0 {
		h.Before = r.base.Header.Ref
	}
	s := Step{Delta: Delta{Header: &h, Spool: staged.Spool, after: &Totals{}}, Publication: store.Publication{
		From: r.base.Header.Ref, Workspace: r.Workspace, Replica: r.Name, Epoch: epoch, Generation: generation, Filters: h.Filters,
	}}
	for _, c := range staged.Touched {
		s.Delta.Changes = append(s.Delta.Changes, *c)
	}
	for _, c := range staged.Changes {
		s.Delta.Changes = append(s.Delta.Changes, *c)
		if c.was != 0 && c.was != c.Kind {
			// A mirror keeps a file and a link of one name in two objects.
			s.Publication.Gone = append(s.Publication.Gone, tree.Entry{Path: c.Path, Kind: c.was})
		}
	}
	leave := func(path string) {
		s.Delta.Changes = append(s.Delta.Changes, Change{Row: Row{Entry: tree.Entry{Path: path}}, Gone: true})
	}
	for i := range gone {
		leave(gone[i].Path)
		s.Publication.Gone = append(s.Publication.Gone, gone[i])
		if gone[i].Kind != tree.Dir {
			s.Deleted++
		}
	}
	for _, path := range forgotten {
		leave(path)
	}
	without, err := r.withoutContent(&s.Delta)
	for _, path := range without {
		leave(path)
	}
	s.Publication.Entries = r.after(s.Delta)
	return s, err
}

// withoutContent are the rows whose content is not in the layout, and not in a delta
// either: a generation must not promise what it does not have. They count as new the
// next time.
func (r *Replica) withoutContent(d *Delta) (paths []string, err error) {
	if !r.Layout.ByContent() || r.base.Totals().Contentless == 0 {
		return nil, nil
	}
	changed, err := d.paths()
	if err != nil {
		return nil, err
	}
	err = r.base.Each(func(row *Row) error {
		if contentless(&row.Entry) && !changed[row.Path] {
			paths = append(paths, row.Path)
		}
		return nil
	})
	return paths, err
}

// after gives the remote tree after a delta, and counts the base's rows.
func (r *Replica) after(d Delta) iter.Seq2[*tree.Entry, error] {
	return func(yield func(*tree.Entry, error) bool) {
		fail := func(err error) { yield(nil, err) }
		rows, done, err := r.base.reader()
		if err != nil {
			fail(err)
			return
		}
		defer done()
		unplaced, err := r.stillUnplaced(&d)
		if err != nil {
			fail(err)
			return
		}
		var t Totals
		counted := func(row *Row, err error) (*Row, error) {
			if row != nil {
				t.add(row)
			}
			return row, err
		}
		next := overlay(rows, d.inOrder())
		remote := overlay(func() (*Row, error) { return counted(next()) }, each(unplaced))
		for {
			row, err := remote()
			switch {
			case err != nil:
				fail(err)
				return
			case row == nil:
				*d.after = t
				return
			}
			e := &row.Entry
			if r.Layout.ByContent() {
				if contentless(e) {
					continue
				}
				if e.Tag != "" { // of the plain object it was adopted from
					bare := *e
					bare.Tag, e = "", &bare
				}
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// stillUnplaced is what a delta does not settle.
func (r *Replica) stillUnplaced(d *Delta) ([]Change, error) {
	if len(r.base.Unplaced) == 0 {
		return nil, nil
	}
	settled, err := d.paths()
	return slices.DeleteFunc(slices.Clone(r.base.Unplaced), func(u Change) bool { return settled[u.Path] }), err
}

// Live counts the stored bytes of each object that the remote tree refers to;
// those that several files share as often.
func (r *Replica) Live() (map[string]int64, error) {
	live := map[string]int64{}
	count := func(e *tree.Entry) {
		for _, x := range e.Where {
			live[x.Object] += x.Stored
		}
	}
	err := r.base.Each(func(row *Row) error {
		if r.remoteAt(row.Path) == nil {
			count(&row.Entry)
		}
		return nil
	})
	for i := range r.base.Unplaced {
		if u := &r.base.Unplaced[i]; !u.Gone {
			count(&u.Entry)
		}
	}
	return live, err
}

// Pieces are what agreed files have in objects, in the order of the tree; what
// several share as often.
func (r *Replica) Pieces(objects map[string]int64) ([]tree.Extent, error) {
	var out []tree.Extent
	err := r.base.Each(func(row *Row) error {
		for _, x := range row.Where {
			if _, lies := objects[x.Object]; lies && !r.stale(row) {
				out = append(out, x)
			}
		}
		return nil
	})
	return out, err
}

// Moved are the agreed rows whose content lies elsewhere now.
func (r *Replica) Moved(to map[store.Spot]tree.Extent) ([]*Change, error) {
	var out []*Change
	err := r.base.Each(func(row *Row) error {
		if r.stale(row) {
			return nil
		}
		moves, where := false, slices.Clone(row.Where)
		for i, x := range where {
			if y, ok := to[store.Spot{Object: x.Object, Offset: x.Offset}]; ok {
				y.Sum = x.Sum
				where[i], moves = y, true
			}
		}
		if moves {
			c := &Change{Row: *row}
			c.Where = where
			out = append(out, c)
		}
		return nil
	})
	return out, err
}

// Files counts the files and links that the base has.
func (r *Replica) Files() int { return int(r.base.Totals().Files) }
