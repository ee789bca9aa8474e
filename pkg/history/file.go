package history

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// File reads one file of a generation, which has at most most bytes. The error is
// [ErrNotThere] where the generation has nothing at the path.
func (r *Reader) File(ctx context.Context, x scope.Replica, name string, g store.Generation, most int64) ([]byte, error) {
	t, layout, err := r.Tree(ctx, x, g)
	if err != nil {
		return nil, err
	}
	refused := func(why error) ([]byte, error) {
		return nil, fmt.Errorf("cannot read %q of generation %d: %w", name, g.Number, why)
	}
	e := tree.Find(t.Entries, name)
	switch {
	case e == nil:
		return refused(ErrNotThere)
	case e.Kind != tree.File:
		return refused(fmt.Errorf("it is a %s", versionOf(e).Kind))
	case e.Size > most:
		return refused(fmt.Errorf("it has %d bytes, more than %d", e.Size, most))
	}
	dir, err := os.MkdirTemp(r.tmp, "file-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	one := *t
	one.Entries = below([]tree.Entry{*e}, name)
	out, err := replica.Export(ctx, filepath.Join(dir, "it"), &one, layout, true, nil)
	switch {
	case err != nil:
		return refused(err)
	case len(out.Problems) > 0:
		return refused(fmt.Errorf("%s", out.Problems[0].Reason))
	}
	return os.ReadFile(filepath.Join(dir, "it", path.Base(name))) // which was just written here, of that size
}
