package replica

import (
	"strings"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/tree"
)

// Loss is what deletions at once would take from a tree, by numbers of files and links.
// What lives on under another name is not lost.
type Loss struct {
	Files int // that both sides agreed on
	Gone  int // of these, those that would be gone
	// Open and OpenGone are those of them at whose root no name begins with a dot: what
	// `rm -rf *` takes.
	Open, OpenGone int
	Explained      int // of those gone: a person or git had a say in them
	Lately         int // that went shortly before: a removal that takes long is seen in steps
	// GivesBack says that one command brings them back from a kept generation, and that
	// the tree is the one that was synced last.
	GivesBack bool
}

// Waits reports whether the deletions wait for a person's word. What was not explained
// does where it is many and nothing gives it back, and where (nearly) all is gone: a tree
// that was wiped, or is not mounted, looks like that.
func (l Loss) Waits() bool {
	files, gone := l.Files-l.Explained, l.Gone-l.Explained
	if l.GivesBack && l.Explained == 0 { // else what went before may be of the same act
		files, gone = files+l.Lately, gone+l.Lately
	}
	switch {
	case !many(files, gone):
		return false
	case !l.GivesBack:
		return true
	}
	return nearlyAll(files, gone) || nearlyAll(l.Open-l.Explained, l.OpenGone-l.Explained)
}

// Many reports whether so many would be gone, explained or not, that a person should know.
func (l Loss) Many() bool { return many(l.Files, l.Gone) }

// many is one side emptied, or more than half and more than ten files.
func many(files, gone int) bool {
	return files >= 2 && gone >= files || gone > 10 && gone > files/2
}

// nearlyAll is nine of ten: what is left of a tree that was wiped are a few dotfiles, or
// what was written since.
func nearlyAll(files, gone int) bool { return files >= 2 && gone*10 >= files*9 }

// open reports whether the first element of a path does not begin with a dot.
func open(path string) bool { return !strings.HasPrefix(path, ".") }

// Loss counts what the deletions of lost, which Losing named, take.
func (r *Replica) Loss(lost []tree.Entry, explained int, givesBack bool) (Loss, error) {
	l := Loss{Files: int(r.base.Totals().Files), Gone: len(lost), Explained: min(explained, len(lost)), GivesBack: givesBack}
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

// GivesBack reports whether a kept generation has all that both sides agreed on, and the
// tree is the one that was synced last: what is missing in a copy of it was not deleted.
func (r *Replica) GivesBack() bool {
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

// Losing names those in gone that take content away which nothing staged has: a renamed
// file is not lost.
func (s *Staged) Losing(gone []tree.Entry) (lost []tree.Entry, err error) {
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
