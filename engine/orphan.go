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
func (p *pass) receiveOrphan(ctx context.Context, head *store.Head) (found bool, err error) {
	if p.lineage == head.Lineage {
		return false, nil
	}
	refs, err := store.Manifests(ctx, p.remote)
	if err != nil {
		return false, err
	}
	if len(refs) > 0 {
		p.origin.epoch = store.ManifestEpoch(refs[len(refs)-1])
	}
	for _, ref := range slices.Backward(refs) {
		t, err := p.layout.Tree(ctx, ref)
		if ctx.Err() != nil {
			return false, err
		}
		if err != nil {
			p.o.Log.Warn("a manifest without a head cannot be read", "replica", p.Name, "manifest", ref, "error", err)
			continue
		}
		p.origin.orphan = path.Base(ref)
		p.o.Log.Warn("the head was lost, its newest manifest is taken", "replica", p.Name, "manifest", ref)
		return true, p.rep.Receive(t, ref, head.Epoch, head.Generation)
	}
	return false, nil
}
