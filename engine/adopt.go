package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// The steps of an adoption at which a crash test kills the process.
var (
	pointListed         = killpoint.New("adopt:listed")
	pointListingWritten = killpoint.New("adopt:recorded")
)

// A prefix of plain objects that an earlier tool left is adopted: read as a
// mirror, placed, and published in the replica's layout. Until the adoption is
// finished the plain prefix is listed at each acquire, and what was written
// there since counts as a remote change. A plain object that vanished does not
// count: whoever cleans the old copy up must not empty the workspace.

// receivePlain receives a tree that has, or may have, plain objects in it. It
// returns where content is to be fetched from.
func (e *Engine) receivePlain(ctx context.Context, m *member, head *store.Head) (store.Layout, error) {
	if m.Layout == "mirror" {
		t, err := m.layout.Tree(ctx, "")
		if err != nil {
			return nil, err
		}
		return m.layout, m.rep.Receive(t, "", head.Epoch, head.Generation)
	}
	if _, published := head.Replicas[m.Name]; !published {
		if found, err := e.receiveOrphan(ctx, m, head); found || err != nil {
			return m.layout, err
		}
	}
	remote, err := e.connectPlain(ctx, m)
	if err != nil {
		return nil, err
	}
	mirror := store.NewMirror(remote)
	ref, published := head.Replicas[m.Name]
	listing, err := m.listPlain(ctx, mirror, published)
	if err != nil {
		return nil, err
	}
	pointListed.Reach()
	source := overlaid{m.layout, mirror}
	if !published {
		if len(listing.Entries) > 0 {
			m.plain = &plainPrefix{listing: listing.Entries}
			e.o.Log.Info("adopting plain objects", "replica", m.Name, "objects", len(listing.Entries))
		}
		return source, m.rep.Receive(listing, "", head.Epoch, head.Generation)
	}
	t, err := m.layout.Tree(ctx, ref.Manifest)
	if err != nil {
		return nil, err
	}
	recorded, err := m.readListing(ctx, head.Adopted[m.Name])
	if err != nil {
		return nil, err
	}
	merged, clashes := overlay(t.Entries, recorded, listing.Entries)
	if len(merged)+len(clashes) == 0 {
		return source, m.rep.Receive(t, ref.Manifest, head.Epoch, head.Generation)
	}
	m.plain = &plainPrefix{listing: listing.Entries, recorded: recorded, clashes: clashes}
	if err := e.keepClashes(ctx, m, mirror, clashes, t.Entries); err != nil {
		return nil, err
	}
	t.Entries = lay(t.Entries, merged)
	return source, m.rep.Receive(t, ref.Manifest, head.Epoch, head.Generation)
}

// connectPlain opens a member's prefix for plain objects.
func (e *Engine) connectPlain(ctx context.Context, m *member) (scope.Remote, error) {
	remote, err := e.o.Connect(ctx, scope.Target{Replica: m.Name, Plain: true, Spent: e.spending(&m.cost)})
	if err != nil {
		return nil, &blockedError{err}
	}
	return remote, nil
}

// overlay compares a listing of the plain prefix with the one that was
// recorded. merged is what was written there since and shall be taken; clashes
// is what was changed on both sides.
func overlay(head, recorded, listing []tree.Entry) (merged, clashes []*tree.Entry) {
	for i := range listing {
		e := &listing[i]
		if e.Kind == tree.Dir {
			continue
		}
		was := tree.Find(recorded, e.Path)
		if was != nil && was.Tag == e.Tag {
			continue
		}
		ours := tree.Find(head, e.Path)
		if (ours == nil || was != nil && ours.SameContent(was)) && fits(head, e.Path) {
			merged = append(merged, e)
		} else {
			clashes = append(clashes, e)
		}
	}
	return merged, clashes
}

// fits says whether no file or link of the tree is where path needs a
// directory.
func fits(entries []tree.Entry, path string) bool {
	for dir := range tree.Parents(path) {
		if p := tree.Find(entries, dir); p != nil && p.Kind != tree.Dir {
			return false
		}
	}
	return true
}

// lay puts entries over a tree, with the directories they need.
func lay(under []tree.Entry, over []*tree.Entry) []tree.Entry {
	at := map[string]tree.Entry{}
	for _, e := range under {
		at[e.Path] = e
	}
	for _, e := range over {
		at[e.Path] = *e
		for dir := range tree.Parents(e.Path) {
			if _, ok := at[dir]; !ok {
				at[dir] = tree.Entry{Path: dir, Kind: tree.Dir, Mode: tree.NoMode}
			}
		}
	}
	out := make([]tree.Entry, 0, len(at))
	for _, e := range at {
		out = append(out, e)
	}
	tree.Sort(out)
	return out
}

// keepClashes puts plain objects that were changed on both sides beside the
// conflicts of this machine, but for those that were changed to the same.
func (e *Engine) keepClashes(ctx context.Context, m *member, mirror *store.Mirror, clashes []*tree.Entry, head []tree.Entry) error {
	if len(clashes) == 0 {
		return nil
	}
	tmp := filepath.Join(m.rep.Stage(), "plain")
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := mirror.Fetch(ctx, clashes, tmp, nil, nil); err != nil {
		return err
	}
	var paths []string
	now := e.now()
	for i, c := range clashes {
		if ours := tree.Find(head, c.Path); ours != nil && ours.SameContent(c) {
			continue
		}
		if err := m.rep.PutAside(path.Join("plain", strconv.Itoa(i)), now, "plain", c.Path); err != nil {
			return err
		}
		paths = append(paths, c.Path)
	}
	if e.o.Conflicted != nil && len(paths) > 0 {
		e.o.Conflicted(m.Name, paths)
	}
	return nil
}

// overlaid fetches listed entries from the plain prefix and all others from
// the replica's own layout.
type overlaid struct {
	store.Layout
	plain *store.Mirror
}

// Fetch asks each side for its own. Both name files by their place in the
// list, so each gets a directory of its own.
func (o overlaid) Fetch(ctx context.Context, entries []*tree.Entry, dir string, here *store.Here, progress store.Progress) error {
	var own, plain []*tree.Entry
	for _, e := range entries {
		if e.Tag != "" {
			plain = append(plain, e)
		} else {
			own = append(own, e)
		}
	}
	if len(plain) == 0 {
		return o.Layout.Fetch(ctx, own, dir, here, progress)
	}
	dirs := map[bool]string{false: filepath.Join(dir, "own"), true: filepath.Join(dir, "plain")}
	for listed, part := range map[bool][]*tree.Entry{false: own, true: plain} {
		if err := os.MkdirAll(dirs[listed], 0o700); err != nil {
			return err
		}
		source := o.Layout
		if listed {
			source = o.plain
		}
		if err := source.Fetch(ctx, part, dirs[listed], here, progress); err != nil {
			return err
		}
	}
	next := map[bool]int{}
	for i, e := range entries {
		listed := e.Tag != ""
		from := filepath.Join(dirs[listed], strconv.Itoa(next[listed]))
		next[listed]++
		if err := os.Rename(from, filepath.Join(dir, strconv.Itoa(i))); err != nil {
			return err
		}
	}
	return nil
}

// plainPrefix is what is known of a prefix of plain objects.
type plainPrefix struct {
	listing  []tree.Entry          // what it holds
	recorded []tree.Entry          // what was recorded of it the last time
	clashes  []*tree.Entry         // of the listing: what was put aside
	agreed   map[string]tree.Entry // what of the listing both sides agreed on, in any step
	next     recording             // what is to be recorded now, once the head names it
}

// recording is a record of a plain prefix that was written.
type recording struct {
	key     string // of the object; "" for none
	entries []tree.Entry
	last    bool // no step is to come that adopts more
}

// adopted notes that the head names what was recorded last, if it does: the next step
// records what that one adopts beside it.
func (e *Engine) adopted(m *member) {
	if m.plain == nil || m.plain.next.key == "" || e.lease.Head().Adopted[m.Name] != m.plain.next.key {
		return
	}
	if m.plain.next.last {
		m.plain = nil
		return
	}
	m.plain.recorded, m.plain.next = m.plain.next.entries, recording{}
}

// paths are those of the listing.
func (p *plainPrefix) paths() map[string]bool {
	paths := map[string]bool{}
	for i := range p.listing {
		paths[p.listing[i].Path] = true
	}
	return paths
}

// record is what is to be recorded next: the version of each object that was
// dealt with last. What was not, because it could not be placed, say, counts as
// new the next time.
func (p *plainPrefix) record(rows map[string]replica.Row, accounted map[string]bool) []tree.Entry {
	at := map[string]tree.Entry{}
	for _, e := range p.recorded {
		at[e.Path] = e
	}
	if p.agreed == nil {
		p.agreed = map[string]tree.Entry{}
	}
	for i := range p.listing {
		l := &p.listing[i]
		if r, known := rows[l.Path]; l.Kind != tree.Dir && known && r.Tag == l.Tag {
			p.agreed[l.Path] = r.Entry // the row leaves the base, or its tag, with the first step
		}
		if e, agreed := p.agreed[l.Path]; agreed && accounted[l.Path] {
			at[l.Path] = e
		}
	}
	for _, e := range p.clashes {
		at[e.Path] = *e
	}
	entries := slices.Collect(maps.Values(at))
	tree.Sort(entries)
	return entries
}

// recordListing writes what the plain prefix held when it was adopted, so that
// later writes there can be told.
// What the step does not hold yet, because it did not fit into it, counts as
// new until a later step has it.
func (e *Engine) recordListing(ctx context.Context, p *prepared) error {
	m := p.member
	var buf bytes.Buffer
	w := tree.NewWriter(&buf)
	accounted := map[string]bool{}
	for e, err := range p.step.Publication.Entries {
		if err != nil {
			return err
		}
		accounted[e.Path] = true
	}
	for _, g := range p.step.Publication.Gone {
		accounted[g.Path] = true
	}
	rows, err := m.rep.Base().Lookup(m.plain.paths())
	if err != nil {
		return err
	}
	entries := m.plain.record(rows, accounted)
	for i := range entries {
		if err := w.Entry(&entries[i]); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	key := path.Join(store.Dir, "plain", store.NewID())
	if err := m.remote.PutIf(ctx, key, buf.Bytes(), rclone.Cond{}); err != nil {
		return fmt.Errorf("cannot record the plain prefix: %w", err)
	}
	pointListingWritten.Reach()
	p.adopted, m.plain.next = key, recording{key, entries, !p.more}
	return nil
}

// readListing reads what a prefix of plain objects held. It comes to a file first: of a
// large one it is a hundred megabytes.
func (m *member) readListing(ctx context.Context, key string) ([]tree.Entry, error) {
	tmp := filepath.Join(m.rep.Stage(), "listing")
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	var out []tree.Entry
	_, err := m.remote.Download(ctx, []string{key}, tmp, nil)
	if err == nil {
		out, err = parseListing(filepath.Join(tmp, filepath.FromSlash(key)))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read what was adopted: %w", err)
	}
	return out, nil
}

func parseListing(file string) (out []tree.Entry, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for r := tree.NewReader(f); ; {
		rec, err := r.Next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, store.Impossible("%w", err)
		}
		if n := len(out); n == store.MaxRows || n > 0 && tree.Compare(out[n-1].Path, rec.Path) >= 0 {
			return nil, store.Impossible("its rows are out of order, or too many")
		}
		out = append(out, rec.Entry)
	}
}

// adoptions notes in the head what the steps adopted, or were made anew from.
func (e *Engine) adoptions(steps []*prepared) func(*store.Head) {
	return func(h *store.Head) {
		for _, p := range steps {
			if p.member.orphan != "" {
				if h.Orphans == nil {
					h.Orphans = map[string]string{}
				}
				h.Orphans[p.member.Name] = p.member.orphan
			}
			if p.adopted == "" {
				continue
			}
			if h.Adopted == nil {
				h.Adopted = map[string]string{}
			}
			h.Adopted[p.member.Name] = p.adopted
		}
	}
}

// FinishAdoption stops looking at the plain prefixes. Nothing in them is
// deleted.
func (e *Engine) FinishAdoption(ctx context.Context, names []string) error {
	members, err := e.find(names)
	if err != nil {
		return err
	}
	var outcome error
	err = e.call(ctx, func() {
		if !e.writable() {
			outcome = errors.Join(errors.New("the lease is not held"), e.leaseErr)
			return
		}
		outcome = e.lease.Commit(ctx, store.NewID(), nil, func(h *store.Head) {
			for _, m := range members {
				delete(h.Adopted, m.Name)
				m.plain = nil
			}
		})
	})
	if err == nil {
		err = outcome
	}
	return err
}
