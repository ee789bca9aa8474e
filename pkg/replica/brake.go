package replica

import (
	"strings"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/tree"
)

// open reports whether the first element of a path does not begin with a dot.
func open(path string) bool { return !strings.HasPrefix(path, ".") }

// loss counts what the deletions of lost, which Losing named, take.
func (r *Replica) loss(lost []tree.Entry, explained int, givesBack bool) (plan.Loss, error) {
	l := plan.Loss{Files: int(r.base.Totals().Files), Gone: len(lost), Explained: min(explained, len(lost)), GivesBack: givesBack}
	if !l.Many() {
		return l, nil
	}
	for i := range lost {
		if open(lost[i].Path) {
			l.OpenGone++
		}
	}
	err := r.base.Each(func(row *base.Row) error {
		if row.Kind != tree.Dir && !tree.Within(row.Path, localfs.Dir) && open(row.Path) {
			l.Open++
		}
		return nil
	})
	return l, err
}

// givesBack reports whether a kept generation has all that both sides agreed on, and the
// tree is the one that was synced last: what is missing in a copy of it was not deleted.
func (r *Replica) givesBack() bool {
	return r.Layout.ByContent() && !r.moved && r.base.Totals().Contentless == 0
}

// Trust notes that the tree is taken for the one that was synced last, though it has another
// device or inode: a whole walk found nothing in it that wants a person's word.
func (r *Replica) Trust() error {
	if !r.moved {
		return nil
	}
	dev, inode, err := r.root.Identity()
	if err != nil {
		return err
	}
	h := r.base.Header
	h.Device, h.Inode = dev, inode
	if err := r.base.Apply(base.Delta{Header: &h}); err != nil {
		return err
	}
	r.moved = false
	return nil
}

// losing names those in gone that take content away which nothing staged has: a renamed
// file is not lost.
func (s *Staged) losing(gone []tree.Entry) (lost []tree.Entry, err error) {
	if len(gone) == 0 {
		return nil, nil
	}
	wanted, still := map[tree.Sum]bool{}, map[tree.Sum]bool{}
	for i := range gone {
		wanted[gone[i].Sum] = true
	}
	note := func(c *base.Change) error {
		if wanted[c.Sum] {
			still[c.Sum] = true
		}
		return nil
	}
	for _, c := range s.Changes {
		_ = note(c)
	}
	if err := s.Spool.Each(note); err != nil {
		return nil, err
	}
	for _, e := range gone {
		if !tree.Within(e.Path, localfs.Dir) && plan.Loses(&e, still) {
			lost = append(lost, e)
		}
	}
	return lost, nil
}
