package gitstate

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/coltec/coltec/pkg/area"
)

// What arrives is from a bucket, and whoever can write there may have made it. So it is
// held to what a capture makes before anything of it is put in a place.

// arrived lists what arrived, but for its packs. It refuses what no capture makes.
func (k *Keeper) arrived(a Arrival) (listing, error) {
	if err := k.inTree(a.Dir); err != nil {
		return listing{}, err
	}
	if err := k.ownPlace(a.Dir); err != nil {
		return listing{}, err
	}
	l, err := list(a.From)
	if err != nil {
		return l, err
	}
	for _, path := range []string{"HEAD", "config", "packed-refs"} {
		if l.find(path) == nil {
			return l, uncaptured("it has no %s", path)
		}
	}
	for i := range l.items {
		if err := capturable(a.From, &l.items[i]); err != nil {
			return l, err
		}
	}
	return l, regularPacks(filepath.Join(a.From, "objects"))
}

// ownPlace refuses a path at which something leads to another place of the tree: that is
// carried as files, links and all, and whoever writes there follows them.
func (k *Keeper) ownPlace(dir string) error {
	if strings.Contains("/"+filepath.Dir(dir)+"/", "/.git/") { // in a repository, whose links were made here
		return nil
	}
	s, err := os.Lstat(filepath.Join(k.Root, dir))
	if err != nil || s.IsDir() {
		return nil
	}
	if src, err := k.source(dir); err == nil && !src.outside {
		return refused("it leads to another place in the tree, %s, and coltecd writes to a repository at its own path alone: remove what leads there, or what is there", src.dir)
	}
	return nil
}

func uncaptured(format string, args ...any) error {
	return refused("what the bucket has of it is not a repository that was captured: "+format, args...)
}

// capturable refuses a file that no capture makes. A link where git looks for a
// repository's state would have whoever writes there next, git or coltecd, write
// elsewhere; a ref's value is a path for both.
func capturable(dir string, f *item) error {
	if f.link {
		target, err := os.Readlink(filepath.Join(dir, f.path))
		if err == nil && !Carried(f.path, target) {
			err = uncaptured("%q is a link to %q", f.path, target)
		}
		return err
	}
	below := f.path
	if _, rest, ok := cutTree(f.path); ok {
		below = rest
	}
	switch {
	case f.path == "packed-refs":
		return namesRefs(filepath.Join(dir, f.path))
	case strings.HasPrefix(below, "refs/") && !isRef(below):
		return uncaptured("%q is not a valid ref name", below)
	case strings.HasPrefix(below, "refs/"), below == "HEAD":
		return leadsToRef(dir, f.path)
	}
	return nil
}

// leadsToRef refuses a ref that points to what is not a ref.
func leadsToRef(dir, path string) error {
	body, err := readFile(filepath.Join(dir, path), smallMost)
	if err != nil {
		return err
	}
	ref, points := strings.CutPrefix(strings.TrimRight(string(body), "\n"), "ref:")
	if ref = strings.TrimLeft(ref, " \t"); points && !isRef(ref) {
		return uncaptured("%s points to %q, which is not a valid ref name", path, ref)
	}
	return nil
}

// namesRefs refuses a list of refs with what is none.
func namesRefs(file string) error {
	body, err := readFile(file, textMost)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(body)) {
		if line[0] == '#' || line[0] == '^' {
			continue
		}
		oid, ref, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !isOID(oid) || !isRef(ref) {
			return uncaptured("packed-refs has %q, which is not a valid ref name", ref)
		}
	}
	if !strings.HasSuffix(string(body), "\n") {
		return uncaptured("packed-refs is cut off")
	}
	return nil
}

// Carried says whether a link in a git directory is carried as one: git does not look
// for the repository behind it.
func Carried(path, target string) bool {
	top, _, _ := strings.Cut(path, "/")
	return path == "HEAD" && isRef(target) || top != "objects" && top != "commondir" && top != "gitdir" && !needed(path)
}

// Admit says why a repository that arrived as files, and lies in from, is not put in its
// place at dir. Unlike a shadow it may have objects and refs of any kind: it is read as one
// that somebody here wrote, whose links are followed. So it has none that git would follow,
// and borrows from no other repository.
func (k *Keeper) Admit(dir, from string) error {
	if err := k.inTree(dir); err != nil {
		return err
	}
	return admit(from, ".")
}

// admit is Admit for a git directory in another.
func admit(from, below string) error {
	l, err := list(filepath.Join(from, below))
	if err != nil {
		return err
	}
	for i := range l.items {
		if f := &l.items[i]; f.link {
			if err := capturable(filepath.Join(from, below), f); err != nil {
				return err
			}
		}
	}
	err = filepath.WalkDir(filepath.Join(from, below, "objects"), func(file string, d fs.DirEntry, err error) error {
		if absent(err) {
			return nil
		}
		path, relErr := filepath.Rel(from, file)
		if err == nil && relErr == nil && !Harmless(path, d.Type()&fs.ModeSymlink != 0, "") {
			return uncaptured("%q is a link to objects, or borrows them", path)
		}
		return errors.Join(err, relErr)
	})
	for _, dir := range l.nested {
		err = errors.Join(err, admit(from, filepath.Join(below, dir)))
	}
	return err
}

// Harmless says whether a file or a link below a git directory, or below one that is in
// it, leads nobody elsewhere who reads the repository as its user's.
func Harmless(path string, link bool, target string) bool {
	switch {
	case strings.HasSuffix("/"+path, "/objects/info/alternates"), strings.HasSuffix("/"+path, "/objects/info/http-alternates"):
		return false
	case filepath.Base(path) == "commondir" && filepath.Base(filepath.Dir(filepath.Dir(path))) != "worktrees": // git takes objects and configuration from where it points
		return false
	case link:
		return Carried(path, target) && !strings.Contains("/"+path+"/", "/objects/")
	}
	return true
}

// wholePack refuses a pack that does not end as its index says: both end with the sum of
// what is in the pack, the index with its own after it.
func wholePack(pack, index string) error {
	sums, err := tail(index, 2*sha256.Size)
	if err != nil {
		return err
	}
	sum, err := tail(pack, sha256.Size)
	if err != nil {
		return err
	}
	for _, width := range []int{sha1.Size, sha256.Size} {
		if bytes.Equal(sum[sha256.Size-width:], sums[2*(sha256.Size-width):][:width]) {
			return nil
		}
	}
	return uncaptured("%s is not what its index says", filepath.Base(pack))
}

// tail gives the last bytes of a file.
func tail(file string, n int) ([]byte, error) {
	f, err := openFile(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if s.Size() < int64(n) {
		return nil, uncaptured("%s is cut off", filepath.Base(file))
	}
	b := make([]byte, n)
	_, err = f.ReadAt(b, s.Size()-int64(n))
	return b, err
}

// regularPacks refuses objects that are anything but packs and their indexes.
func regularPacks(objects string) error {
	return filepath.WalkDir(objects, func(file string, d fs.DirEntry, err error) error {
		path, relErr := filepath.Rel(objects, file)
		switch {
		case absent(err) && file == objects:
			return nil
		case err != nil || relErr != nil:
			return errors.Join(err, relErr)
		case d.IsDir() && (path == "." || path == "pack" || path == "info"), d.Type().IsRegular() && filepath.Dir(path) == "pack":
			return nil
		}
		return uncaptured("%q is not a pack", filepath.Join("objects", path))
	})
}

// inTree refuses a path at which no repository of the tree can be: it leads out of it, or is
// no git directory's. (One whose name is another is files to coltecd, links and all.)
func (k *Keeper) inTree(path string) error {
	if path == "." {
		return refused("its path %q leads out of the tree", path)
	}
	if err := k.straight(path); err != nil {
		return err
	}
	git := false
	for name := range strings.SplitSeq(path, "/") {
		if git = git || name == ".git"; name != ".git" && isDotGit(name) {
			return refused("its path %q has %q, which some file systems take for .git", path, name)
		}
	}
	if !git {
		return refused("its path %q is none of a git directory", path)
	}
	return nil
}

// straight refuses a path that leads out of the tree, by its name or by a link on the way,
// and one of coltecd's own.
func (k *Keeper) straight(path string) error {
	if !filepath.IsLocal(path) || filepath.Clean(path) != path {
		return refused("its path %q leads out of the tree", path)
	}
	if path == "." {
		return nil
	}
	own, err := filepath.Rel(k.Root, k.Shadow)
	if top := area.Upwards(path)[0]; err == nil && folded(top) == folded(area.Upwards(own)[0]) {
		return refused("its path %q is in %s, which is coltecd's", path, top)
	}
	for _, dir := range area.Upwards(filepath.Dir(path)) {
		if s, err := os.Lstat(filepath.Join(k.Root, dir)); err == nil && !s.IsDir() {
			return refused("%q is not a directory here", dir)
		}
	}
	return nil
}

// isDotGit says whether some file system takes a name for .git.
func isDotGit(name string) bool {
	name = folded(name)
	return name == ".git" || name == "git~1"
}

// folded is what a name comes to where file systems know least of it: letters fold, HFS+
// ignores some characters, NTFS cuts off dots, spaces and what names a stream. See git's
// utf8.c and path.c.
func folded(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 0x200c && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x206a && r <= 0x206f, r == 0xfeff:
			return -1
		case r == '\\':
			return ':'
		}
		return r
	}, name)
	name, _, _ = strings.Cut(name, ":")
	return strings.ToLower(strings.TrimRight(name, ". "))
}

// Arrival is a shadow that came from elsewhere: its files, but for packs that
// may not be needed.
type Arrival struct {
	Dir  string // the repository, below the tree
	From string // directory with the files of the shadow
	// Agreed says that the shadow here is what both sides last agreed on, so
	// that it can tell who changed what since.
	Agreed bool
	// Base is a directory with the shadow that both sides last agreed on, packs apart,
	// where the one here has gone on since; "" where nobody has it any more.
	Base string
}

func (k *Keeper) arrivalFormat(ctx context.Context, a Arrival) (string, error) {
	if _, err := readMark(a.From); err != nil {
		return "", err
	}
	return (&capture{k: k, src: source{dir: a.From}}).format(ctx)
}
