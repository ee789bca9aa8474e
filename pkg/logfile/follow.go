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

// Follow is Read, and then continues with what is added, through rotations, until
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
	last string    // the newest backup that was read, or needs not be
	old  []string  // backups that were there when file was last seen as the current log
	rest []byte    // of a line that is not whole yet
}

// advance writes what has come since the last time.
func (f *follower) advance(lines int) error {
	if f.file == nil {
		open := f.openNext
		if f.last == "" {
			open = func() error { return f.openCurrent(lines) }
		}
		if err := open(); err != nil || f.file == nil {
			return err
		}
	}
	for {
		// First see whether it was rotated, then read: what was written in between
		// is in the next round.
		rotated, err := f.rotated()
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
		if err := f.openNext(); err != nil || f.file == nil {
			return err
		}
	}
}

// openCurrent opens the current log.
func (f *follower) openCurrent(lines int) error {
	old := backups(f.path) // before the file: a rotation in between is seen as one
	file, err := open(f.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f.file, f.text, f.name, f.old = file, file, "", old
	return seekLines(file, lines)
}

// openNext opens what follows the last backup: the one after it, or else the
// current log. Rotations may come faster than we look: the log that was opened is
// what follows only if no backup came meanwhile.
func (f *follower) openNext() error {
	for {
		if next := after(backups(f.path), f.last); next != "" {
			f.last = next
			if opened, err := f.openBackup(next); opened || err != nil {
				return err
			}
			continue
		}
		if err := f.openCurrent(-1); err != nil {
			return err
		}
		if after(backups(f.path), f.last) == "" {
			return nil
		}
		f.close()
	}
}

// openBackup opens a whole backup. It is compressed behind our back, and removed
// when there are too many: what is gone is gone.
func (f *follower) openBackup(name string) (bool, error) {
	file, err := open(name)
	if err == nil {
		f.file, f.text, f.name = file, file, name
		return true, nil
	}
	if file, err = open(name + compressed); err != nil {
		return false, nil
	}
	text, err := gzip.NewReader(file)
	if err != nil {
		file.Close()
		return false, nil
	}
	f.file, f.text, f.name = file, text, name
	return true, nil
}

func (f *follower) close() {
	if f.file != nil {
		f.file.Close()
		f.file = nil
	}
}

// rotated reports whether the open file is no longer the current log. Its own name as
// a backup is the last one then.
func (f *follower) rotated() (bool, error) {
	if f.name != "" {
		return true, nil
	}
	mine, err := f.file.Stat()
	if err != nil {
		return false, err
	}
	old := backups(f.path) // while ours is current, if it is
	current, err := os.Lstat(f.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return false, nil // between rename and create, or removed: wait for the new one
	case err != nil:
		return false, err
	case os.SameFile(mine, current):
		f.old = old
		return false, f.truncated(mine.Size())
	}
	// The first backup that was not there when ours was current is ours.
	f.last = newest(f.old)
	if own := after(backups(f.path), f.last); own != "" {
		f.last = own
	}
	return true, nil
}

// newest is the last of sorted names, or none.
func newest(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[len(names)-1]
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

// seekLines moves f to the start of its last lines; below 0, to its start, or to where so
// much follows as a reader may hold.
func seekLines(f *os.File, lines int) error {
	at, err := f.Seek(0, io.SeekEnd)
	if err != nil || lines == 0 {
		return err
	}
	first := max(0, at-readMost)
	if lines < 0 {
		return seekTo(f, first)
	}
	buf := make([]byte, 16<<10)
	for end := at; at > first; {
		n := min(at-first, int64(len(buf)))
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
