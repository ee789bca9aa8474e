package engine

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"strconv"

	"github.com/coltec/coltec/pkg/adoption"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// The step of an adoption at which a crash test kills the process.
var pointListed = killpoint.New("adopt:listed")

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
	source := adoption.Source{Layout: m.layout, Plain: mirror}
	if !published {
		if len(listing.Entries) > 0 {
			m.plain = adoption.New(listing.Entries)
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
	plain, merged := adoption.Compare(t.Entries, recorded, listing.Entries)
	if plain == nil {
		return source, m.rep.Receive(t, ref.Manifest, head.Epoch, head.Generation)
	}
	m.plain = plain
	if err := e.keepClashes(ctx, m, mirror, plain.Clashes(), t.Entries); err != nil {
		return nil, err
	}
	t.Entries = adoption.Lay(t.Entries, merged)
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

// adopted notes that the head names what was recorded last, if it does.
func (e *Engine) adopted(m *member) {
	if m.plain != nil && m.plain.Committed(e.lease.Head().Adopted[m.Name]) {
		m.plain = nil
	}
}

// recordListing records what the plain prefix held when this step adopted it.
func (e *Engine) recordListing(ctx context.Context, p *prepared) error {
	m := p.member
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
	rows, err := m.rep.Base().Lookup(m.plain.Paths())
	if err != nil {
		return err
	}
	p.adopted, err = m.plain.Record(ctx, m.remote, rows, accounted, !p.more)
	return err
}

// readListing reads what was recorded of a member's plain prefix.
func (m *member) readListing(ctx context.Context, key string) ([]tree.Entry, error) {
	return adoption.Read(ctx, m.remote, key, filepath.Join(m.rep.Stage(), "listing"))
}

// adoptions notes in the head what the steps adopted, or were made anew from.
func adoptions(steps []*prepared) func(*store.Head) {
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
