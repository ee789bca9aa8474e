package whole

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// Kinds are several of them; nil is none.
type Kinds []Kind

// Leads reports whether a name leads to a whole.
func (k Kinds) Leads(name string) bool {
	return slices.ContainsFunc(k, func(one Kind) bool { return one.Leads(name) })
}

// Of gives the whole that a row belongs to, as people know it; ok is false for a row of none.
func (k Kinds) Of(path string) (whole string, ok bool) {
	for _, one := range k {
		if l := one.Layout(); tree.Within(path, l.Dir) && path != l.Dir {
			return one.Of(path), true
		}
	}
	return "", false
}

// Bulk reports whether a row is of what never changes under its name.
func (k Kinds) Bulk(path string) bool {
	return slices.ContainsFunc(k, func(one Kind) bool { l := one.Layout(); return l.bulk(path) })
}

// Shadows walks those that are whole.
func (k Kinds) Shadows(ctx context.Context, root localfs.FileSystem) (*Shadows, error) {
	all := &Shadows{}
	for _, one := range k {
		s, err := one.Layout().walk(ctx, root)
		if err != nil {
			return nil, err
		}
		all.Seen, all.of = append(all.Seen, s.seen...), append(all.of, s)
	}
	return all, nil
}

// In reports whether a path is of one of some wholes: in the shadow of one, or, of those that
// are found by their content, what it is here.
func (k Kinds) In(path string, some map[string]bool) bool {
	if len(some) == 0 {
		return false
	}
	if at, ok := k.Of(path); ok {
		return some[at]
	}
	return slices.ContainsFunc(k, func(one Kind) bool { l := one.Layout(); return l.Content && (some[path] || some[one.Around(path)]) })
}

// Covers tells the paths of a tree that are no files, because the tree has a whole there that
// was found by its content: a row at one is of before it was a whole.
func (k Kinds) Covers(entries []tree.Entry) func(path string) bool {
	type found struct {
		Kind
		at map[string]bool
	}
	var all []found
	for _, one := range k {
		l := one.Layout()
		if !l.Content {
			continue
		}
		f := found{one, map[string]bool{}}
		for i := range entries {
			if at, ok := l.marked(entries[i].Path); ok {
				f.at[at] = true
			}
		}
		if len(f.at) > 0 {
			all = append(all, f)
		}
	}
	return func(path string) bool {
		return slices.ContainsFunc(all, func(f found) bool { return f.at[path] || f.at[f.Around(path)] })
	}
}

// AsFiles finds the wholes that a tree has as files: it was written before they were wholes.
func (k Kinds) AsFiles(entries []tree.Entry, carries func(path string, dir bool) bool) map[string][]tree.Entry {
	all := map[string][]tree.Entry{}
	for _, one := range k {
		maps.Copy(all, one.AsFiles(entries, carries))
	}
	return all
}

// Shadowed gives the whole that a path of a tree is in, where the tree has its shadow; "" for
// none.
func (k Kinds) Shadowed(entries []tree.Entry, path string) string {
	for _, one := range k {
		l := one.Layout()
		for _, around := range []string{path, one.Around(path)} {
			if around != "" && tree.Find(entries, l.Dir+"/"+around+"/"+l.Mark) != nil {
				return around
			}
		}
	}
	return ""
}

// Deletions are the rows of wholes among those that go: with all else of their whole, or
// not at all. Where deletions are held, so are those of all of a whole.
func (k Kinds) Deletions(gone []tree.Entry, held bool) []tree.Entry {
	var out []tree.Entry
	for _, one := range k {
		l := one.Layout()
		var removed []string // with their mark, all of them goes
		for i := range gone {
			if whole, ok := l.marked(gone[i].Path); ok {
				removed = append(removed, l.Dir+"/"+whole+"/")
			}
		}
		for _, row := range gone {
			within := func(whole string) bool { return strings.HasPrefix(row.Path, whole) }
			if tree.Within(row.Path, l.Dir) && !(held && slices.ContainsFunc(removed, within)) {
				out = append(out, row)
			}
		}
	}
	return out
}

// Laid gives a tree the wholes that it has shadows of, where they belong, without the
// replica's own directory.
func (k Kinds) Laid(t *store.Tree) *store.Tree {
	out := &store.Tree{Filters: t.Filters}
	whole := map[string]bool{} // what is a file that leads elsewhere is the whole itself then
	for i := range t.Entries {
		for _, one := range k {
			l := one.Layout()
			if at, ok := l.marked(t.Entries[i].Path); ok {
				whole[at] = true
			}
		}
	}
	for _, e := range t.Entries {
		if e.Kind != tree.Dir && whole[e.Path] {
			continue
		}
		if place, ok := k.place(e.Path); ok {
			e.Path = place
		}
		if !tree.Within(e.Path, localfs.Dir) {
			out.Entries = append(out.Entries, e)
		}
	}
	tree.Sort(out.Entries)
	return out
}

// place gives where a row of a shadow belongs.
func (k Kinds) place(path string) (place string, ok bool) {
	for _, one := range k {
		l := one.Layout()
		if below, ok := l.below(path); ok {
			return one.Place(below)
		}
	}
	return "", false
}

// Harmless leaves out of a tree what would lead whoever finds it elsewhere: what is put in its
// place file by file is read as something that its user made.
func (k Kinds) Harmless(t *store.Tree) (*store.Tree, []localfs.Unknown) {
	var left []localfs.Unknown
	out := *t
	out.Entries = slices.DeleteFunc(slices.Clone(t.Entries), func(e tree.Entry) bool {
		for _, one := range k {
			if path, why := one.Misleads(&e); why != "" {
				left = append(left, localfs.Unknown{Path: path, Reason: why})
				return true
			}
		}
		return false
	})
	return &out, left
}

// Watched is of what is watched: what m matches, and of wholes what shows that they changed.
func (k Kinds) Watched(m localfs.Matcher) localfs.Matcher {
	for _, one := range k {
		m = one.Watched(m)
	}
	return m
}

// Carry makes what carries the wholes of one tree.
func (k Kinds) Carry(o Options) Carriers {
	var all Carriers
	for _, one := range k {
		if c := one.Carry(o); c != nil {
			all = append(all, c)
		}
	}
	return all
}
