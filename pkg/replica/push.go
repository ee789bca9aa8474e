package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// Changes is what a scan found against the base.
type Changes struct {
	Edited    []Sighting // new, or not as the base saw them; sorted
	Gone      []string   // agreed on, and not there any more; sorted
	Forgotten []string   // agreed on, and not the replica's to carry any more
	Unknown   []Unknown
}

// Empty says that there is nothing to push.
func (c *Changes) Empty() bool { return len(c.Edited)+len(c.Gone)+len(c.Forgotten) == 0 }

func sighted(seen []Sighting, path string) bool {
	_, ok := searchSightings(seen, path)
	return ok
}

func searchSightings(seen []Sighting, path string) (int, bool) {
	return slices.BinarySearchFunc(seen, path, func(s Sighting, p string) int { return tree.Compare(s.Path, p) })
}

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
func (r *Replica) hidden(unknown []Unknown) func(path string) bool {
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
func (r *Replica) walkConflicts(ctx context.Context) ([]Sighting, error) {
	seen, _, err := r.root.Walk(ctx, Dir+"/"+conflictsDir, everything{})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the conflicts: %w", err)
	}
	seen = slices.DeleteFunc(seen, func(s Sighting) bool { return s.Kind == tree.Dir })
	for i := range seen {
		seen[i].Path = join(Dir+"/"+conflictsDir, seen[i].Path)
	}
	return seen, nil
}

type everything struct{}

func (everything) File(string) bool { return true }
func (everything) Dir(string) bool  { return true }

// changed says whether a sighting is not what the base saw at its path.
func (row *Row) changed(s *Sighting) bool {
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

// entryOf makes the entry of a sighting whose content is already known. What
// the file system shows as it showed it right after placing is as agreed: some
// ignore modes or round times.
func (s *Sighting) entryOf(row *Row) tree.Entry {
	e := tree.Entry{Path: s.Path, Kind: s.Kind, Mode: s.Mode, MTime: s.MTime, Size: s.Size, Link: s.Link}
	if s.Kind == tree.Dir {
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
	if s.MTime == row.Seen.MTime && s.Kind != tree.Dir {
		e.MTime = row.MTime
	}
	return e
}

// Staged is the outcome of staging.
type Staged struct {
	Changes   []*Change  // rows that are new or differ from what was agreed
	Refreshed []*Change  // rows that are as agreed; only what is seen of them differs
	Unsettled []Unknown  // files that changed while they were read, or cannot be read
	Rest      []Sighting // what did not fit
}

// stageBytes bounds what lies in the stage at a time.
const stageBytes = 256 << 20

// StageEdits reads what was edited into the batch, until the stage is full.
// Content that is in the store already is not sent again. The batch fills in
// where content lies when it is sent.
func (r *Replica) StageEdits(ctx context.Context, b store.Batch, edited []Sighting) (out Staged, err error) {
	defer func() {
		if err != nil {
			b.Stop()
		}
	}()
	if err := r.base.Wake(); err != nil {
		return out, err
	}
	r.root.Forget()
	edited = r.inOrder(edited)
	r.reuse(b)
	known := r.knownContent(edited)
	for i := range edited {
		if ctx.Err() != nil {
			return out, context.Cause(ctx)
		}
		s := &edited[i]
		if b.Staged() >= stageBytes || r.hurried && b.Staged() > 0 && b.Staged()+s.Size > hurryBytes {
			out.Rest = edited[i:]
			break
		}
		c, err := r.stage(ctx, b, s, known)
		switch {
		case errors.As(err, new(fileError)) && absent(err):
			// Gone since: the next scan says so.
		case errors.As(err, new(fileError)):
			out.Unsettled = append(out.Unsettled, Unknown{Path: s.Path, Reason: reason(err)})
		case err != nil:
			return out, fmt.Errorf("cannot stage %q: %w", s.Path, err)
		case r.agreed(c):
			out.Refreshed = append(out.Refreshed, c)
		default:
			known.add(&c.Entry)
			out.Changes = append(out.Changes, c)
		}
	}
	r.gitWhole(&out)
	return out, nil
}

// Replaces says that a sighting has the name of what is a directory for the
// remote side.
func (r *Replica) Replaces(s Sighting) bool {
	row := r.base.Row(s.Path)
	return s.Kind != tree.Dir && row != nil && row.Kind == tree.Dir
}

// inOrder puts what replaces directories behind what is plain: it waits until
// what is in them may go. Large packs of repositories come last of all. Before a near end small files come before large ones.
func (r *Replica) inOrder(edited []Sighting) []Sighting {
	rank := func(s Sighting) int {
		switch {
		case GitRow(s.Path) && s.Size > hurryBytes:
			return 3
		case r.Replaces(s):
			return 2
		case r.hurried && s.Kind == tree.File && s.Size > hurryBytes/16:
			return 1
		}
		return 0
	}
	if !slices.ContainsFunc(edited, func(s Sighting) bool { return rank(s) > 0 }) {
		return edited
	}
	edited = slices.Clone(edited)
	slices.SortStableFunc(edited, func(a, b Sighting) int {
		if n := cmp.Compare(rank(a), rank(b)); n != 0 || rank(a) != 1 {
			return n
		}
		return cmp.Compare(a.Size, b.Size)
	})
	return edited
}

// hurryBytes is what a step has at most before a near end: seconds on a slow
// line, so that what is sent is committed in time.
const hurryBytes = 8 << 20

// Hurry makes further steps small, small files first: there may be time for some
// of them only.
func (r *Replica) Hurry() { r.hurried = true }

// Withhold parts staged changes into those that may go with a step and those
// that would put a file or link in the place of a directory that, for the remote
// side, still has something in it: a deletion that waits for a word, or what
// this file system cannot show.
func (r *Replica) Withhold(staged []*Change, gone, forgotten []string) (may []*Change, waits []Unknown) {
	going := map[string]bool{}
	for _, path := range slices.Concat(gone, forgotten) {
		going[path] = true
	}
	var remote []tree.Entry
	for _, c := range staged {
		if row := r.base.Row(c.Path); c.Kind == tree.Dir || row == nil || row.Kind != tree.Dir {
			may = append(may, c)
			continue
		}
		if remote == nil {
			remote = r.base.Remote()
		}
		in := slices.IndexFunc(remote, func(e tree.Entry) bool {
			return e.Path != c.Path && tree.Within(e.Path, c.Path) && !going[e.Path]
		})
		if in < 0 {
			may = append(may, c)
			continue
		}
		waits = append(waits, Unknown{Path: c.Path, Reason: fmt.Sprintf("it has the name of a directory that holds %q in the bucket", remote[in].Path)})
	}
	return may, waits
}

// reason is an error's last word, without the path that a person is told anyway.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// agreed says that a staged row is what both sides agreed on already.
func (r *Replica) agreed(c *Change) bool {
	row := r.base.Row(c.Path)
	return row != nil && row.Same(&c.Entry) && !r.unstored(row)
}

// stage brings one sighting into the batch.
func (r *Replica) stage(ctx context.Context, b store.Batch, s *Sighting, known *content) (*Change, error) {
	row := r.base.Row(s.Path)
	c := &Change{Row: Row{Entry: r.entryOf(s, row), Seen: s.Seen}}
	c.Tag = r.replacedTag(s, row)
	switch s.Kind {
	case tree.Dir:
		return c, nil
	case tree.Link:
		if row != nil && row.Same(&c.Entry) {
			return c, nil
		}
		_, err := b.Add(ctx, &c.Entry, strings.NewReader(s.Link))
		return c, err
	}
	if known.sizes[s.Size] {
		if done, err := r.stageKnown(c, s, row, known); done || err != nil {
			return c, err
		}
	}
	return c, r.stageContent(ctx, b, c, s)
}

// replacedTag is the tag of the object that a mirror is going to replace.
func (r *Replica) replacedTag(s *Sighting, row *Row) string {
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

// stageKnown reads a file whose content may be in the store already, and says
// whether it is.
func (r *Replica) stageKnown(c *Change, s *Sighting, row *Row, known *content) (bool, error) {
	got, seen, err := r.read(s, drain)
	if err != nil {
		return false, err
	}
	c.Sum, c.Seen = got, seen
	if row != nil && !r.stale(row) && row.SameContent(&c.Entry) && (row.SameMeta(&c.Entry) || r.Layout.ByContent()) && !r.unstored(row) {
		c.Where = row.Where
		return true, nil
	}
	where, ok := known.where[got]
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

// stageContent reads a file into the batch.
func (r *Replica) stageContent(ctx context.Context, b store.Batch, c *Change, s *Sighting) error {
	undo := func() error { return nil }
	got, seen, err := r.read(s, func(f io.Reader) (err error) {
		undo, err = b.Add(ctx, &c.Entry, f)
		return err
	})
	if err != nil {
		if undo != nil {
			err = errors.Join(err, undo())
		}
		return err
	}
	c.Sum, c.Seen = got, seen
	return nil
}

// content says what is in the store already, of the sizes that matter.
type content struct {
	sizes map[int64]bool
	where map[tree.Sum][]tree.Extent
}

// knownContent looks the base through for content of the sizes that were
// edited: a renamed or copied file costs no upload.
func (r *Replica) knownContent(edited []Sighting) *content {
	wanted := map[int64]bool{}
	for i := range edited {
		if edited[i].Kind == tree.File {
			wanted[edited[i].Size] = true
		}
	}
	k := &content{map[int64]bool{}, map[tree.Sum][]tree.Extent{}}
	if len(wanted) == 0 {
		return k
	}
	for i := range r.base.Rows() {
		if e := &r.base.Rows()[i].Entry; e.Kind == tree.File && wanted[e.Size] && !r.unstored(&r.base.Rows()[i]) && !r.stale(&r.base.Rows()[i]) {
			k.sizes[e.Size] = true
			k.where[e.Sum] = e.Where
		}
	}
	return k
}

// reuse tells the batch of the parts of large files that are in the store: an
// edit in one costs the parts that it touches.
func (r *Replica) reuse(b store.Batch) {
	for i := range r.base.Rows() {
		if row := &r.base.Rows()[i]; len(row.Where) > 1 && !r.stale(row) {
			b.Reuse(row.Where)
		}
	}
}

// add makes what is staged now known for the rest of the scan. Its place in
// the store is known when the batch was sent, so only what has one counts.
func (k *content) add(e *tree.Entry) {
	placed := !slices.ContainsFunc(e.Where, func(x tree.Extent) bool { return x.Object == "" })
	if e.Kind == tree.File && len(e.Where) > 0 && placed {
		k.sizes[e.Size] = true
		k.where[e.Sum] = e.Where
	}
}

// Step is one new generation of a replica, not yet published.
type Step struct {
	Publication store.Publication
	Delta       Delta // the base's part; its header still lacks Ref
	Deleted     int   // files and links that the generation has no more
}

// Next makes the step that staged changes, deletions and forgotten paths lead
// to.
func (r *Replica) Next(changes []*Change, gone, forgotten []string, epoch, generation int64) Step {
	h := r.base.Header
	h.Epoch, h.Generation, h.Filters = epoch, generation, r.Filter.Rules()
	s := Step{Delta: Delta{Header: &h}, Publication: store.Publication{
		From: r.base.Header.Ref, Workspace: r.Workspace, Replica: r.Name, Epoch: epoch, Generation: generation,
	}}
	for _, c := range changes {
		s.Delta.Changes = append(s.Delta.Changes, *c)
	}
	for _, path := range slices.Concat(gone, forgotten) {
		s.Delta.Changes = append(s.Delta.Changes, Change{Row: Row{Entry: tree.Entry{Path: path}}, Gone: true})
	}
	for _, path := range gone {
		if row := r.base.Row(path); row != nil {
			s.Publication.Gone = append(s.Publication.Gone, row.Entry)
			if row.Kind != tree.Dir {
				s.Deleted++
			}
		}
	}
	for _, c := range changes {
		// A mirror keeps a file and a link of one name in two objects.
		if row := r.base.Row(c.Path); row != nil && row.Kind != c.Kind {
			s.Publication.Gone = append(s.Publication.Gone, row.Entry)
		}
	}
	s.Delta.Changes = append(r.withoutContent(changes), s.Delta.Changes...)
	after := Base{rows: r.base.Rows(), Unplaced: slices.Clone(r.base.Unplaced)}
	after.apply(s.Delta)
	s.Publication.Next = store.Tree{Entries: after.Remote(), Filters: h.Filters}
	if r.Layout.ByContent() {
		next := &s.Publication.Next
		next.Entries = pick(next.Entries, func(e *tree.Entry) bool { return !contentless(e) })
		for i := range next.Entries {
			next.Entries[i].Tag = "" // of the plain object it was adopted from
		}
	}
	return s
}

// withoutContent forgets the rows whose content is not in the layout yet: a
// generation must not promise what it does not have. They count as new the
// next time.
func (r *Replica) withoutContent(changes []*Change) []Change {
	staged := map[string]bool{}
	for _, c := range changes {
		staged[c.Path] = true
	}
	var out []Change
	for i := range r.base.Rows() {
		if row := &r.base.Rows()[i]; r.unstored(row) && !staged[row.Path] {
			out = append(out, Change{Row: Row{Entry: tree.Entry{Path: row.Path}}, Gone: true})
		}
	}
	return out
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

// Ref is what the head says of a step.
func (r *Replica) Ref(s Step, manifest string) store.Ref {
	files, bytes := tree.Total(s.Publication.Next.Entries)
	return store.Ref{Manifest: manifest, Files: files, Bytes: bytes, Filters: r.Filter.Hash()}
}

// Losing says how many of the paths in gone take content away that nothing
// staged has: a renamed file is not lost.
func (r *Replica) Losing(gone []string, changes []*Change) int {
	still := map[tree.Sum]bool{}
	for _, c := range changes {
		still[c.Sum] = true
	}
	n := 0
	for _, path := range gone {
		if row := r.base.Row(path); row != nil && !tree.Within(path, Dir) && (row.Kind == tree.Link || row.Kind == tree.File && !still[row.Sum]) {
			n++
		}
	}
	return n
}

// Brake says whether so many deletions at once want a person's word: one side
// emptied, or more than half and more than ten files.
func Brake(files, deleted int) bool {
	return files >= 2 && deleted >= files || deleted > 10 && deleted > files/2
}

// Files counts the files and links that the base has.
func (r *Replica) Files() int { return int(r.base.Totals().Files) }
