package replica

import (
	"slices"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// Receive notes what the remote tree of a generation is. Nothing is placed;
// until Settle has placed it, nothing at the paths concerned is pushed.
func (r *Replica) Receive(t *store.Tree, ref string, epoch, generation int64) error {
	if err := r.base.Load(); err != nil {
		return err
	}
	r.capitals = t.Capitals
	r.note(t, ref, epoch, generation)
	return r.base.Save()
}

// note is Receive in memory alone. Remote paths that are not the replica's to
// carry are forgotten: its next generation lacks them.
func (r *Replica) note(t *store.Tree, ref string, epoch, generation int64) {
	h := &r.base.Header
	r.newer = ref != "" && h.Before == ref && (h.Ref == "" || h.Ref == ref)
	if h.Before = ""; r.newer {
		h.Before = ref // also after a crash, until there is a generation over it
	}
	h.Ref, h.Epoch, h.Generation, h.Filters = ref, epoch, generation, t.Filters
	h.Restored, h.Carries = false, r.Filter.Hash()
	r.asFiles, r.asFilesLeft = r.Wholes.AsFiles(t.Entries, r.carries), false
	if len(r.asFiles) > 0 {
		h.Carries = "" // until they are placed it was not all seen
	}
	r.base.Unplaced = r.differences(t)
}

// Received reports whether the base is that of ref already. Other filters than
// those it was seen through may show more of the same generation.
func (r *Replica) Received(ref string) bool {
	return r.base.Header.Ref == ref && r.base.Header.Carries == r.Filter.Hash()
}

// differences says how the part of a remote tree that is the replica's to
// carry differs from the base.
func (r *Replica) differences(t *store.Tree) []base.Change {
	t.Entries = pick(t.Entries, func(e *tree.Entry) bool {
		return tree.Within(e.Path, localfs.Dir) || r.carries(e.Path, e.Kind == tree.Dir)
	})
	localise(r.base, t.Entries)
	if t.Listed {
		t.Entries = withUnlisted(r.base, t.Entries)
	}
	return r.base.Differences(t.Entries)
}

// differs reports whether Receive would find anything to place.
func (r *Replica) differs(t *store.Tree) (bool, error) {
	if err := r.base.Load(); err != nil {
		return false, err
	}
	return !r.base.Header.Restored || len(r.differences(t)) > 0, nil
}

// ReceiveChanged receives a tree where there is anything in it to place, and reports
// whether there was.
func (r *Replica) ReceiveChanged(t *store.Tree, ref string, epoch, generation int64) (changed bool, err error) {
	if changed, err = r.differs(t); err != nil || !changed {
		return false, err
	}
	return true, r.Receive(t, ref, epoch, generation)
}

// localise gives listed entries that the base knows, by the store's own tag,
// what a listing cannot tell.
func localise(b *base.Base, entries []tree.Entry) {
	for i := range entries {
		e := &entries[i]
		row := b.Row(e.Path)
		switch {
		case row == nil || row.Kind != e.Kind:
		case e.Mode == tree.NoMode && (e.Kind == tree.Dir || e.Tag == row.Tag):
			*e = row.Entry
		}
	}
}

// withUnlisted adds to a listing what it has no word for, and what therefore
// must not be read as gone: directories, and what is kept aside.
func withUnlisted(b *base.Base, entries []tree.Entry) []tree.Entry {
	var more []tree.Entry
	for i := range b.Rows() {
		row := &b.Rows()[i]
		if (row.Kind == tree.Dir || tree.Within(row.Path, localfs.Dir)) && tree.Find(entries, row.Path) == nil && room(entries, row.Path) {
			more = append(more, row.Entry)
		}
	}
	out := slices.Concat(entries, more)
	tree.Sort(out)
	return out
}

// room reports whether nothing but directories is above a path.
func room(entries []tree.Entry, path string) bool {
	for dir := range tree.Parents(path) {
		if e := tree.Find(entries, dir); e != nil && e.Kind != tree.Dir {
			return false
		}
	}
	return true
}

func pick(entries []tree.Entry, keep func(*tree.Entry) bool) []tree.Entry {
	return slices.DeleteFunc(entries, func(e tree.Entry) bool { return !keep(&e) })
}
