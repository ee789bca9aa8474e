package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"gopkg.in/natefinch/lumberjack.v2"

	"github.com/coltec/coltec/pkg/anchor"
)

// Agents and other users may write the workspace, and put a link, a pipe or somebody's
// file in the place of a log, or a link in the place of their directory. So the directory
// is opened by package anchor and held, it is one in which nobody else can put names, and
// lumberjack works below it by a path that nobody can redirect.

const (
	extension = ".log"
	// asideMark is in the names of what is moved out of the way of a log.
	asideMark  = ".aside-"
	asideStamp = "2006-01-02T15-04-05.000"
)

// file is a log that rotates.
type file struct {
	opts *Options
	name string // without extension

	mu     sync.Mutex
	dir    *os.File           // that logger works in; nil before the first Write
	logger *lumberjack.Logger // a closed one works again
	info   fs.FileInfo        // of what was written last
}

// Write adds to the log, to a new one when it has no room.
func (l *file) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.current() { // somebody removed or replaced it: a new one, not a file without a name
		if err := l.open(); err != nil {
			return 0, err
		}
	}
	n, err := l.logger.Write(p)
	if err != nil && n == 0 {
		// lumberjack fails a write when it cannot chown the new file to the owner of the
		// old one, but has rotated by then: a second try succeeds.
		n, err = l.logger.Write(p)
	}
	l.info, _ = os.Lstat(l.logger.Filename) // it may have rotated
	if err != nil && n > 0 {
		l.info = nil // its last line is cut: open ends it
	}
	return n, err
}

// current reports whether the path of the log leads to the file that was written last.
func (l *file) current() bool {
	if l.info == nil || !l.info.Mode().IsRegular() {
		return false
	}
	there, err := os.Lstat(l.opts.path(l.name))
	return err == nil && os.SameFile(there, l.info)
}

// open makes the logger work where the path leads by now.
func (l *file) open() error {
	_ = l.close() // what it has open may have no name any more
	dir, err := directory(l.opts.Dir, l.opts.Within)
	if err != nil {
		return err
	}
	log, err := vacate(dir, l.name+extension)
	if err != nil {
		return errors.Join(err, dir.Close())
	}
	if err := errors.Join(endLine(log), log.Close()); err != nil {
		return errors.Join(err, dir.Close())
	}
	if l.dir != nil {
		// The logger continues with the number that it knows. One that was let go would be
		// somebody else's soon, and its goroutine may still compress below it.
		return errors.Join(unix.Dup3(int(dir.Fd()), int(l.dir.Fd()), unix.O_CLOEXEC), dir.Close())
	}
	l.dir, l.logger = dir, &lumberjack.Logger{
		Filename: filepath.Join(anchor.At(dir), l.name+extension), Compress: l.opts.Compress, MaxSize: l.opts.MaxSizeMB,
		MaxBackups: max(0, l.opts.MaxBackups), MaxAge: max(0, l.opts.MaxAgeDays),
	}
	return nil
}

// endLine ends the last line of a log, if that is cut: by a full disk, or by a kill in the
// middle of a write. What comes next is a line of its own.
func endLine(log *os.File) error {
	info, err := log.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	last := []byte{0}
	if _, err := log.ReadAt(last, info.Size()-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err = log.Write([]byte{'\n'})
	return err
}

// Close closes the file. The next Write opens it again.
func (l *file) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.close()
}

func (l *file) close() error {
	if l.logger == nil {
		return nil
	}
	return l.logger.Close()
}

// OpenAppend opens the log called name, below a directory and within a folder as
// [Options] has them, for a writer without a Sink.
func OpenAppend(dir, within, name string) (*os.File, error) {
	d, err := directory(dir, within)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return vacate(d, name+extension)
}

// Aside lists what was moved out of the way of the logs, by this process or an earlier
// one: nothing reads it, and it stays until a person removes it.
func (l *Logs) Aside() []string {
	var out []string
	for _, names := range []string{asideMark + "*", "/*" + extension + asideMark + "*"} {
		found, _ := filepath.Glob(escapeGlob(l.opts.Dir) + names)
		for _, path := range found {
			if _, err := time.Parse(asideStamp, path[strings.LastIndex(path, asideMark)+len(asideMark):]); err == nil {
				out = append(out, path)
			}
		}
	}
	return out
}

// directory opens the directory of the logs, and makes it where it is missing. One in the
// workspace in which others can put names is moved aside, where a new one can be closed to
// them: some file systems have no modes, and one owner for all. One elsewhere was named by
// who started coltecd.
func directory(path, within string) (*os.File, error) {
	dir, err := anchor.Open(path, within, 0o755)
	rel, outside := filepath.Rel(within, path)
	if err != nil || anchor.Own(dir) || within == "" || outside != nil || !filepath.IsLocal(rel) {
		return dir, err
	}
	above, err := anchor.OpenRoot(filepath.Dir(path), within, 0)
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	defer above.Close()
	if closes, err := closable(above); !closes {
		return dir, err
	}
	dir.Close()
	if err := aside(above, filepath.Base(path)); err != nil {
		return nil, err
	}
	if dir, err = anchor.Open(path, within, 0o755); err != nil {
		return nil, err
	}
	if !anchor.Own(dir) {
		return nil, errors.Join(fmt.Errorf("others can write in %s", path), dir.Close())
	}
	return dir, nil
}

// closable reports whether a directory can be made in one in which nobody else can put names.
func closable(in *os.Root) (bool, error) {
	top, err := in.Open(".")
	if err != nil {
		return false, err
	}
	defer top.Close()
	name, err := os.MkdirTemp(anchor.At(top), asideMark) // 0700
	if err != nil {
		return false, err
	}
	defer os.Remove(name)
	dir, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer dir.Close()
	return anchor.Own(dir), nil
}

// vacate opens a log to read and append to, which is a file of its own. What is none is moved out
// of its way, and so is one that another user left, which we may not write.
func vacate(dir *os.File, name string) (log *os.File, err error) {
	root, err := os.OpenRoot(anchor.At(dir))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	for range 2 {
		log, err = anchor.OpenFile(root, name, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
		if err == nil || !errors.Is(err, anchor.ErrPlanted) && !errors.Is(err, fs.ErrPermission) {
			return log, err
		}
		if moved := aside(root, name); moved != nil {
			return nil, errors.Join(err, moved)
		}
	}
	return nil, err
}

// aside gives what has a name another one, that nothing has yet.
func aside(dir *os.Root, name string) error {
	for now := time.Now().UTC(); ; now = now.Add(time.Millisecond) {
		next := name + asideMark + now.Format(asideStamp)
		if _, err := dir.Lstat(next); err != nil {
			return dir.Rename(name, next)
		}
	}
}
