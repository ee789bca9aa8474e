// Package watch tells in which directories of a tree something changed, soon after
// it did. It is a hint and no more: whoever is told walks those directories, and the
// whole tree now and then without being told, because a kernel may lose events and
// some file systems send none.
package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/hint"
)

// Matcher says which paths of the tree count.
type Matcher interface {
	File(path string) bool
	Dir(path string) bool
}

// Options say what is watched, and who is told.
type Options struct {
	Root  string // absolute
	Match Matcher
	// Quiet is how long the tree must be quiet before a change is told: a save
	// is several steps. 0: 2 s.
	Quiet time.Duration
	// Most is how long a change waits at most while the tree is never quiet.
	// 0: 5 s.
	Most time.Duration
	// Again is how soon what cannot be watched is tried again. 0: a minute.
	Again time.Duration
	// Changed is told of changes, and at the beginning of everything.
	Changed func(Touched)
	// Trouble is told why changes may go unseen; nil when that is over.
	Trouble func(error)
	// Asked are told, instead of Changed, of all that was done before each was sent and that
	// Changed was not told of. While the tree cannot be watched nobody receives. nil: nobody
	// asks.
	Asked <-chan func(Touched)
}

// Touched are the directories in which something changed, below the root, "" for
// itself; true: with everything below them. nil: anything may have changed.
type Touched map[string]bool

// mostTouched is how many directories are told of by name: above that a walk of the
// whole tree costs about the same.
const mostTouched = 1000

// Join gives both together.
func (t Touched) Join(o Touched) Touched {
	if t == nil || o == nil {
		return nil
	}
	all := maps.Clone(t)
	for dir, whole := range o {
		all = all.add(dir, whole)
	}
	return all
}

// add notes a directory; in place, as append does.
func (t Touched) add(dir string, whole bool) Touched {
	if t == nil {
		return nil
	}
	if t[dir] = t[dir] || whole; len(t) > mostTouched {
		return nil
	}
	return t
}

// again is how soon a tree that cannot be watched, or not all of it, is tried
// again by default: it may be mounted later, or the limit be raised.
const again = time.Minute

// Run watches until ctx ends.
func Run(ctx context.Context, o Options) {
	if o.Quiet == 0 {
		o.Quiet = 2 * time.Second
	}
	if o.Most == 0 {
		o.Most = 5 * time.Second
	}
	if o.Again == 0 {
		o.Again = again
	}
	for ctx.Err() == nil {
		err := watch(ctx, o)
		if ctx.Err() != nil {
			return
		}
		o.Trouble(err)
		if !errors.Is(err, fsnotify.ErrEventOverflow) {
			select {
			case <-ctx.Done():
			case <-time.After(o.Again):
			}
		}
	}
}

// watch watches until something is wrong that a fresh start may mend.
func watch(ctx context.Context, o Options) error {
	root, err := filepath.EvalSymlinks(o.Root) // a walk does not follow a link, the root's either
	if err != nil {
		return fmt.Errorf("cannot watch %s: %w", o.Root, err)
	}
	o.Root = root
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("cannot watch %s: %w", o.Root, limited(err))
	}
	defer w.Close()
	t := &tree{Options: o, w: w, dirs: map[string]bool{}, touched: Touched{}, asked: map[string]func(Touched){}}
	defer t.makeMarks()()
	if err := t.begin(); err != nil {
		return err
	}
	return t.follow(ctx)
}

// begin watches the whole tree, as far as the limit lets it.
func (t *tree) begin() error {
	t.limit = nil
	if err := t.add(""); err != nil {
		return err
	}
	t.Trouble(t.limit)
	t.touched = nil // what came before the watches were there
	t.tell()
	return nil
}

// tell tells of what was touched since the last time.
func (t *tree) tell() { t.Changed(t.take()) }

// take gives what was touched since the last time; everything, where not all is watched.
func (t *tree) take() Touched {
	touched := t.touched
	if t.limit != nil {
		touched = nil
	}
	t.touched = Touched{}
	return touched
}

// touch notes a directory.
func (t *tree) touch(dir string, whole bool) { t.touched = t.touched.add(dir, whole) }

// tree is the state of one watch; its goroutine owns it.
type tree struct {
	Options
	w       *fsnotify.Watcher
	dirs    map[string]bool // that are watched, by their whole path
	touched Touched         // what is not told yet
	limit   error           // why directories go unwatched
	// asked are those who wait to be told, by the file that was made for each: the kernel
	// tells of it after all that was done before.
	asked map[string]func(Touched)
	marks string // the directory of those files; "": nobody is answered
}

// add watches a directory and all below it that count. What cannot be read is
// the walk's business.
func (t *tree) add(path string) error {
	return filepath.WalkDir(filepath.Join(t.Root, path), func(p string, d fs.DirEntry, err error) error {
		rel := t.rel(p)
		switch {
		case err != nil && rel == "":
			return fmt.Errorf("cannot watch %s: %w", t.Root, err)
		case err != nil:
			return nil // gone, or not ours to read
		case !d.IsDir():
			return nil
		case rel != "" && !t.Match.Dir(rel):
			return fs.SkipDir
		}
		err = t.w.Add(p)
		switch {
		case err == nil:
			t.dirs[p] = true
			return nil
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission):
			return nil
		case errors.Is(err, syscall.ENOSPC):
			if t.limit == nil {
				t.limit = fmt.Errorf("cannot watch all of %s: %w", t.Root, limited(err))
			}
			return fs.SkipAll
		}
		return fmt.Errorf("cannot watch %s: %w", t.Root, err)
	})
}

// shared are file systems on which others change files too, by their names in
// /proc/filesystems: a kernel has no events for what it did not do itself. virtiofs,
// Docker Desktop's mounts and rclone's are FUSE.
var shared = map[int64]string{
	unix.FUSE_SUPER_MAGIC: "fuse",
	unix.V9FS_MAGIC:       "9p",
	unix.NFS_SUPER_MAGIC:  "nfs",
	unix.CIFS_SUPER_MAGIC: "cifs",
	unix.SMB2_SUPER_MAGIC: "smb3",
}

// Shared names the file system that a directory is on when changes can be made to
// it from elsewhere, of which no watch is told; "" else. It may wait for that file
// system.
func Shared(dir string) string {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return "" // that it is gone shows by itself
	}
	return shared[int64(fs.Type)]
}

// limited adds the next step to an error of a limit.
func limited(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE) {
		return hint.Wrap(err, "raise the host's limits (sysctl fs.inotify.max_user_watches=1048576 fs.inotify.max_user_instances=1024), or exclude large directories")
	}
	return err
}

// rel is a path within the tree; "" for its root.
func (t *tree) rel(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, t.Root), "/")
}

// follow tells of changes. It returns when the root is gone, or events were
// lost.
func (t *tree) follow(ctx context.Context) error {
	timer, retry := time.NewTimer(time.Hour), time.NewTicker(t.Again)
	defer retry.Stop()
	timer.Stop()
	var first time.Time // of the changes that are not told yet
	for {
		select {
		case <-ctx.Done():
			return nil
		case told := <-t.Asked:
			t.mark(told)
		case e, ok := <-t.w.Events:
			switch {
			case !ok:
				return errors.New("the kernel's watch has ended")
			case t.marks != "" && (e.Name == t.marks || filepath.Dir(e.Name) == t.marks):
				if t.marked(e) {
					first = time.Time{}
					timer.Stop()
				}
				continue
			case t.rel(e.Name) == "" && e.Op&(fsnotify.Remove|fsnotify.Rename) != 0:
				return fmt.Errorf("cannot watch %s: it was moved or removed", t.Root)
			}
			counts, err := t.counts(e)
			if err != nil {
				return err
			}
			if !counts {
				continue
			}
			now := time.Now()
			if first.IsZero() {
				first = now
			}
			timer.Reset(min(t.Quiet, first.Add(t.Most).Sub(now)))
		case err := <-t.w.Errors:
			return fmt.Errorf("cannot follow changes in %s: %w", t.Root, err)
		case <-timer.C:
			first = time.Time{}
			t.tell()
		case <-retry.C:
			if t.limit != nil {
				if err := t.begin(); err != nil {
					return err
				}
			}
		}
	}
}

// makeMarks makes and watches the directory of marks. Who asks waits in vain where that cannot
// be.
func (t *tree) makeMarks() (remove func()) {
	if t.Asked == nil {
		return func() {}
	}
	dir, err := os.MkdirTemp("", "coltec-watch-")
	if err != nil {
		return func() {}
	}
	if t.w.Add(dir) == nil {
		t.marks = dir
	}
	return func() { os.RemoveAll(dir) }
}

// mark makes a file whose event comes after all that were not read yet.
func (t *tree) mark(told func(Touched)) {
	if t.marks == "" {
		return
	}
	f, err := os.CreateTemp(t.marks, "")
	if err != nil {
		return
	}
	f.Close()
	t.asked[f.Name()] = told
}

// marked answers who asked, where an event is of the file that was made for it, and reports
// whether it has told of what there was.
func (t *tree) marked(e fsnotify.Event) bool {
	told := t.asked[e.Name]
	if told == nil {
		return false
	}
	delete(t.asked, e.Name)
	_ = os.Remove(e.Name)
	told(t.take())
	return true
}

// counts reports whether an event is about something that is carried, and notes where
// it is. A directory that came is watched from here on, and one that went is not.
func (t *tree) counts(e fsnotify.Event) (bool, error) {
	rel := t.rel(e.Name)
	switch {
	case rel == "":
		t.touch("", false)
		return true, nil
	case !t.Match.File(rel) && !t.Match.Dir(rel):
		return false, nil
	case e.Op&(fsnotify.Rename|fsnotify.Remove) != 0:
		t.leave(e.Name)
	case t.Match.Dir(rel) && (e.Op&fsnotify.Create != 0 || e.Op&fsnotify.Chmod != 0 && !t.dirs[e.Name]):
		if err := t.come(rel); err != nil {
			return false, err
		}
	}
	t.touch(strings.TrimPrefix(path.Dir("/"+rel), "/"), false)
	if t.dirs[e.Name] {
		t.touch(rel, false) // whether it can be read may be what changed
	}
	return true, nil
}

// come watches what came, if it is a directory, or one that can be read now. What
// is in it came before its watch, or with it.
func (t *tree) come(rel string) error {
	had := t.limit != nil
	if err := t.add(rel); err != nil { // a file is none; what cannot be read the walk sees
		return err
	}
	if t.limit != nil && !had {
		t.Trouble(t.limit)
	}
	if t.dirs[filepath.Join(t.Root, rel)] {
		t.touch(rel, true)
	}
	return nil
}

// leave stops watching a directory that went, with all below it: the kernel would
// go on to tell of one that was moved out by the name that it had.
func (t *tree) leave(path string) {
	if !t.dirs[path] {
		return
	}
	if _, err := os.Lstat(path); err == nil {
		return // there is another one already
	}
	for p := range t.dirs {
		if p == path || strings.HasPrefix(p, path+"/") {
			delete(t.dirs, p)
			_ = t.w.Remove(p) // it may have gone by itself
		}
	}
}
