package replica

import (
	"context"
	"errors"
	"io/fs"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/localfs"
)

// Agreed is the head that a base is held against; the zero value is none that is known.
type Agreed struct {
	Lineage    string
	Generation int64
}

// Survey lists what the local tree has and what was agreed on last has not, for a
// replica that is not pushed now: without the store, and with the paths at which
// something waits to be placed. A replica that is not open is looked at as it lies
// there; wholes are captured, and nothing else is made. A base that does not count
// for the head counts for nothing.
func (r *Replica) Survey(ctx context.Context, head Agreed) (*Changes, error) {
	if r.base == nil || r.root == nil {
		if err := r.peer(localfs.OpenOwn); err != nil {
			return nil, err
		}
		defer func() {
			r.Close()
			r.base = nil
		}()
	}
	if head.Lineage != "" && r.base.Mismatch(r.Workspace, r.Name, head.Lineage, head.Generation) != "" {
		was := r.base
		r.base = base.New(r.Dir(), base.Header{})
		defer func() { r.base = was }()
	}
	r.surveying = true
	defer func() { r.surveying = false }()
	return r.ScanIn(ctx, nil)
}

// peer opens the tree and its base for reading, and makes nothing.
func (r *Replica) peer(open localfs.OwnOpener) error {
	root, err := r.openRoot(0)
	if err != nil {
		return err
	}
	r.Close()
	r.root, r.base = root, base.New(r.Dir(), base.Header{})
	err = r.own.Hold(r.root, open, 0)
	var found *base.Base
	if err == nil {
		found, err = base.Open(r.Dir())
	}
	switch {
	case err == nil:
		r.base = found
	case errors.Is(err, base.ErrNone), errors.Is(err, fs.ErrNotExist):
	default:
		r.Close()
		r.base = nil
		return err
	}
	return nil
}
