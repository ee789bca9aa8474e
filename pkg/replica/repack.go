package replica

import (
	"slices"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// Pieces are what agreed files have in objects, in the order of the tree; what
// several share as often.
func (r *Replica) Pieces(objects map[string]int64) ([]tree.Extent, error) {
	var out []tree.Extent
	err := r.base.Each(func(row *base.Row) error {
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
func (r *Replica) Moved(to map[store.Spot]tree.Extent) ([]*base.Change, error) {
	var out []*base.Change
	err := r.base.Each(func(row *base.Row) error {
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
			c := &base.Change{Row: *row}
			c.Where = where
			out = append(out, c)
		}
		return nil
	})
	return out, err
}
