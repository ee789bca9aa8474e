package frozen

import (
	"path"
	"strings"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

var _ whole.Kind = Kind{}

// Layout is how shadows lie: each is the directory as it was, with a mark.
func (Kind) Layout() whole.Layout { return layout }

// Leads reports that no name leads to one: the spec names them.
func (Kind) Leads(string) bool { return false }

// Around is the directory that a path is in, by the name of its shadow.
func (k Kind) Around(p string) string {
	if in := k.at(p); in != nil {
		return in.name()
	}
	return ""
}

// Of is the directory that a path of a shadow belongs to.
func (k Kind) Of(p string) string {
	below := strings.TrimPrefix(p, layout.Dir+"/")
	for _, one := range k.Paths {
		if tree.Within(below, one.name()) {
			return one.known()
		}
	}
	return below
}

// Place is where a path of a shadow belongs: all but the mark is the directory itself.
func (Kind) Place(below string) (string, bool) {
	if below == All || path.Base(below) == markName {
		return "", false
	}
	return strings.TrimPrefix(below, All+"/"), true
}

// AsFiles finds the directories that a tree has as files, where they are frozen now.
func (k Kind) AsFiles(entries []tree.Entry, carries func(path string, dir bool) bool) map[string][]tree.Entry {
	found := map[string][]tree.Entry{}
	for _, p := range k.Paths {
		if tree.Find(entries, layout.Dir+"/"+p.name()+"/"+markName) != nil {
			continue
		}
		for _, e := range entries {
			in := p.Path == "" || tree.Within(e.Path, p.Path) && e.Path != p.Path
			if in && !tree.Within(e.Path, localfs.Dir) && !carries(e.Path, e.Kind == tree.Dir) && k.takes(e.Path, e.Kind == tree.Dir) {
				found[p.name()] = append(found[p.name()], e)
			}
		}
	}
	return found
}

// Misleads says nothing: what is in a directory is placed as files are.
func (Kind) Misleads(*tree.Entry) (at, why string) { return "", "" }

// Watched adds the directories to what of a tree is watched.
func (k Kind) Watched(m localfs.Matcher) localfs.Matcher {
	if len(k.Paths) == 0 {
		return m
	}
	return watched{m, k}
}

// Carry makes what carries the directories of a tree.
func (k Kind) Carry(o whole.Options) whole.Carrier { return newCarrier(k, o) }

// watched matches what of a tree is watched.
type watched struct {
	localfs.Matcher
	k Kind
}

// Dir reports whether a directory is watched.
func (w watched) Dir(p string) bool {
	return w.Matcher.Dir(p) || w.k.at(p) != nil && w.k.takes(p, true)
}

// File reports whether a file is.
func (w watched) File(p string) bool {
	return w.Matcher.File(p) || w.k.at(p) != nil && w.k.takes(p, false)
}
