package history

import (
	"context"

	"github.com/coltec/coltec/pkg/databases"
	"github.com/coltec/coltec/pkg/repositories"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// Content counts what a generation has: files by their names in the trees, and how many
// repositories and databases lie there, which files are parts of.
type Content struct {
	Files        int
	Repositories int
	Databases    int
}

// Content counts what a generation has in the replicas that keep generations.
func (r *Reader) Content(ctx context.Context, g store.Generation) (c Content, err error) {
	for _, x := range r.o.Replicas {
		if g.Replicas[x.Name].Manifest == "" {
			continue
		}
		if err := r.countIn(ctx, x, g, &c); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (r *Reader) countIn(ctx context.Context, x scope.Replica, g store.Generation, c *Content) error {
	t, _, err := r.Tree(ctx, x, g)
	if err != nil {
		return err
	}
	for _, s := range kinds.ShadowsIn(t) {
		switch s.Kind.(type) {
		case repositories.Kind:
			c.Repositories++
		case databases.Kind:
			c.Databases++
		}
	}
	shadowed := func(path string) bool { _, ok := kinds.Of(path); return ok }
	for i := range t.Entries {
		if e := &t.Entries[i]; e.Kind == tree.File && !shadowed(e.Path) {
			c.Files++
		}
	}
	return nil
}
