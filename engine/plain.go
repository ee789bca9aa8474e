package engine

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"strconv"

	"github.com/coltec/coltec/pkg/adoption"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// The step of an adoption at which a crash test kills the process.
var pointListed = killpoint.New("adopt:listed")

// receivePlain receives a tree that has, or may have, plain objects in it. It
// returns where content is to be fetched from.
func (p *pass) receivePlain(ctx context.Context, head *store.Head) (store.Layout, error) {
	if p.Layout == "mirror" {
		t, err := p.layout.Tree(ctx, "")
		if err != nil {
			return nil, err
		}
		return p.layout, p.rep.Receive(t, "", head.Epoch, head.Generation)
	}
	if _, published := head.Replicas[p.Name]; !published {
		if found, err := p.receiveOrphan(ctx, head); found || err != nil {
			return p.layout, err
		}
	}
	remote, err := p.connectPlain(ctx, p.Name, p.cost)
	if err != nil {
		return nil, err
	}
	mirror := store.NewMirror(remote)
	ref, published := head.Replicas[p.Name]
	listing, err := p.listPlain(ctx, mirror, published)
	if err != nil {
		return nil, err
	}
	pointListed.Reach()
	source := adoption.Source{Layout: p.layout, Plain: mirror}
	if !published {
		if len(listing.Entries) > 0 {
			p.origin.plain = adoption.New(listing.Entries)
			p.o.Log.Info("adopting plain objects", "replica", p.Name, "objects", len(listing.Entries))
		}
		return source, p.rep.Receive(listing, "", head.Epoch, head.Generation)
	}
	t, err := p.layout.Tree(ctx, ref.Manifest)
	if err != nil {
		return nil, err
	}
	recorded, err := p.readListing(ctx, head.Adopted[p.Name])
	if err != nil {
		return nil, err
	}
	plain, merged := adoption.Compare(t.Entries, recorded, listing.Entries)
	if plain == nil {
		return source, p.rep.Receive(t, ref.Manifest, head.Epoch, head.Generation)
	}
	p.origin.plain = plain
	if err := p.keepClashes(ctx, mirror, plain.Clashes(), t.Entries); err != nil {
		return nil, err
	}
	t.Entries = adoption.Lay(t.Entries, merged)
	return source, p.rep.Receive(t, ref.Manifest, head.Epoch, head.Generation)
}

// keepClashes puts plain objects that were changed on both sides beside the
// conflicts of this machine, but for those that were changed to the same.
func (p *pass) keepClashes(ctx context.Context, mirror *store.Mirror, clashes []*tree.Entry, head []tree.Entry) error {
	if len(clashes) == 0 {
		return nil
	}
	tmp := filepath.Join(p.rep.StageDir(), "plain")
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := mirror.Fetch(ctx, clashes, tmp, nil, nil); err != nil {
		return err
	}
	var paths []string
	now := p.now()
	for i, c := range clashes {
		if ours := tree.Find(head, c.Path); ours != nil && ours.SameContent(c) {
			continue
		}
		if err := p.rep.PutConflict(path.Join("plain", strconv.Itoa(i)), now, "plain", c.Path); err != nil {
			return err
		}
		paths = append(paths, c.Path)
	}
	if p.o.Conflicted != nil && len(paths) > 0 {
		p.o.Conflicted(p.Name, paths)
	}
	return nil
}

// recordListing records what the plain prefix held when this step adopted it.
func (p *pass) recordListing(ctx context.Context, next *prepared) error {
	accounted := map[string]bool{}
	for e, err := range next.step.Publication.Entries {
		if err != nil {
			return err
		}
		accounted[e.Path] = true
	}
	for _, g := range next.step.Publication.Gone {
		accounted[g.Path] = true
	}
	rows, err := p.rep.Base().Lookup(p.origin.plain.Paths())
	if err != nil {
		return err
	}
	next.adopted, err = p.origin.plain.Record(ctx, p.remote, rows, accounted, !next.more)
	return err
}

// readListing reads what was recorded of a plain prefix.
func (p *pass) readListing(ctx context.Context, key string) ([]tree.Entry, error) {
	return adoption.Read(ctx, p.remote, key, filepath.Join(p.rep.StageDir(), "listing"))
}

// listPlain lists the plain objects in the prefix of a replica that has published
// nothing, but for where that was done ahead.
func (p *pass) listPlain(ctx context.Context, plain *store.Mirror, published bool) (*store.Tree, error) {
	if seen := p.ahead.wait(); seen.plain != nil && !published {
		return seen.plain, nil
	}
	return plain.Tree(ctx, "")
}
