package gitstate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/area"
)

// capture is one reading of a repository.
type capture struct {
	k        *Keeper
	dir      string // below the tree
	src      source
	shadow   string
	now, was listing
	staged   []string // files in the stage that the shadow has not, or otherwise
	gone     []string // files that the shadow has and the repository has no more
	whole    bool     // the shadow was whole: it has all that its state needs

	left    map[string]bool   // branches that this working tree moved, and was switched from
	damaged map[string]bool   // refs that lead to nothing: their last value stays
	broken  []string          // what else could not be read, in words
	here    bool              // some of that has content that is not carried
	missing map[string]string // objects that are not there, or damaged, and from where they are reached
	deep    bool              // some of those that were missing are there now
}

func (c *capture) stage(path string) string { return filepath.Join(c.k.Stage(), "state", path) }

// read copies what differs from the shadow into the stage. The refs go into one
// packed-refs.
func (c *capture) read() error {
	if err := c.k.scratch(); err != nil {
		return err
	}
	c.staged, c.gone, c.damaged = nil, nil, map[string]bool{}
	have := map[string]bool{Mark: true}
	for _, o := range c.now.odd {
		have[o.path] = true // what the shadow has of it stays
	}
	c.whole = c.k.Whole(c.dir)
	old, err := list(c.shadow)
	if err != nil && !absent(err) {
		return err
	}
	if err := c.readRefs(old, have); err != nil {
		return err
	}
	for i := range c.now.items {
		f := &c.now.items[i]
		if f.path == "packed-refs" || strings.HasPrefix(f.path, "refs/") || !c.carriesLog(f.path) || says(f.path) {
			continue
		}
		have[f.path] = true
		if was := c.was.find(f.path); c.whole && was != nil && *was == *f {
			continue
		}
		if err := c.take(f); err != nil {
			return err
		}
	}
	for i := range old.items {
		if path := old.items[i].path; !have[path] {
			c.gone = append(c.gone, path)
		}
	}
	return nil
}

// says reports whether a file would say something of the shadow that it is in: the log of a
// branch that has our name, or what a shadow had that was copied back.
func says(path string) bool {
	base := filepath.Base(path)
	return base == Mark || base == Gone
}

// carriesLog says whether a file, if it is a log, is of a ref that is carried.
func (c *capture) carriesLog(path string) bool {
	ref, ok := strings.CutPrefix(path, "logs/")
	return !ok || ref == "HEAD" || c.src.carries(c.src.head(), ref) || c.left[ref]
}

// take copies one file, unless the shadow has the same. What is not a link for us is
// what a link leads to.
func (c *capture) take(f *item) error {
	from, to := c.src.file(f.path), filepath.Join(c.shadow, f.path)
	if !f.link {
		real, err := filepath.EvalSymlinks(from)
		if err != nil {
			return err
		}
		from = real
	}
	if f.path == "config" && c.src.outside {
		return c.takeConfig(f)
	}
	if sameFile(from, to) || isIndex(f.path) && !f.link && sameIndex(from, to, c.width()) {
		return nil
	}
	err := c.copy(f)
	if errors.Is(err, fs.ErrPermission) && !needed(f.path) {
		c.broken = append(c.broken, fmt.Sprintf("%s cannot be read: permission denied", f.path))
		c.here = true
		return nil
	}
	c.staged = append(c.staged, f.path)
	return err
}

// copy brings a file into the stage: the one that was listed, and no other.
func (c *capture) copy(f *item) error {
	if f.link {
		return c.src.copy(c.k.area(), f.path, c.stage(f.path))
	}
	in, err := c.src.open(f.path)
	if err != nil {
		return err
	}
	defer in.Close()
	now, err := in.Stat()
	if err != nil {
		return err
	}
	if is := itemOf(f.path, now); is.inode != f.inode || is.size != f.size {
		return area.ErrChanged
	}
	return c.k.area().Fill(in, c.stage(f.path))
}

// takeConfig copies the configuration of a repository that lies elsewhere, as it is
// where the repository is in its own working tree.
func (c *capture) takeConfig(f *item) error {
	to := c.stage("config")
	if err := c.copy(f); err != nil {
		return err
	}
	r, err := nowhere()
	if err != nil {
		return err
	}
	r.dir = filepath.Dir(to)
	_ = r.run(context.Background(), nil, nil, "config", "--file", "config", "--unset-all", "core.worktree") // there may be none
	if err := r.run(context.Background(), nil, nil, "config", "--file", "config", "core.bare", "false"); err != nil {
		return err
	}
	if sameFile(to, filepath.Join(c.shadow, "config")) {
		return c.k.area().Remove(to)
	}
	c.staged = append(c.staged, "config")
	return nil
}

// width is that of the names of objects. A wrong guess makes indexes differ that
// do not.
func (c *capture) width() int {
	head, _ := readFile(c.src.file("config"), textMost)
	if bytes.Contains(bytes.ToLower(head), []byte("sha256")) {
		return 32
	}
	return 20
}

// put stages content of our own making, unless the shadow has the same.
func (c *capture) put(path string, body []byte) error {
	if old, err := readFile(filepath.Join(c.shadow, path), textMost); err == nil && bytes.Equal(old, body) {
		return nil
	}
	c.staged = append(c.staged, path)
	return c.k.area().Write(c.stage(path), body, 0o644)
}

// readRefs stages the refs. One that is not carried, and that the shadow has, came from
// elsewhere or was checked out here before: left out it would be deleted on all other
// machines. It stays as the shadow has it, with its log: what the repository has under
// that name may be somebody else's. What this working tree left there is its own.
func (c *capture) readRefs(old listing, have map[string]bool) error {
	refs, damaged, err := readRefs(c.src, c.now)
	if err != nil {
		return err
	}
	known, _, _ := readRefs(source{dir: c.shadow}, old) // what cannot be read is made anew
	head, left := c.src.head(), c.src.left()
	c.left = map[string]bool{}
	for _, ref := range damaged {
		if !c.src.carries(head, ref) && known[ref] == "" {
			continue
		}
		c.damaged[ref] = true
		if known[ref] != "" {
			refs[ref] = known[ref]
		}
	}
	for ref, value := range refs {
		switch was := known[ref]; {
		case c.src.carries(head, ref):
		case was == "":
			delete(refs, ref)
			continue
		case value != was && value == left[ref]:
			c.left[ref] = true
		default:
			value = was
			refs[ref] = was
			have["logs/"+ref] = true
		}
		if loose(ref, value) {
			have[ref] = true
			if err := c.put(ref, []byte(value+"\n")); err != nil {
				return err
			}
			delete(refs, ref)
		}
	}
	have["packed-refs"] = true
	return c.put("packed-refs", packedRefs(refs))
}

// current is where a file of what was read lies: in the stage, or, unchanged, in
// the shadow.
func (c *capture) current(path string) string {
	if slices.Contains(c.staged, path) {
		return c.stage(path)
	}
	return filepath.Join(c.shadow, path)
}

// format reads the object format from the repository's configuration, and
// refuses what cannot be captured whole.
func (c *capture) format(ctx context.Context) (string, error) {
	l, err := layoutOf(ctx, c.src)
	if err == nil && l.partial {
		err = refused("it is a partial clone: objects of it are on its remote alone")
	}
	return l.objects, err
}

// writeMissing notes what the shadow lacks.
func (c *capture) writeMissing() error {
	file := filepath.Join(c.shadow, missingMark)
	if len(c.missing) == 0 {
		return c.k.area().Remove(file)
	}
	var b bytes.Buffer
	for _, oid := range slices.Sorted(maps.Keys(c.missing)) {
		b.WriteString(strings.TrimSpace(oid+" "+c.missing[oid]) + "\n")
	}
	if old, err := readFile(file, textMost); err == nil && bytes.Equal(old, b.Bytes()) {
		return nil
	}
	return c.k.area().Write(file, b.Bytes(), 0o644)
}

// recall reads what was missing when the shadow was made, and looks whether some of
// it is there now: then everything is looked at again.
func (c *capture) recall(ctx context.Context) error {
	c.missing = readMissing(c.shadow)
	if len(c.missing) == 0 {
		return nil
	}
	format, err := c.format(ctx)
	if err != nil {
		return err
	}
	r, err := c.k.scratchGit("recall.git", format, c.src.file("objects"))
	if err != nil {
		return err
	}
	there, err := r.existing(ctx, slices.Sorted(maps.Keys(c.missing)))
	if err != nil {
		return err
	}
	if c.deep = len(there) > 0; c.deep {
		c.missing = map[string]string{} // the look says anew
	}
	return nil
}

// unreadable says that one of the objects that are missing has a file here, with something
// in it.
func (c *capture) unreadable() bool {
	for oid := range c.missing {
		if s, err := os.Stat(filepath.Join(c.src.file("objects"), oid[:2], oid[2:])); err == nil && s.Size() > 0 {
			return true
		}
	}
	return false
}
