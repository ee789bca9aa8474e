package replica

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/tree"
	"golang.org/x/text/unicode/norm"
)

// traits are how a file system falls short of what trees carry: that of a
// folder shared with macOS or Windows, of a USB stick. The zero value falls
// short of nothing.
type traits struct {
	noModes    bool          // permission bits do not stay as they are set
	noLinks    bool          // there are no symlinks
	folds      bool          // names that differ in case alone are one
	normalizes bool          // names that differ in Unicode's normal form alone are one
	rewrites   bool          // a name is shown in another normal form than it was given in
	grain      time.Duration // of modification times, where it is a second or more
}

// probeDir is where traits are found out, within the replica's own directory.
const probeDir = Dir + "/probe"

// probeTraits finds out what the file system of a tree can do, by trying, in its own
// directory.
func probeTraits(files FileSystem, own string) (traits, error) {
	dir := filepath.Join(own, filepath.Base(probeDir))
	if err := os.RemoveAll(dir); err != nil {
		return traits{}, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return traits{}, err
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		return traits{}, err
	}
	files.Forget() // the directory is a new one
	p := prober{files: files}
	t := traits{
		noModes: !p.modes(), noLinks: files.Symlink("target", probeDir+"/link") != nil,
		folds: p.same("Case", "cASE"), grain: p.grain(),
	}
	t.normalizes = p.same("\u00e9", "e\u0301") || p.same("o\u0308", "\u00f6")
	t.rewrites = t.normalizes && !p.shown("\u00e9", "o\u0308")
	files.Forget()
	return t, errors.Join(p.err, os.RemoveAll(dir))
}

type prober struct {
	files FileSystem
	err   error
}

// sight looks at a name in the probe directory; nil when it is not there.
func (p *prober) sight(name string) *Sighting {
	s, err := p.files.Lstat(probeDir + "/" + name)
	p.err = errors.Join(p.err, err)
	return s
}

// same says whether what is made under one name is found under another. A
// name that cannot be made is no other's.
func (p *prober) same(name, other string) bool {
	if err := p.files.Mkdir(probeDir+"/"+name, 0o700); err != nil {
		return false
	}
	return p.sight(other) != nil
}

// shown says whether names are listed as they were given.
func (p *prober) shown(names ...string) bool {
	seen, _, err := p.files.Walk(context.Background(), probeDir, everything{})
	p.err = errors.Join(p.err, err)
	for _, name := range names {
		if !sighted(seen, name) {
			return false
		}
	}
	return true
}

func (p *prober) modes() bool {
	for _, mode := range []uint32{0o640, 0o755} {
		if p.files.Chmod(probeDir+"/file", mode) != nil {
			return false
		}
		if s := p.sight("file"); s == nil || s.Mode != mode {
			return false
		}
	}
	return true
}

// grain sets an odd second with a fraction and sees what is left of it.
func (p *prober) grain() time.Duration {
	set := time.Unix(1_000_000_001, 123_456_789)
	if p.files.SetTime(probeDir+"/file", set.UnixNano()) != nil {
		return 0
	}
	s := p.sight("file")
	switch {
	case s == nil || s.MTime%int64(time.Second) != 0:
		return 0
	case s.MTime == set.Unix()*int64(time.Second):
		return time.Second
	}
	return 2 * time.Second
}

// merges says whether two names can be one here.
func (t traits) merges() bool { return t.folds || t.normalizes }

// key is the same for all paths that are one here.
func (t traits) key(path string) string {
	if t.normalizes {
		path = norm.NFD.String(path)
	}
	if t.folds {
		path = strings.Map(foldRune, path)
	}
	return path
}

// foldRune gives the same rune for all that differ in case alone.
func foldRune(r rune) rune {
	if r < 0x80 {
		return unicode.ToLower(r)
	}
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return unicode.ToLower(least)
}

// asAgreed gives sightings the names that the sides agreed on, where the file
// system shows others than it was given.
func (r *Replica) asAgreed(seen []Sighting, unknown []Unknown) ([]Sighting, []Unknown) {
	if !r.traits.rewrites || r.base == nil {
		return seen, unknown
	}
	names := agreedNames{key: r.traits.key, remote: map[string]string{}, placed: map[string]string{}, exact: map[string]bool{}}
	for _, e := range r.base.Remote() {
		names.exact[e.Path] = true
		if key := names.keyOf(e.Path); names.remote[key] == "" {
			names.remote[key] = e.Path
		}
	}
	for i := range r.base.Rows() {
		path := r.base.Rows()[i].Path
		names.placed[names.keyOf(path)] = path
	}
	for i := range seen {
		seen[i].Path = names.of(seen[i].Path)
	}
	for i := range unknown {
		unknown[i].Path = names.of(unknown[i].Path)
	}
	sortSightings(seen)
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
func (r *Replica) unshowable(remote []tree.Entry, seen []Sighting) []Unknown {
	var out []Unknown
	if r.traits.noLinks {
		for i := range remote {
			e := &remote[i]
			if n, ok := searchSightings(seen, e.Path); e.Kind == tree.Link && !tree.Within(e.Path, Dir) && (!ok || seen[n].Kind != tree.Link) {
				out = append(out, Unknown{Path: e.Path, Reason: "it is a symlink, and the file system here has none; it stays in the bucket"})
			}
		}
	}
	if r.traits.merges() {
		out = append(out, r.twins(remote, seen)...)
	}
	return out
}

// twins names the paths of a tree that are one with another's name here. One
// of them can be shown: the one that is.
func (r *Replica) twins(remote []tree.Entry, seen []Sighting) []Unknown {
	groups := map[string][]string{}
	for i := range remote {
		if key := r.traits.key(remote[i].Path); !tree.Within(remote[i].Path, Dir) {
			groups[key] = append(groups[key], remote[i].Path)
		}
	}
	lost := map[string]bool{}
	var out []Unknown
	for i := range remote { // parents come first
		key := r.traits.key(remote[i].Path)
		group := groups[key]
		delete(groups, key)
		rivals := group[:0]
		for _, path := range group {
			if !below(path, lost) {
				rivals = append(rivals, path)
			}
		}
		owner := r.owner(rivals, seen)
		for _, path := range rivals {
			if path != owner {
				lost[path] = true
				out = append(out, Unknown{Path: path, Reason: twinReason(owner)})
			}
		}
	}
	return out
}

func twinReason(owner string) string {
	return fmt.Sprintf("its name is one with %q on the file system here; it stays in the bucket", owner)
}

// below says whether a path lies under one of a set.
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
func (r *Replica) owner(paths []string, seen []Sighting) string {
	if len(paths) < 2 {
		return strings.Join(paths, "")
	}
	best, score := "", -1
	for _, path := range paths {
		s := 0
		if r.base.Row(path) != nil {
			s++
		}
		if sighted(seen, path) {
			s += 2
		}
		if s > score {
			best, score = path, s
		}
	}
	return best
}

// giveNames lets each name go to one path. What comes, and would be one here
// with something that stays, waits; what comes in the place of something that
// goes comes after it.
func (r *Replica) giveNames(p *planning) (late map[string]bool) {
	if !r.traits.merges() {
		return nil
	}
	late = map[string]bool{}
	stays, goes := map[string]string{}, map[string]bool{}
	for i := range p.seen {
		stays[r.traits.key(p.seen[i].Path)] = p.seen[i].Path
	}
	for i := range p.decisions {
		if d := &p.decisions[i]; (d.Op == plan.Delete || d.Op == plan.Aside) && d.Local != nil {
			goes[r.traits.key(d.Path)] = true
			delete(stays, r.traits.key(d.Path))
		}
	}
	waits := map[string]bool{}
	var kept []plan.Decision
	for _, d := range p.decisions {
		if d.Local != nil || d.Op != plan.Take && d.Op != plan.Conflict {
			kept = append(kept, d)
			continue
		}
		key := r.traits.key(d.Path)
		owner, taken := stays[key]
		switch {
		case below(d.Path, waits):
			continue
		case taken && owner != d.Path:
			waits[d.Path] = true
			p.unshown = append(p.unshown, Unknown{Path: d.Path, Reason: twinReason(owner)})
			continue
		case goes[key] || below(d.Path, late):
			late[d.Path] = true
		}
		stays[key] = d.Path
		kept = append(kept, d)
	}
	p.decisions = kept
	return late
}

// recase gives a directory that could not be removed the name, in another
// case, that comes in its place.
func (p *placement) recase(path string) error {
	if !p.r.traits.merges() {
		return nil
	}
	key := p.r.traits.key(path)
	was, there := p.stayed[key]
	if !there || was == path {
		return nil
	}
	delete(p.stayed, key)
	err := p.r.root.Rename(was, path, true)
	p.r.root.Forget()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// chmod sets permission bits where there are any.
func (p *placement) chmod(path string, mode uint32) error { return p.chmodIn(p.r.root, path, mode) }

func (p *placement) chmodIn(root FileSystem, path string, mode uint32) error {
	if p.r.traits.noModes {
		return nil
	}
	if p.r.PlainModes {
		mode &= 0o777
	}
	return root.Chmod(path, mode)
}

// changed says whether a sighting is not what the base saw at its path.
func (r *Replica) changed(row *Row, s *Sighting) bool {
	if r.traits.noModes && row.Kind == s.Kind {
		as := *s
		as.Mode = row.Seen.Mode
		return row.changed(&as)
	}
	return row.changed(s)
}

// entryOf makes the entry of a sighting; row is what the base has there. A mode
// that the file system made up is none.
func (r *Replica) entryOf(s *Sighting, row *Row) tree.Entry {
	e := s.entryOf(row)
	if !r.traits.noModes || s.Kind == tree.Link {
		return e
	}
	e.Mode = tree.NoMode
	if row != nil && row.Kind == s.Kind {
		e.Mode = row.Mode
	}
	return plan.WithMode(e, nil)
}

// settle is Seen.settle with what is known of the file system's clock.
func (t traits) settle(s *Seen, now time.Time) {
	s.settle(now)
	if now.UnixNano()-s.CTime < int64(t.grain) {
		s.CTime = 0
	}
}
