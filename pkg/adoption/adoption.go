// Package adoption is of a prefix of plain objects that an earlier tool left, and that is
// taken over: read as a mirror, placed, and published in the replica's layout. Until the
// adoption is finished the plain prefix is listed at each acquire, and what was written
// there since counts as a remote change. A plain object that vanished does not count:
// whoever cleans the old copy up must not empty the workspace.
package adoption

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// The step of an adoption at which a crash test kills the process.
var pointListingWritten = killpoint.New("adopt:recorded")

// Prefix is what is known of a prefix of plain objects.
type Prefix struct {
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

// New is a prefix of which nothing was recorded yet.
func New(listing []tree.Entry) *Prefix { return &Prefix{listing: listing} }

// Compare is a prefix whose listing is held against the one that was recorded. merged is
// what was written there since and shall be taken over; nil when nothing was. What was
// changed on both sides is in Clashes.
func Compare(head, recorded, listing []tree.Entry) (p *Prefix, merged []*tree.Entry) {
	merged, clashes := overlay(head, recorded, listing)
	if len(merged)+len(clashes) == 0 {
		return nil, nil
	}
	return &Prefix{listing: listing, recorded: recorded, clashes: clashes}, merged
}

// Clashes are the objects that were changed on both sides.
func (p *Prefix) Clashes() []*tree.Entry { return p.clashes }

// overlay merges the listing of a plain prefix into the tree of the head. It is a plan
// whose local side is the listing: what that keeps is what was written there since, and
// is taken; what it does otherwise with an object that was written since is a clash.
// Objects that vanished are on no side, and so never a deletion.
func overlay(head, recorded, listing []tree.Entry) (merged, clashes []*tree.Entry) {
	s := plan.Sides{Remote: head}
	listed := map[string]*tree.Entry{}
	for i := range listing {
		e := &listing[i]
		if e.Kind == tree.Dir {
			continue
		}
		was := tree.Find(recorded, e.Path)
		if was != nil {
			s.Base = append(s.Base, *was)
		}
		if was != nil && was.Tag == e.Tag { // the same object: the record knows its content
			s.Local = append(s.Local, *was)
			continue
		}
		s.Local = append(s.Local, *e)
		listed[e.Path] = e
	}
	if len(listed) == 0 {
		return nil, nil
	}
	for _, d := range plan.Merge(s) {
		switch e := listed[d.Path]; {
		case e == nil:
		case d.Op == plan.Keep:
			merged = append(merged, e)
		default:
			clashes = append(clashes, e)
		}
	}
	return merged, clashes
}

// Lay puts entries over a tree, with the directories they need.
func Lay(under []tree.Entry, over []*tree.Entry) []tree.Entry {
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

// Paths are those of the listing.
func (p *Prefix) Paths() map[string]bool {
	paths := map[string]bool{}
	for i := range p.listing {
		paths[p.listing[i].Path] = true
	}
	return paths
}

// record is what is to be recorded next: the version of each object that was
// dealt with last. What was not, because it could not be placed, say, counts as
// new the next time.
func (p *Prefix) record(rows map[string]base.Row, accounted map[string]bool) []tree.Entry {
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

// Record writes what the prefix held when it was adopted, so that later writes there can
// be told, and gives the key for the head to name. rows are those of the base at Paths;
// accounted are the paths that the step holds: what it does not hold yet, because it did
// not fit into it, counts as new until a later step has it. last is of a step that no other
// follows.
func (p *Prefix) Record(ctx context.Context, remote scope.Remote, rows map[string]base.Row, accounted map[string]bool, last bool) (key string, err error) {
	var buf bytes.Buffer
	w := tree.NewWriter(&buf)
	entries := p.record(rows, accounted)
	for i := range entries {
		if err := w.Entry(&entries[i]); err != nil {
			return "", err
		}
	}
	if err := w.Flush(); err != nil {
		return "", err
	}
	key = path.Join(store.Dir, "plain", store.NewID())
	if err := remote.PutIf(ctx, key, buf.Bytes(), rclone.Cond{}); err != nil {
		return "", fmt.Errorf("cannot record the plain prefix: %w", err)
	}
	pointListingWritten.Reach()
	p.next = recording{key, entries, last}
	return key, nil
}

// Committed notes which record the head names. Where it is the one that was written last,
// the next step records what that one adopts beside it; done reports that there is no
// next one.
func (p *Prefix) Committed(key string) (done bool) {
	if p.next.key == "" || key != p.next.key {
		return false
	}
	if p.next.last {
		return true
	}
	p.recorded, p.next = p.next.entries, recording{}
	return false
}

// Read reads what a prefix of plain objects held. It comes to a file first: of a
// large one it is a hundred megabytes. tmp is a directory of its own, which is removed.
func Read(ctx context.Context, remote scope.Remote, key, tmp string) ([]tree.Entry, error) {
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	var out []tree.Entry
	_, err := remote.Download(ctx, []string{key}, tmp, nil)
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
