package logfile

import (
	"bytes"
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
	file *os.File // nil before the log exists
	rest []byte   // of a line that is not whole yet
}

// advance writes what has come since the last time.
func (f *follower) advance(lines int) error {
	if f.file == nil {
		if err := f.open(f.path, lines); err != nil || f.file == nil {
			return err
		}
	}
	for {
		// First see whether it was rotated, then read: what was written in between
		// is in the next round.
		next, err := f.successor()
		if err != nil {
			return err
		}
		if err := f.drain(); err != nil {
			return err
		}
		if next == "" {
			return nil
		}
		f.close()
		if err := f.open(next, -1); err != nil || f.file == nil {
			return err
		}
	}
}

func (f *follower) open(path string, lines int) error {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f.file = file
	return seekLines(file, lines)
}

func (f *follower) close() {
	if f.file != nil {
		f.file.Close()
		f.file = nil
	}
}

// successor is the file that follows the open one: "" while it is the current
// one, else the backup that was made after it, or the current file.
func (f *follower) successor() (string, error) {
	mine, err := f.file.Stat()
	if err != nil {
		return "", err
	}
	current, err := os.Stat(f.path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil // between rename and create, or removed: wait for the new one
	}
	if err != nil {
		return "", err
	}
	if os.SameFile(mine, current) {
		return "", f.truncated(mine.Size())
	}
	backups := backups(f.path)
	for i, b := range backups {
		info, err := os.Stat(b)
		if err == nil && os.SameFile(info, mine) && i+1 < len(backups) {
			return backups[i+1], nil
		}
	}
	return f.path, nil
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

// backups are the rotated files of path that are not compressed, oldest first:
// their stamps sort.
func backups(path string) []string {
	ext := filepath.Ext(path)
	found, _ := filepath.Glob(escapeGlob(strings.TrimSuffix(path, ext)) + "-[0-9]*" + ext)
	slices.Sort(found)
	return found
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

// drain writes the whole lines up to the end of the file.
func (f *follower) drain() error {
	buf := make([]byte, 32<<10)
	for {
		n, err := f.file.Read(buf)
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
