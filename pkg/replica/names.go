package replica

import (
	"fmt"
	"strings"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/tree"
)

// names are the paths of a tree as its file system shows them.
type names struct {
	quirks localfs.Quirks
	base   *base.Base
}

// asAgreed gives sightings the names that the sides agreed on, where the file
// system shows others than it was given.
func (n names) asAgreed(seen []localfs.Entry, unknown []localfs.Unknown) ([]localfs.Entry, []localfs.Unknown) {
	if !n.quirks.Rewrites || n.base == nil {
		return seen, unknown
	}
	names := agreedNames{key: n.quirks.Key, remote: map[string]string{}, placed: map[string]string{}, exact: map[string]bool{}}
	for _, e := range n.base.Remote() {
		names.exact[e.Path] = true
		if key := names.keyOf(e.Path); names.remote[key] == "" {
			names.remote[key] = e.Path
		}
	}
	for i := range n.base.Rows() {
		path := n.base.Rows()[i].Path
		names.placed[names.keyOf(path)] = path
	}
	for i := range seen {
		seen[i].Path = names.of(seen[i].Path)
	}
	for i := range unknown {
		unknown[i].Path = names.of(unknown[i].Path)
	}
	localfs.Sort(seen)
	return seen, unknown
}

// agreedNames are the paths that the sides agreed on, by what they are shown
// as. A directory is named before what is in it: two that are one here may hold
// the same name, and what is in the one that is here is not the other's.
type agreedNames struct {
	key    func(string) string
	remote map[string]string // path by keyOf, the first one of several
	placed map[string]string // of those, what was placed here has the name
	exact  map[string]bool   // paths of the remote side
}

// keyOf is the same for all paths in one directory that are one here.
func (n *agreedNames) keyOf(path string) string {
	cut := strings.LastIndexByte(path, '/') + 1
	return path[:cut] + n.key(path[cut:])
}

// of is the agreed path of a sighting.
func (n *agreedNames) of(path string) string {
	agreed := ""
	for i, name := range strings.Split(path, "/") {
		if i > 0 {
			agreed += "/"
		}
		shown := agreed + name
		key := agreed + n.key(name)
		switch {
		case n.placed[key] != "":
			agreed = n.placed[key]
		case n.remote[key] != "" && !n.exact[shown]:
			agreed = n.remote[key]
		default:
			agreed = shown
		}
	}
	return agreed
}

// unshowable names the topmost paths of the remote tree that this file system
// cannot show. They, and what is below them, are unknown here: they stay in
// the remote tree, and that they are not seen says nothing.
func (n names) unshowable(remote []tree.Entry, seen []localfs.Entry) []localfs.Unknown {
	var out []localfs.Unknown
	if n.quirks.NoLinks {
		for i := range remote {
			e := &remote[i]
			if n, ok := localfs.Search(seen, e.Path); e.Kind == tree.Link && !tree.Within(e.Path, localfs.Dir) && (!ok || seen[n].Kind != tree.Link) {
				out = append(out, localfs.Unknown{Path: e.Path, Reason: "it is a symlink, and the file system here has none; it stays in the bucket"})
			}
		}
	}
	if n.quirks.MergeNames() {
		out = append(out, n.twins(remote, seen)...)
	}
	return out
}

// twins names the paths of a tree that are one with another's name here. One
// of them can be shown: the one that is.
func (n names) twins(remote []tree.Entry, seen []localfs.Entry) []localfs.Unknown {
	groups := map[string][]string{}
	for i := range remote {
		if key := n.quirks.Key(remote[i].Path); !tree.Within(remote[i].Path, localfs.Dir) {
			groups[key] = append(groups[key], remote[i].Path)
		}
	}
	lost := map[string]bool{}
	var out []localfs.Unknown
	for i := range remote { // parents come first
		key := n.quirks.Key(remote[i].Path)
		group := groups[key]
		delete(groups, key)
		rivals := group[:0]
		for _, path := range group {
			if !below(path, lost) {
				rivals = append(rivals, path)
			}
		}
		owner := n.owner(rivals, seen)
		for _, path := range rivals {
			if path != owner {
				lost[path] = true
				out = append(out, localfs.Unknown{Path: path, Reason: twinReason(owner)})
			}
		}
	}
	return out
}

func twinReason(owner string) string {
	return fmt.Sprintf("its name is one with %q on the file system here; it stays in the bucket", owner)
}

// below reports whether a path lies under one of a set.
func below(path string, set map[string]bool) bool {
	if len(set) == 0 {
		return false
	}
	for dir := range tree.Parents(path) {
		if set[dir] {
			return true
		}
	}
	return false
}

// owner picks the path that has a name which several want: the one that is
// shown, then the one that was, then the first.
func (n names) owner(paths []string, seen []localfs.Entry) string {
	if len(paths) < 2 {
		return strings.Join(paths, "")
	}
	best, score := "", -1
	for _, path := range paths {
		s := 0
		if n.base.Row(path) != nil {
			s++
		}
		if localfs.Sighted(seen, path) {
			s += 2
		}
		if s > score {
			best, score = path, s
		}
	}
	return best
}

// changed reports whether a sighting is not what the base saw at its path.
func changed(q localfs.Quirks, row *base.Row, s *localfs.Entry) bool {
	if q.NoModes && row.Kind == s.Kind {
		as := *s
		as.Mode = row.Seen.Mode
		return row.Changed(&as)
	}
	return row.Changed(s)
}

// entryOf makes the entry of a sighting; row is what the base has there. A mode
// that the file system made up is none.
func entryOf(q localfs.Quirks, s *localfs.Entry, row *base.Row) tree.Entry {
	e := base.EntryOf(s, row)
	if !q.NoModes || s.Kind == tree.Link {
		return e
	}
	e.Mode = tree.NoMode
	if row != nil && row.Kind == s.Kind {
		e.Mode = row.Mode
	}
	return plan.WithMode(e, nil)
}
