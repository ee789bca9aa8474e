package whole

import (
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// Shadow is one whole of a tree.
type Shadow struct {
	Kind
	Name    string       // where the whole is, in the tree that it is of
	Entries []tree.Entry // of its shadow, by their paths in that; sorted
}

// ShadowsIn lists the wholes of a tree, those of one kind after those of another.
func (k Kinds) ShadowsIn(t *store.Tree) []Shadow {
	var all []Shadow
	for _, one := range k {
		l := one.Layout()
		at := map[string]int{}
		for i := range t.Entries {
			if name, ok := l.marked(t.Entries[i].Path); ok {
				at[name] = len(all)
				all = append(all, Shadow{Kind: one, Name: name})
			}
		}
		for _, e := range t.Entries {
			below, ok := l.below(e.Path)
			name := deepest(below, at)
			if !ok || name == "" || below == name {
				continue
			}
			e.Path = below[len(name)+1:]
			s := &all[at[name]]
			s.Entries = append(s.Entries, e)
		}
	}
	for _, s := range all {
		tree.Sort(s.Entries)
	}
	return all
}
