package whole

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// Agreement is what both sides of a replica agreed on, of the wholes of one kind, and what
// of them waits.
type Agreement struct {
	layout Layout
	base   *base.Base
	tree   string // where the replica is
}

// NewAgreement is that of the replica at a path, with a base.
func NewAgreement(l Layout, b *base.Base, tree string) Agreement { return Agreement{l, b, tree} }

// Waiting gives, for each whole whose remote shadow was not settled here yet, what the
// remote side has of it.
func (a Agreement) Waiting() map[string][]tree.Entry {
	waits := false
	for i := range a.base.Unplaced {
		waits = waits || tree.Within(a.base.Unplaced[i].Path, a.layout.Dir)
	}
	if !waits {
		return nil
	}
	all := map[string][]tree.Entry{}
	remote := a.base.Remote()
	for i := range remote {
		if whole, ok := a.layout.marked(remote[i].Path); ok {
			all[whole] = nil
		}
	}
	for i := range remote {
		if below, ok := a.layout.below(remote[i].Path); ok {
			if whole := deepest(below, all); whole != "" {
				all[whole] = append(all[whole], remote[i])
			}
		}
	}
	waiting := map[string][]tree.Entry{}
	for i := range a.base.Unplaced {
		if below, ok := a.layout.below(a.base.Unplaced[i].Path); ok {
			whole := deepest(below, all)
			waiting[whole] = all[whole]
		}
	}
	return waiting
}

// Agreed reports whether the shadow of a whole here is what both sides last agreed on, so
// that it can tell who changed what since: what the base has, or, after a crash, what was
// just brought here.
func (a Agreement) Agreed(whole string) bool {
	if a.base.Load() != nil {
		return false // nothing is known
	}
	return a.shows(whole, a.base.Entries()) || a.shows(whole, a.base.Remote())
}

// Rows gives those of a whole's shadow that both sides last agreed on.
func (a Agreement) Rows(whole string) ([]tree.Entry, error) {
	if err := a.base.Load(); err != nil {
		return nil, err
	}
	var out []tree.Entry
	rows := a.base.Rows()
	shadow := a.layout.Dir + "/" + whole
	for i := range rows {
		if e := &rows[i].Entry; tree.Within(e.Path, shadow) && e.Path != shadow {
			out = append(out, *e)
		}
	}
	return out, nil
}

// shows reports whether the shadow of a whole here is the one among entries.
func (a Agreement) shows(whole string, entries []tree.Entry) bool {
	within := a.layout.Dir + "/" + whole
	found := false
	for i := range entries {
		e := &entries[i]
		if !tree.Within(e.Path, within) || e.Kind != tree.File || a.layout.Bulk != "" && strings.HasPrefix(e.Path[len(within):], "/"+a.layout.Bulk+"/") {
			continue
		}
		found = true
		if localfs.SumOf(filepath.Join(a.tree, e.Path)) != e.Sum {
			return false
		}
	}
	return found
}

// Vanished lists the wholes that both sides had and the remote one has no more.
func (a Agreement) Vanished() []string {
	var out []string
	for i := range a.base.Unplaced {
		u := &a.base.Unplaced[i]
		if whole, ok := a.layout.marked(u.Path); ok && u.Gone {
			out = append(out, whole)
		}
	}
	return out
}

// Moved settles what the remote side has of shadows as it was, but in another place of the
// store.
func (a Agreement) Moved() error {
	return a.settle(func(u *base.Change) bool {
		row := a.base.Row(u.Path)
		if !tree.Within(u.Path, a.layout.Dir) || u.Gone || row == nil || !row.Same(&u.Entry) {
			return false
		}
		u.Seen = row.Seen
		return true
	})
}

// Settle notes that the remote shadow of a whole is the one here now; "" stands for those
// that the remote side has no more. files are paths at which it was files before it was a
// whole: what waits there is settled with it.
func (a Agreement) Settle(whole string, files ...string) error {
	waiting := a.Waiting()
	return a.settle(func(u *base.Change) bool {
		below, ok := a.layout.below(u.Path)
		return ok && deepest(below, waiting) == whole || u.Gone && slices.Contains(files, u.Path)
	})
}

// WasFile gives what both sides agreed on at the path of a file that the remote side has no
// more as one; nil for nothing.
func (a Agreement) WasFile(path string) *tree.Entry {
	if u := a.base.RemoteAt(path); u == nil || !u.Gone || a.base.Load() != nil {
		return nil
	}
	if row := a.base.Row(path); row != nil && row.Kind == tree.File {
		return &row.Entry
	}
	return nil
}

// settle takes those changes over that are settled.
func (a Agreement) settle(settled func(*base.Change) bool) error {
	var d base.Delta
	for _, u := range a.base.Unplaced {
		if settled(&u) {
			d.Changes = append(d.Changes, u)
		}
	}
	if len(d.Changes) == 0 {
		return nil
	}
	return a.base.Apply(d)
}

// Lost lists what is to be removed of the shadows here, in that order, because a file that was
// spared is neither here nor in the bucket: it did not have to come here, and the bucket is
// another one now. What is known is known with all that it reaches, so without one of them
// none counts. The next capture makes all anew.
func (a Agreement) Lost(ctx context.Context, root localfs.FileSystem) (paths []string, err error) {
	s, err := a.layout.walk(ctx, root)
	if err != nil {
		return nil, err
	}
	missing := map[string]bool{}
	for _, e := range s.seen {
		spared, stands := s.spares(e.Path)
		if u := a.base.RemoteAt(spared); stands && !s.there[spared] && !s.hidden(spared) && (u == nil || u.Gone) {
			missing[spared] = true
		}
	}
	rows, err := a.base.Lookup(missing)
	if err != nil {
		return nil, err
	}
	lost := map[string]bool{}
	for spared := range missing {
		if _, agreed := rows[spared]; !agreed {
			below, _ := s.below(spared)
			lost[s.wholeOf(below)] = true
		}
	}
	for whole := range lost {
		paths = append(paths, s.Dir+"/"+whole+"/"+s.Mark)
	}
	for _, e := range s.seen {
		below, _ := s.below(e.Path)
		if _, stands := s.spares(e.Path); stands && lost[s.wholeOf(below)] {
			paths = append(paths, e.Path)
		}
	}
	return paths, nil
}
