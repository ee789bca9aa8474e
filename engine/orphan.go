package engine

import (
	"context"
	"path"
	"slices"

	"github.com/coltec/coltec/pkg/store"
)

// receiveOrphan receives the newest tree of a prefix whose head was lost: the
// claim tells of another head's lineage, and manifests are there that the new
// head knows nothing of. An empty machine would start empty beside them. Nobody's
// base counts for such a tree, so it is merged and deletes nothing.
func (e *Engine) receiveOrphan(ctx context.Context, m *member, head *store.Head) (found bool, err error) {
	if m.lineage == head.Lineage {
		return false, nil
	}
	refs, err := store.Manifests(ctx, m.remote)
	if err != nil {
		return false, err
	}
	if len(refs) > 0 {
		m.orphanEpoch = store.ManifestEpoch(refs[len(refs)-1])
	}
	for _, ref := range slices.Backward(refs) {
		t, err := m.layout.Tree(ctx, ref)
		if ctx.Err() != nil {
			return false, err
		}
		if err != nil {
			e.o.Log.Warn("a manifest without a head cannot be read", "replica", m.Name, "manifest", ref, "error", err)
			continue
		}
		m.orphan = path.Base(ref)
		e.o.Log.Warn("the head was lost, its newest manifest is taken", "replica", m.Name, "manifest", ref)
		return true, m.rep.Receive(t, ref, head.Epoch, head.Generation)
	}
	return false, nil
}

// surpass makes a head that was made anew begin above the epochs of what a lost one
// left in a member's prefix: manifests are found by their epoch, and should this
// head be lost too, the newest must be its own.
func (e *Engine) surpass(ctx context.Context, m *member) error {
	if m.orphanEpoch < e.lease.Head().Epoch {
		return nil
	}
	return e.lease.Surpass(ctx, m.orphanEpoch)
}

// orphaned reports whether a replica was received from a lost head's manifest in
// this session; the head says it of those before, once something was committed.
func (r *roster) orphaned() bool {
	return slices.ContainsFunc(r.members, func(m *member) bool { return m.orphan != "" })
}
