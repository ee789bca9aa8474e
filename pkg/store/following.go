package store

import (
	"os"
	"path"

	"github.com/coltec/coltec/pkg/tree"
)

// published is the manifest that was made last here, so that a few edits make the next one:
// neither all rows nor the full manifest are read for those.
type published struct {
	ref, base string
	of        fullOne // base
	lines     []differing
	count
}

// rememberedMost is how many lines a manifest has of which they are remembered: some 300 bytes
// each.
const rememberedMost = 2000

// publishedAs is what is remembered of a manifest of a generation; nil for one with too many lines.
// One without a base is a full one.
func publishedAs(ref, base string, d *difference, c count, of fullOne, generation int64) *published {
	switch {
	case base == "":
		return &published{ref: ref, base: ref, of: fullOne{c.rows, generation}, count: c}
	case len(d.lines) > rememberedMost:
		return nil
	}
	return &published{ref: ref, base: base, of: of, lines: d.lines, count: c}
}

// following is the difference of a tree of which all edits since the manifest that was made last
// are known; nil where all of it is to be compared. A line may say what the full manifest does:
// it is dropped when that is compared.
func (s *Snapshot) following(p Publication) (base string, d *difference, of fullOne) {
	l := s.last
	if l == nil || !p.Known || p.From != l.ref || !stands(p.Edits) {
		return "", nil, of
	}
	if info, err := os.Lstat(s.localFile(l.base)); err != nil || !info.Mode().IsRegular() {
		return "", nil, of // somebody removed what is here: the next one is full
	}
	d = &difference{lines: make([]differing, 0, len(l.lines)+len(p.Edits)), count: l.count}
	rest := l.lines
	for i := range p.Edits {
		now := p.Edits[i].Now
		if checkEntry(&now) != nil || Capital(now.Path) {
			return "", nil, of // it is said where all are gone through
		}
		for len(rest) > 0 && tree.Compare(rest[0].path, now.Path) < 0 {
			d.lines, rest = append(d.lines, rest[0]), rest[1:]
		}
		if len(rest) > 0 && rest[0].path == now.Path {
			rest = rest[1:]
		}
		if was := p.Edits[i].Was; was != nil {
			d.remove(was)
		}
		d.add(&now)
		d.has(&now)
	}
	d.lines = append(d.lines, rest...)
	if len(d.lines) > l.of.largest(p.Generation) {
		return "", nil, of
	}
	return l.base, d, l.of
}

// stands reports whether edits leave each row in a directory: no kind changes from or to one, and
// what is new is in one of the edits, or in none. Of others only the whole tree tells.
func stands(edits []tree.Edit) bool {
	dirs := map[string]bool{".": true}
	for i := range edits {
		e := &edits[i]
		isDir := e.Now.Kind == tree.Dir
		if e.Was != nil && (e.Was.Kind == tree.Dir) != isDir || e.Was == nil && !dirs[path.Dir(e.Now.Path)] {
			return false
		}
		if isDir {
			dirs[e.Now.Path] = true // it comes before what is in it
		}
	}
	return true
}
