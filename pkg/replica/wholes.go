package replica

import (
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// leads reports whether a path has a name that leads to a whole.
func (o *Options) leads(p string) bool { return o.Wholes.Leads(path.Base(p)) }

// waiting reports whether the remote side of a path waits to be placed. A whole that waits
// is another's business.
func (r *Replica) waiting() bool {
	return slices.ContainsFunc(r.base.Unplaced, func(u base.Change) bool { return !base.ShadowRow(u.Path) })
}

// Agrees reports whether the file or the link at a path is one that was pushed from here, or
// came from the remote side, or is just coming: what somebody here has made since is
// another. Where the base cannot be asked, it may be.
func (r *Replica) Agrees(path string) bool {
	if r.base == nil {
		return true
	}
	rows, err := r.base.Lookup(map[string]bool{path: true})
	if err != nil {
		return true
	}
	row, known := rows[path]
	coming := r.base.RemoteAt(path)
	return known && r.looks(&row.Entry) || coming != nil && !coming.Gone && r.looks(&coming.Entry)
}

// looks reports whether what is here at the path of a file or a link is as an entry says.
func (o *Options) looks(e *tree.Entry) bool {
	file := filepath.Join(o.Path, e.Path)
	switch e.Kind {
	case tree.File:
		return e.Sum == tree.Sum{} || e.Sum == localfs.SumOf(file) // of a plain object nobody knows
	case tree.Link:
		target, err := os.Readlink(file)
		return err == nil && target == e.Link
	}
	return false
}

// refers reports whether a path is a file of a shadow that names what is in its bulk.
func (o *Options) refers(path string) bool { return base.ShadowRow(path) && !o.Wholes.Bulk(path) }

// AsFiles are the wholes that the remote side has as files, until they were tried.
func (r *Replica) AsFiles() map[string][]tree.Entry { return r.asFiles }

// TriedAsFiles notes that some of them were; where not all could be placed, a later start
// tries again.
func (r *Replica) TriedAsFiles(some map[string][]tree.Entry, all bool) error {
	for at := range some {
		delete(r.asFiles, at)
	}
	r.asFilesLeft = r.asFilesLeft || !all
	if len(r.asFiles) > 0 || r.asFilesLeft {
		return nil
	}
	h := r.base.Header
	h.Carries = r.Filter.Hash()
	return r.base.Apply(base.Delta{Header: &h})
}
