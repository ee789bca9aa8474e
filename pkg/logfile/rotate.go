package logfile

import (
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coltec/coltec/pkg/anchor"
)

// Agents and other users may write the directory of logs, and put a link, a pipe or
// somebody's file in the place of any name in it. So the directory is opened by package
// anchor each time that a name in it is needed, and a file is written and compressed only
// where it is one, under its one name.

const (
	// backupStamp is what the name of a rotated log has of the moment.
	backupStamp = "2006-01-02T15-04-05.000"
	// asideMark is in the names of what is moved out of the way of a log.
	asideMark = ".aside-"
	extension = ".log"
)

// file is a log that rotates.
type file struct {
	opts *Options
	name string // without extension

	mu     sync.Mutex
	f      *os.File
	info   fs.FileInfo // of f
	size   int64
	milled sync.Mutex // held by who compresses and removes backups
}

// Write adds to the log, to a new one when it has no room.
func (l *file) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil {
		if now, err := os.Lstat(l.opts.path(l.name)); err != nil || !os.SameFile(l.info, now) {
			l.close() // somebody removed or replaced it: a new one, not a file without a name
		}
	}
	if l.f == nil {
		if err := l.open(len(p)); err != nil {
			return 0, err
		}
	} else if l.full(len(p)) {
		l.close()
		if err := l.open(len(p)); err != nil {
			return 0, err
		}
	}
	n, err := l.f.Write(p)
	l.size += int64(n)
	return n, err
}

func (l *file) full(more int) bool {
	return l.size > 0 && l.size+int64(more) > int64(l.opts.MaxSizeMB)<<20
}

// open opens the log for so many bytes, and rotates the one that is there if need be.
func (l *file) open(more int) error {
	dir, err := anchor.OpenRoot(l.opts.Dir, l.opts.Within, 0o755)
	if err != nil {
		return err
	}
	defer dir.Close()
	if l.f, err = openIn(dir, l.name+extension, 0o600); err != nil {
		return err
	}
	if err := l.look(); err != nil {
		return err
	}
	if l.full(more) {
		mode := l.info.Mode().Perm()
		l.close()
		if err := dir.Rename(l.name+extension, unused(dir, l.name, "-", extension)); err != nil {
			return err
		}
		if l.f, err = openIn(dir, l.name+extension, mode); err != nil {
			return err
		}
		if err := l.look(); err != nil {
			return err
		}
	}
	go l.mill()
	return nil
}

// look notes what was opened.
func (l *file) look() (err error) {
	if l.info, err = l.f.Stat(); err != nil {
		l.close()
		return err
	}
	l.size = l.info.Size()
	return nil
}

// Close closes the file. The next Write opens it again.
func (l *file) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.close()
}

func (l *file) close() (err error) {
	if l.f != nil {
		err = l.f.Close()
		l.f = nil
	}
	return err
}

// OpenAppend opens the log called name, below a directory and within a folder as
// [Options] has them, for who writes it without a Sink.
func OpenAppend(dir, within, name string) (*os.File, error) {
	root, err := anchor.OpenRoot(dir, within, 0o755)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return openIn(root, name+extension, 0o600)
}

// openIn opens a log to append to. What is none is moved out of its way, and so is one
// that another user left, which we may not write.
func openIn(dir *os.Root, name string, mode os.FileMode) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_APPEND | os.O_CREATE
	f, err := anchor.OpenFile(dir, name, flags, mode)
	if !errors.Is(err, anchor.ErrPlanted) && !errors.Is(err, fs.ErrPermission) {
		return f, err
	}
	if moved := dir.Rename(name, unused(dir, name, asideMark, "")); moved != nil {
		return nil, errors.Join(err, moved)
	}
	return anchor.OpenFile(dir, name, flags, mode)
}

// unused gives a name with the moment in it that nothing has yet.
func unused(dir *os.Root, name, mark, end string) string {
	for now := time.Now().UTC(); ; now = now.Add(time.Millisecond) {
		next := name + mark + now.Format(backupStamp) + end
		_, err := dir.Lstat(next)
		_, zipped := dir.Lstat(next + compressed)
		if err != nil && zipped != nil {
			return next
		}
	}
}

// mill removes backups that are too many or too old, and compresses the rest. What goes
// wrong is tried again with the next rotation.
func (l *file) mill() {
	if !l.milled.TryLock() {
		return
	}
	defer l.milled.Unlock()
	dir, err := anchor.OpenRoot(l.opts.Dir, l.opts.Within, 0)
	if err != nil {
		return
	}
	defer dir.Close()
	kept := 0
	oldest := time.Now().Add(-time.Duration(l.opts.MaxAgeDays) * 24 * time.Hour)
	for _, backup := range l.backups(dir) {
		kept++
		if l.opts.MaxBackups > 0 && kept > l.opts.MaxBackups || l.opts.MaxAgeDays > 0 && backup.made.Before(oldest) {
			_ = dir.Remove(backup.name)
			_ = dir.Remove(backup.name + compressed)
		} else if l.opts.Compress {
			_ = compress(dir, backup.name)
		}
	}
}

// backup is a rotated log, compressed or not.
type backup struct {
	name string
	made time.Time
}

// backups are the rotated logs, newest first.
func (l *file) backups(dir *os.Root) []backup {
	d, err := dir.Open(".")
	if err != nil {
		return nil
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil
	}
	var found []backup
	for _, name := range names {
		name = strings.TrimSuffix(name, compressed)
		stamp, ok := strings.CutPrefix(strings.TrimSuffix(name, extension), l.name+"-")
		made, err := time.Parse(backupStamp, stamp)
		if ok && err == nil && strings.HasSuffix(name, extension) {
			found = append(found, backup{name, made})
		}
	}
	slices.SortFunc(found, func(a, b backup) int { return strings.Compare(b.name, a.name) })
	return slices.Compact(found) // both are there while it is compressed
}

// compress makes the compressed file of a backup that has none.
func compress(dir *os.Root, name string) (err error) {
	from, err := anchor.OpenFile(dir, name, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	_ = dir.Remove(name + compressed) // of a run that was cut off
	to, err := dir.OpenFile(name+compressed, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	z := gzip.NewWriter(to)
	_, err = io.Copy(z, from)
	if err = errors.Join(err, z.Close(), to.Close()); err != nil {
		return errors.Join(err, dir.Remove(name+compressed))
	}
	return dir.Remove(name)
}
