package localfs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Quirks are how a file system falls short of what trees carry: that of a
// folder shared with macOS or Windows, of a USB stick. The zero value falls
// short of nothing.
type Quirks struct {
	NoModes    bool          // permission bits do not stay as they are set
	NoLinks    bool          // there are no symlinks
	folds      bool          // names that differ in case alone are one
	normalizes bool          // names that differ in Unicode's normal form alone are one
	Rewrites   bool          // a name is shown in another normal form than it was given in
	Grain      time.Duration // of modification times, where it is a second or more
}

// probeDir is where quirks are found out, within the replica's own directory.
const probeDir = Dir + "/probe"

// Probe finds out what the file system of a tree can do, by trying, in its own
// directory.
func Probe(files FileSystem, own string) (Quirks, error) {
	dir := filepath.Join(own, filepath.Base(probeDir))
	if err := os.RemoveAll(dir); err != nil {
		return Quirks{}, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return Quirks{}, err
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		return Quirks{}, err
	}
	files.Forget() // the directory is a new one
	p := prober{files: files}
	q := Quirks{
		NoModes: !p.modes(), NoLinks: files.Symlink("target", probeDir+"/link") != nil,
		folds: p.same("Case", "cASE"), Grain: p.grain(),
	}
	q.normalizes = p.same("\u00e9", "e\u0301") || p.same("o\u0308", "\u00f6")
	q.Rewrites = q.normalizes && !p.shown("\u00e9", "o\u0308")
	files.Forget()
	return q, errors.Join(p.err, os.RemoveAll(dir))
}

type prober struct {
	files FileSystem
	err   error
}

// sight looks at a name in the probe directory; nil when it is not there.
func (p *prober) sight(name string) *Entry {
	s, err := p.files.Lstat(probeDir + "/" + name)
	p.err = errors.Join(p.err, err)
	return s
}

// same reports whether what is made under one name is found under another. A
// name that cannot be made is no other's.
func (p *prober) same(name, other string) bool {
	if err := p.files.Mkdir(probeDir+"/"+name, 0o700); err != nil {
		return false
	}
	return p.sight(other) != nil
}

// shown reports whether names are listed as they were given.
func (p *prober) shown(names ...string) bool {
	seen, _, err := p.files.Walk(context.Background(), probeDir, Everything{})
	p.err = errors.Join(p.err, err)
	for _, name := range names {
		if !Sighted(seen, name) {
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

// MergeNames reports whether two names can be one here.
func (q Quirks) MergeNames() bool { return q.folds || q.normalizes }

// Key is the same for all paths that are one here.
func (q Quirks) Key(path string) string {
	if q.normalizes {
		path = norm.NFD.String(path)
	}
	if q.folds {
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

// DistrustCTime is that of Seen with what is known of the file system's clock.
func (q Quirks) DistrustCTime(s *Seen, now time.Time) {
	s.distrustCTime(now)
	if now.UnixNano()-s.CTime < int64(q.Grain) {
		s.CTime = 0
	}
}
