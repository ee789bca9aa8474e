package frozen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// seen is what a directory has: each entry by its path below it.
type seen map[string]localfs.Entry

// look lists what is in a directory of an open tree. An error of [fs.ErrNotExist] is of one that
// is not there.
func (k Kind) look(ctx context.Context, root localfs.FileSystem, p Path) (seen, error) {
	entries, unknown, err := root.Walk(ctx, p.Path, within{k, p.Path})
	if err != nil {
		return nil, err
	}
	for _, u := range unknown {
		if u.Unread || u.Beyond {
			return nil, fmt.Errorf("%q: %s", u.Path, u.Reason)
		}
	}
	all := seen{}
	for _, e := range entries {
		if name := path.Base(e.Path); name == markName || name == goneName {
			return nil, fmt.Errorf("%q has a name that coltecd needs", e.Path)
		}
		if err := admitted(e.Path); err != nil {
			return nil, err
		}
		e.Mode &= 0o777 // as it can come elsewhere
		all[e.Path] = e
	}
	if p.Path != "" { // its mode counts too
		top, err := root.Lstat(p.Path)
		if err != nil {
			return nil, err
		}
		if top == nil {
			return nil, fs.ErrNotExist
		}
		top.Path, top.Mode = "", top.Mode&0o777
		all[""] = *top
	}
	for at := range all {
		// The number in it is of a process here; elsewhere it may be anybody's, and then
		// PostgreSQL does not start.
		if dir, is := strings.CutSuffix("/"+at, "/postmaster.pid"); is {
			if _, is := all[strings.TrimPrefix(dir+"/PG_VERSION", "/")]; is {
				delete(all, at)
			}
		}
	}
	return all, nil
}

// within is the Matcher of a walk of one of them, by paths below it.
type within struct {
	k  Kind
	at string
}

func (w within) Dir(p string) bool { return w.k.takes(localfs.Join(w.at, p), true) }

func (w within) File(p string) bool { return w.k.takes(localfs.Join(w.at, p), false) }

// absent reports whether an error says that a directory is not there.
func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// admitted refuses a path below a directory that would be a repository there: git would do what it
// says, and it is a whole of its own, which is captured and joined in another way.
func admitted(path string) error {
	for name := range strings.SplitSeq(path, "/") {
		if strings.EqualFold(name, ".git") {
			return fmt.Errorf("%q: a repository cannot be in a directory that is captured as a whole: keep it elsewhere", path)
		}
	}
	return nil
}

// same reports whether an entry is as another, as far as the file system tells.
func same(a, b localfs.Entry) bool {
	switch {
	case a.Kind != b.Kind:
		return false
	case a.Kind == tree.Dir:
		return a.Mode == b.Mode
	case a.Kind == tree.Link:
		return a.Link == b.Link
	}
	return a.Seen == b.Seen && a.CTime != 0
}

// same reports whether both are the same.
func (s seen) same(o seen) bool {
	if len(s) != len(o) {
		return false
	}
	for at, e := range s {
		if other, ok := o[at]; !ok || !same(e, other) {
			return false
		}
	}
	return true
}

// grain is how far apart two changes of a file are that surely show different times, on most
// file systems, and on those that keep seconds.
const (
	grain       = 20 * time.Millisecond
	coarseGrain = 2 * time.Second
)

// settled is an entry as it is remembered when it was copied at a moment: without the time of
// change, which equals none, where a further change could show the same one.
func settled(e localfs.Entry, now time.Time) localfs.Entry {
	g := grain
	if e.MTime%int64(time.Second) == 0 && e.CTime%int64(time.Second) == 0 {
		g = coarseGrain
	}
	if now.UnixNano()-e.CTime < int64(g) {
		e.CTime = 0
	}
	return e
}

// copying is a copy of what changed in a directory since its shadow was made.
type copying struct {
	from   *os.Root // the directory
	to     *os.Root // what was copied, ours alone
	have   seen     // what the shadow is of
	copied seen     // what was copied
	plain  bool     // no file shares its blocks with a copy here
	limit  func() time.Duration
	bytes  int64 // that were copied in the last pass
}

// errTooSlow is of a capture for which writers would stand for too long.
var errTooSlow = fmt.Errorf("copying takes longer than %d ms: use a file system with reflink, or a hook", Limit.Milliseconds())

// errVanished is of a file that is not there any more.
var errVanished = errors.New("it is not there any more")

// pass copies those files of now that differ from what is known. Those with an inode among
// always are copied in any case: they are written without a sign of it. With strict none may
// vanish.
func (c *copying) pass(now seen, always map[uint64]bool, strict bool) error {
	c.bytes = 0
	for at := range c.copied {
		if e, is := now[at]; !is || e.Kind != tree.File {
			if err := c.to.Remove(at); err != nil && !absent(err) {
				return err
			}
			delete(c.copied, at)
		}
	}
	for at, e := range now {
		if e.Kind != tree.File {
			continue
		}
		was, is := c.copied[at]
		if !is {
			was = c.have[at]
		}
		if same(was, e) && !always[e.Inode] {
			continue
		}
		if err := c.late(); err != nil {
			return err
		}
		moment := time.Now()
		err := c.copy(at, e)
		if errors.Is(err, errVanished) && !strict {
			delete(c.copied, at)
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot copy %q: %w", at, err)
		}
		c.copied[at] = settled(e, moment)
		if always[e.Inode] {
			c.copied[at] = settled(e, time.Unix(0, e.CTime))
		}
		c.bytes += e.Size
	}
	return nil
}

// late is an error once there is no time any more.
func (c *copying) late() error {
	if c.limit != nil && c.limit() <= 0 {
		return errTooSlow
	}
	return nil
}

// copy copies one file, with its mode and time.
func (c *copying) copy(at string, e localfs.Entry) error {
	in, err := c.from.OpenFile(at, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return errVanished
	}
	if err != nil {
		return err
	}
	defer in.Close()
	if info, err := in.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.Join(err, errVanished) // another one has its name now
	}
	if err := c.to.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		return err
	}
	if err := c.to.RemoveAll(at); err != nil { // it may not be writable
		return err
	}
	out, err := c.to.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := c.content(out, in); err != nil {
		return err
	}
	if err := unix.Fchmod(int(out.Fd()), e.Mode); err != nil {
		return err
	}
	return c.to.Chtimes(at, time.Time{}, time.Unix(0, e.MTime))
}

// part is how much is copied between two looks at the time.
const part = 4 << 20

func (c *copying) content(out, in *os.File) error {
	if !c.plain {
		err := unix.IoctlFileClone(int(out.Fd()), int(in.Fd()))
		if err == nil {
			return nil
		}
		c.plain = true
	}
	for {
		if err := c.late(); err != nil {
			return err
		}
		n, err := io.CopyN(out, in, part)
		if errors.Is(err, io.EOF) || err == nil && n < part {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// fewFiles are flushed one by one.
const fewFiles = 32

// flush has what was copied on the disk.
func (c *copying) flush() error {
	dir, err := c.to.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	if len(c.copied) > fewFiles {
		return unix.Syncfs(int(dir.Fd()))
	}
	for at := range c.copied {
		f, err := c.to.OpenFile(at, os.O_RDONLY|unix.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// open opens a directory of a tree, which no link leads to.
func open(tree, at string) (*os.Root, error) {
	return anchor.OpenRoot(filepath.Join(tree, at), tree, 0)
}
