package logfile

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// poll is how often Follow looks: as good as at once for a person. Inotify would
// be cheaper and is silent on some bind mounts; nobody follows for long.
const poll = 200 * time.Millisecond

// Follow is Read, and then goes on with what is added, through rotations, until
// ctx ends (nil) or w fails. It writes whole lines only.
func Follow(ctx context.Context, path string, lines int, w io.Writer) error {
	f := follower{path: path, out: w}
	defer f.close()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		if err := f.advance(lines); err != nil {
			return err
		}
		lines = -1 // only the first file is read from its end
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// follower is the place in a log that was read so far.
type follower struct {
	path string
	out  io.Writer
	file *os.File  // nil before the log exists
	text io.Reader // of file; another one if it is a compressed backup
	name string    // of a backup; empty: file was the current log when it was opened
	old  []string  // backups that were there when file was last seen as the current log
	rest []byte    // of a line that is not whole yet
}

// advance writes what has come since the last time.
func (f *follower) advance(lines int) error {
	if f.file == nil {
		if err := f.open("", lines); err != nil || f.file == nil {
			return err
		}
	}
	for {
		// First see whether it was rotated, then read: what was written in between
		// is in the next round.
		rotated, next, err := f.successor()
		if err != nil {
			return err
		}
		if err := f.drain(); err != nil {
			return err
		}
		if !rotated {
			return nil
		}
		f.close()
		if err := f.open(next, -1); err != nil || f.file == nil {
			return err
		}
	}
}

// open opens a backup, or with no name the current log.
func (f *follower) open(backup string, lines int) error {
	if backup != "" {
		return f.openBackup(backup)
	}
	old := backups(f.path) // before the file: a rotation in between is seen as one
	file, err := os.Open(f.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f.file, f.text, f.name, f.old = file, file, "", old
	return seekLines(file, lines)
}

// openBackup opens a whole backup. It is compressed behind our back, and removed
// when there are too many: what is gone is gone.
func (f *follower) openBackup(name string) error {
	file, err := os.Open(name)
	if err == nil {
		f.file, f.text, f.name = file, file, name
		return nil
	}
	if file, err = os.Open(name + compressed); err != nil {
		return f.open("", -1)
	}
	text, err := gzip.NewReader(file)
	if err != nil {
		file.Close()
		return f.open("", -1)
	}
	f.file, f.text, f.name = file, text, name
	return nil
}

func (f *follower) close() {
	if f.file != nil {
		f.file.Close()
		f.file = nil
	}
}

// successor says whether the open file is the current log no more, and which
// backup follows it; none: the current log does.
func (f *follower) successor() (rotated bool, next string, err error) {
	if f.name != "" {
		return true, after(backups(f.path), f.name), nil
	}
	mine, err := f.file.Stat()
	if err != nil {
		return false, "", err
	}
	now := backups(f.path)
	current, err := os.Stat(f.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return false, "", nil // between rename and create, or removed: wait for the new one
	case err != nil:
		return false, "", err
	case os.SameFile(mine, current):
		f.old = now
		return false, "", f.truncated(mine.Size())
	}
	// The first backup that was not there when ours was current is ours, what
	// follows came after it.
	for _, name := range now {
		if !slices.Contains(f.old, name) {
			return true, after(now, name), nil
		}
	}
	return true, "", nil
}

// after is the name that follows, or none.
func after(names []string, name string) string {
	for _, other := range names {
		if other > name {
			return other
		}
	}
	return ""
}

// truncated starts over when somebody emptied the file.
func (f *follower) truncated(size int64) error {
	at, err := f.file.Seek(0, io.SeekCurrent)
	if err == nil && at > size {
		f.rest = nil
		_, err = f.file.Seek(0, io.SeekStart)
	}
	return err
}

// compressed is what a backup's name ends in once it is.
const compressed = ".gz"

// backups are the rotated files of path, oldest first, without compressed: their
// stamps sort.
func backups(path string) []string {
	ext := filepath.Ext(path)
	start := escapeGlob(strings.TrimSuffix(path, ext)) + "-[0-9]*" + ext
	found, _ := filepath.Glob(start)
	zipped, _ := filepath.Glob(start + compressed)
	for _, name := range zipped {
		found = append(found, strings.TrimSuffix(name, compressed))
	}
	slices.Sort(found)
	return slices.Compact(found) // both are there while it is compressed
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

// drain writes the whole lines up to the end of the file.
func (f *follower) drain() error {
	buf := make([]byte, 32<<10)
	for {
		n, err := f.text.Read(buf)
		f.rest = append(f.rest, buf[:n]...)
		if end := bytes.LastIndexByte(f.rest, '\n') + 1; end > 0 {
			if _, err := f.out.Write(f.rest[:end]); err != nil {
				return err
			}
			f.rest = append(f.rest[:0], f.rest[end:]...)
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// seekLines moves f to the start of its last lines; below 0, to its start.
func seekLines(f *os.File, lines int) error {
	if lines < 0 {
		return nil
	}
	at, err := f.Seek(0, io.SeekEnd)
	if err != nil || lines == 0 {
		return err
	}
	buf := make([]byte, 16<<10)
	for end := at; at > 0; {
		n := min(at, int64(len(buf)))
		at -= n
		if _, err := f.ReadAt(buf[:n], at); err != nil {
			return err
		}
		for i := n - 1; i >= 0; i-- {
			if buf[i] != '\n' || at+i+1 == end {
				continue // the last line's own end does not count
			}
			if lines--; lines <= 0 {
				return seekTo(f, at+i+1)
			}
		}
	}
	return seekTo(f, at)
}

func seekTo(f *os.File, at int64) error {
	_, err := f.Seek(at, io.SeekStart)
	return err
}
