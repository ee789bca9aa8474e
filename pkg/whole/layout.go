package whole

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// Layout is how the shadows of a kind lie. It is what is in the bucket, too.
type Layout struct {
	Noun string // what wholes of the kind are called, by many
	Dir  string // of the shadows, in the replica's own directory
	// Mark is the file that makes a shadow whole: it is removed before one changes, and
	// written last.
	Mark string
	// Gone is the file of a shadow whose whole was removed: all its rows go. It is not a row.
	Gone string
	// Bulk is the directory of a shadow that has what never changes under its name, and
	// says nothing by itself: all else of the shadow names what is in it. "" is none.
	Bulk string
	// A file of Bulk whose name ends in Spared may be missing here: it was not needed. The
	// one of the same name that ends in Stands is here for it then. "": none is spared.
	Spared, Stands string
	// Content says that wholes are found by their content: what they are here is no file to
	// carry, whatever its name.
	Content bool
	// Dirs says that each directory of a shadow is a row, not those alone in which nothing is:
	// its mode is content.
	Dirs bool
}

// below gives what of a path lies below the directory of the shadows.
func (l *Layout) below(path string) (below string, ok bool) {
	return strings.CutPrefix(path, l.Dir+"/")
}

// marked gives the whole whose mark lies at a path.
func (l *Layout) marked(p string) (whole string, ok bool) {
	below, ok := l.below(p)
	if !ok || path.Base(below) != l.Mark {
		return "", false
	}
	return path.Dir(below), true
}

// bulk reports whether a path is one of Bulk, in a shadow.
func (l *Layout) bulk(path string) bool {
	return l.Bulk != "" && tree.Within(path, l.Dir) && strings.Contains(path, "/"+l.Bulk+"/")
}

// standsFor gives the file that is here for one that may be missing; ok is false for others.
func (l *Layout) standsFor(path string) (by string, ok bool) {
	stem, ok := strings.CutSuffix(path, l.Spared)
	return stem + l.Stands, ok && l.Spared != "" && l.bulk(path)
}

// spares gives the file that may be missing here where another stands for it; ok is false for
// what stands for none.
func (l *Layout) spares(path string) (spared string, ok bool) {
	stem, ok := strings.CutSuffix(path, l.Stands)
	return stem + l.Spared, ok && l.Spared != "" && l.bulk(path)
}

// Shadows are those of a tree, as a walk met them.
type Shadows struct {
	Seen []localfs.Entry // of those that are whole, of all kinds
	of   []*shadows
}

// Gone reports whether a row is of a shadow that has it no more.
func (s *Shadows) Gone(path string) bool {
	for _, one := range s.of {
		if tree.Within(path, one.Dir) {
			return one.gone(path)
		}
	}
	return false
}

// shadows are those of one kind.
type shadows struct {
	Layout
	seen   []localfs.Entry
	there  map[string]bool
	whole  map[string]bool        // whether the shadow of a whole is whole
	hidden func(path string) bool // what the walk could not see
}

// walk lists the shadows that are whole: they are pushed like any file.
func (l Layout) walk(ctx context.Context, root localfs.FileSystem) (*shadows, error) {
	seen, unknown, err := root.Walk(ctx, l.Dir, localfs.Everything{})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the copies of %s: %w", l.Noun, err)
	}
	for i := range unknown {
		unknown[i].Path = localfs.Join(l.Dir, unknown[i].Path)
	}
	s := &shadows{Layout: l, there: map[string]bool{}, whole: map[string]bool{}, hidden: localfs.HiddenBy(unknown)}
	gone := map[string]bool{}
	for i := range seen {
		if at, ok := strings.CutSuffix(seen[i].Path, "/"+l.Bulk); ok && l.Bulk != "" && seen[i].Kind == tree.Dir {
			s.whole[at] = s.whole[at] || false
		}
		if at, ok := strings.CutSuffix(seen[i].Path, "/"+l.Mark); ok && seen[i].Kind == tree.File {
			s.whole[at] = true
		}
		if at, ok := strings.CutSuffix(seen[i].Path, "/"+l.Gone); ok {
			s.whole[at] = true
			gone[at] = true
		}
	}
	for i, e := range seen {
		empty := i+1 == len(seen) || !tree.Within(seen[i+1].Path, e.Path)
		at := s.wholeOf(e.Path)
		if e.Kind == tree.Dir && !empty && !l.Dirs || !s.whole[at] || gone[at] {
			continue
		}
		e.Path = localfs.Join(l.Dir, e.Path)
		s.seen = append(s.seen, e)
		s.there[e.Path] = true
	}
	return s, nil
}

// wholeOf is the one that a path below the shadows belongs to; "" for none.
func (s *shadows) wholeOf(path string) string { return deepest(path, s.whole) }

// deepest is the longest path of a set that is at or above a path; "" for none.
func deepest[V any](path string, set map[string]V) string {
	for {
		if _, ok := set[path]; ok {
			return path
		}
		i := strings.LastIndexByte(path, '/')
		if i < 0 {
			return ""
		}
		path = path[:i]
	}
}

// gone reports whether a row of a shadow is one that the shadow has no more. What was not
// needed here is missing without that.
func (s *shadows) gone(path string) bool {
	below, _ := s.below(path)
	if s.there[path] || s.hidden(path) || !s.whole[s.wholeOf(below)] {
		return false
	}
	by, spared := s.standsFor(path)
	return !spared || !s.there[by] && !s.hidden(by)
}
