package replica

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// Damaged names the files of the tree at root whose content is not what its
// base says, although nothing else of them changed: no program did that. Files
// that were edited are none of them. Only the wanted ones are looked at; nil: all.
func Damaged(ctx context.Context, root, within string, wanted func(path string) bool) ([]string, error) {
	own, err := localfs.ReadOwn(root, within, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer own.Close()
	agreed, err := base.Open(anchor.At(own))
	err = anchor.Told(err)
	if errors.Is(err, base.ErrNone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	files, err := localfs.OpenRoot(root, within, 0)
	if err != nil {
		return nil, err
	}
	defer files.Close()
	r := localfs.NewReader(files, localfs.Quirks{}, "")
	var out []string
	for i := range agreed.Rows() {
		row := &agreed.Rows()[i]
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if row.Kind != tree.File || row.Seen.CTime == 0 || row.Seen.Size != row.Size {
			continue // gone, or to be looked at anyway
		}
		if wanted != nil && !wanted(row.Path) {
			continue
		}
		s, err := files.Lstat(row.Path)
		if err != nil || s == nil || row.Changed(s) {
			continue
		}
		got, _, err := r.Read(s, localfs.Drain)
		if err == nil && got != row.Sum || err != nil && !errors.Is(err, localfs.ErrMoved) && !localfs.Absent(err) {
			out = append(out, row.Path)
		}
	}
	return out, nil
}

// SendAgain makes the next push send the content of the files that lie in the
// given objects, under new names. Files in except are left out: theirs is not
// what it was. It names the files.
func (r *Replica) SendAgain(objects map[string]bool, except []string) ([]string, error) {
	if err := r.base.Load(); err != nil {
		return nil, err
	}
	var d base.Delta
	var paths []string
	r.shunned = objects
	for i := range r.base.Rows() {
		row := r.base.Rows()[i]
		lies := slices.ContainsFunc(row.Where, func(x tree.Extent) bool { return objects[x.Object] })
		if !lies || slices.Contains(except, row.Path) {
			continue
		}
		row.Where = nil
		d.Changes = append(d.Changes, base.Change{Row: row})
		paths = append(paths, row.Path)
	}
	if len(d.Changes) == 0 {
		return nil, nil
	}
	return paths, r.base.Apply(d)
}
