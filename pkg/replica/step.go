package replica

import (
	"fmt"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// Step is one new generation of a replica, not yet published.
type Step struct {
	Publication store.Publication
	Delta       base.Delta // the base's part; its header still lacks Ref
	Deleted     int        // files and links that the generation has no more
}

// MakeStep makes the step that what was staged leads to, with the deletions that may go,
// and notes in the base what is as agreed. nil: there is nothing new in it, unless one is
// wanted anyway. A whole tree in which nothing waits for a word is from now on the one
// that was synced last. The base must not change before the step is published.
func (r *Replica) MakeStep(staged *Staged, anyway bool, epoch, generation int64) (*Step, error) {
	if staged.cleared() {
		if err := r.Trust(); err != nil {
			return nil, err
		}
	}
	gone := r.gone(staged)
	forgotten := r.forgotten(staged)
	var err error
	if staged.Withheld, err = r.withhold(staged, gone, forgotten); err != nil {
		return nil, err
	}
	if err := r.base.Refresh(staged.Refreshed); err != nil {
		return nil, err
	}
	if staged.Len()+len(gone)+len(forgotten) == 0 && !anyway {
		return nil, nil
	}
	step, err := r.Next(staged, gone, forgotten, epoch, generation)
	if err != nil {
		return nil, err
	}
	return &step, nil
}

// gone are the deletions that go with a step: what was lost where that may go, and of
// wholes those that are gone with all else of their whole, or none of them. What a whole has
// no more goes with what it has instead.
func (r *Replica) gone(staged *Staged) []tree.Entry {
	if staged.Found == nil {
		return nil
	}
	gone := staged.Found.Gone
	if staged.Loss == nil || !staged.Goes {
		gone = append(r.Wholes.Deletions(gone, staged.Loss != nil), r.still.gone(staged)...)
	}
	wait := r.waitingWholes(staged)
	if len(wait) == 0 {
		return gone
	}
	return slices.DeleteFunc(slices.Clone(gone), func(e tree.Entry) bool { return base.ShadowRow(e.Path) && r.Wholes.In(e.Path, wait) })
}

// forgotten are the paths that go because they are not the replica's to carry any more. What
// is a whole now goes with its shadow.
func (o *Options) forgotten(staged *Staged) []string {
	if staged.Found == nil {
		return nil
	}
	wait := o.waitingWholes(staged)
	return slices.DeleteFunc(slices.Clone(staged.Found.Forgotten), func(path string) bool { return o.Wholes.In(path, wait) })
}

// Next makes the step that staged changes, deletions and forgotten paths lead
// to. The base must not change before it is published.
func (r *Replica) Next(staged *Staged, gone []tree.Entry, forgotten []string, epoch, generation int64) (Step, error) {
	h := r.base.Header
	h.Epoch, h.Generation, h.Filters, h.Before = epoch, generation, r.Filter.Rules(), ""
	if h.Restored && len(r.base.Unplaced) == 0 {
		h.Before = r.base.Header.Ref
	}
	s := Step{Delta: base.Delta{Header: &h, Spool: staged.Spool}, Publication: store.Publication{
		From: r.base.Header.Ref, Workspace: r.Workspace, Replica: r.Name, Epoch: epoch, Generation: generation, Filters: h.Filters,
	}}
	for _, c := range staged.Touched {
		s.Delta.Changes = append(s.Delta.Changes, *c)
	}
	for _, c := range staged.Changes {
		s.Delta.Changes = append(s.Delta.Changes, *c)
		if c.Was != 0 && c.Was != c.Kind {
			// A mirror keeps a file and a link of one name in two objects.
			s.Publication.Gone = append(s.Publication.Gone, tree.Entry{Path: c.Path, Kind: c.Was})
		}
	}
	leave := func(path string) {
		s.Delta.Changes = append(s.Delta.Changes, base.Change{Row: base.Row{Entry: tree.Entry{Path: path}}, Gone: true})
	}
	for i := range gone {
		leave(gone[i].Path)
		s.Publication.Gone = append(s.Publication.Gone, gone[i])
		if gone[i].Kind != tree.Dir {
			s.Deleted++
		}
	}
	for _, path := range forgotten {
		leave(path)
	}
	var err error
	if r.Layout.ByContent() {
		var without []string
		without, err = r.base.WithoutContent(&s.Delta)
		for _, path := range without {
			leave(path)
		}
	}
	s.Publication.Entries = r.base.After(&s.Delta, r.Layout.ByContent())
	if r.Layout.ByContent() && len(gone)+len(forgotten) == 0 {
		s.Publication.Edits, s.Publication.Known = r.base.Small(&s.Delta, staged.was())
	}
	return s, err
}

// withhold takes out of what is staged, and names, what would put a file or link in
// the place of a directory that, for the remote side, still has something in it: a
// deletion that waits for a word, or what this file system cannot show.
func (r *Replica) withhold(staged *Staged, gone []tree.Entry, forgotten []string) (waits []localfs.Unknown, err error) {
	open := r.holding(staged)
	replaced := map[string]bool{}
	for _, c := range staged.Changes {
		if c.Kind != tree.Dir && (c.Was == tree.Dir || open[c.Path]) {
			replaced[c.Path] = true
		}
	}
	if len(replaced) == 0 {
		return nil, nil
	}
	going := map[string]bool{}
	for i := range gone {
		going[gone[i].Path] = true
	}
	for _, path := range forgotten {
		going[path] = true
	}
	holds := map[string]string{} // what is in them
	err = r.base.EachRemote(func(row *base.Row) error {
		for dir := range tree.Parents(row.Path) {
			if replaced[dir] && holds[dir] == "" && !going[row.Path] {
				holds[dir] = strings.Clone(row.Path)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	staged.Changes = slices.DeleteFunc(staged.Changes, func(c *base.Change) bool {
		in := holds[c.Path]
		if in != "" {
			waits = append(waits, localfs.Unknown{Path: c.Path, Reason: fmt.Sprintf("it has the name of a directory that holds %q in the bucket", in)})
		}
		return in != ""
	})
	return waits, nil
}

// holding are the directories that have in them what this machine does not show: they may be
// gone here, and from the bucket too, while that stays.
func (r *Replica) holding(staged *Staged) map[string]bool {
	in := map[string]bool{}
	note := func(path string) {
		for dir := range tree.Parents(path) {
			in[dir] = true
		}
	}
	if staged.Found != nil {
		for i := range staged.Found.Unknown {
			note(staged.Found.Unknown[i].Path)
		}
	}
	for i := range r.base.Unplaced {
		note(r.base.Unplaced[i].Path)
	}
	return in
}
