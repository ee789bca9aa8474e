package localfs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"hash/maphash"
	"io"
	"os"
	"time"

	"github.com/coltec/coltec/pkg/tree"
	"golang.org/x/sys/unix"
)

// Files that are written while they are read: docs/decisions/014. What is staged of
// one is a state that it had, whole.
const (
	// stateTries is how often a file that moves is read, within stateWithin of the
	// first time: a save is over by then, and who writes all the time has a pause.
	stateTries  = 3
	stateWithin = 200 * time.Millisecond
	// followRounds is how often a reader that comes to the end of a file looks
	// whether it goes on by now. Who writes slower than we read is caught up with
	// in one or two.
	followRounds = 8
	// youngFor is how long a file may change through a mapping without a sign: its
	// times move with the first store after a page was written to the disk, which
	// Linux does after 30 to 35 s by default.
	youngFor = time.Minute
	// againBuffer is what is read at once of a file that is read again.
	againBuffer = 128 << 10
)

// pauses are before each further try.
var pauses = [stateTries]time.Duration{0, 5 * time.Millisecond, 50 * time.Millisecond}

// Consumer takes the content of a file; seen is how it looked before. undo takes it back.
type Consumer func(content io.Reader, seen Seen) (undo func() error, err error)

// Taken is a state that a file had, as it was read.
type Taken struct {
	Sum  tree.Sum
	Seen Seen // of so many bytes as were read
	Tail Tail // what was not
}

// State reads a file in a state that it had, through read: once as a rule, again
// when it moved meanwhile. What it was seen as is what a later look is compared with:
// when the file may be another by now, no look is equal to it. had is how many bytes of it
// are agreed on: of a file that goes on with the beginning of a line alone nothing is read,
// and the error is [ErrUnfinished]. [ToTheEnd]: it is read to its last byte.
func (r *Reader) State(ctx context.Context, path string, had int64, read Consumer) (Taken, error) {
	began := time.Now()
	for try := 0; ; try++ {
		late := try > 0 && time.Since(began) > stateWithin
		p := passage{had: had, moved: try > 0, late: late, pause: func() bool { return r.pause(ctx, linePause) }}
		taken, err := r.readOnce(path, read, p)
		if !errors.Is(err, ErrMoved) || late || try+1 == stateTries || !r.pause(ctx, pauses[try+1]) {
			return taken, err
		}
	}
}

// pause waits before another try, as long as this Reader may.
func (r *Reader) pause(ctx context.Context, d time.Duration) bool {
	if r.care.waits < d {
		return false
	}
	r.care.waits -= d
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// readOnce is one try. A file that moved before is read from a clone, where the file
// system makes one; a late try reads from nothing else.
func (r *Reader) readOnce(path string, read Consumer, p passage) (Taken, error) {
	f, err := r.files.Open(path)
	if err != nil {
		return Taken{}, FileError{err}
	}
	defer f.Close()
	p.file, p.path, p.now, p.care = f, path, time.Now(), &r.care
	if p.began, err = f.Seen(); err != nil {
		return Taken{}, FileError{err}
	}
	if clone := r.clone(f, p.moved); clone != nil {
		defer clone.Close()
		p.file, p.of = clone, f
	} else if p.late {
		return Taken{}, FileError{ErrMoved}
	}
	undo, err := p.run(read)
	if err != nil {
		return Taken{Tail: p.tail}, err
	}
	seen, err := p.stood()
	if err != nil {
		if undo != nil {
			err = errors.Join(err, undo())
		}
		return Taken{}, err
	}
	if seen.CTime != 0 {
		r.quirks.DistrustCTime(&seen, time.Now())
	}
	return Taken{tree.Sum(p.sum.Sum(nil)), seen, p.tail}, nil
}

// cloner is a File of a file system that shares the extents of two files: the clone is
// the file at one moment, whoever writes.
type cloner interface {
	Clone(dir string) (File, error)
}

// clone clones a file into the stage; nil where that cannot be done, or need not.
func (r *Reader) clone(f File, moved bool) File {
	c, ok := f.(cloner)
	if !ok || !moved {
		return nil
	}
	clone, err := c.Clone(r.stage)
	if err != nil {
		return nil
	}
	return clone
}

// Clone clones the file into one of the directory's file system that has no name.
func (f openFile) Clone(dir string) (File, error) {
	fd, err := unix.Open(dir, unix.O_RDWR|unix.O_TMPFILE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "clone", Path: f.Name(), Err: err}
	}
	clone := openFile{os.NewFile(uintptr(fd), f.Name())}
	if err := unix.IoctlFileClone(fd, int(f.Fd())); err != nil {
		clone.Close()
		return nil, &os.PathError{Op: "clone", Path: f.Name(), Err: err}
	}
	return clone, nil
}

// passage is one reading of a file.
type passage struct {
	had   int64       // bytes that are agreed on, or ToTheEnd
	moved bool        // it moved before
	late  bool        // and that was long ago
	pause func() bool // waits for the rest of a line, if there is time

	path  string
	file  File
	of    File // what file is a clone of; nil: it is none
	care  *care
	now   time.Time // when it began
	began Seen      // how the file looked then
	ended Seen      // and when all of its bytes had been read
	size  int64     // that were read
	tail  Tail      // that was not
	sum   hash.Hash
	quick maphash.Hash // of the same: to compare with what is there
}

// run hands the content to who reads it.
func (p *passage) run(read Consumer) (undo func() error, err error) {
	in := &follower{file: p.file, size: p.began.Size, seen: p.began, rounds: followRounds, pause: p.pause}
	if p.had != ToTheEnd {
		in.whole = func(s Seen) (int64, error) { return wholeLines(p.file, p.path, s, time.Now()) }
	}
	if p.of != nil {
		s, err := p.file.Seen()
		if err != nil {
			return nil, FileError{err}
		}
		in.size, in.rounds = s.Size, 0
	}
	if err := in.begin(p.had); err != nil {
		p.tail = in.tail(p.had)
		return nil, err
	}
	p.sum = sha256.New()
	undo, err = read(io.TeeReader(in, io.MultiWriter(p.sum, &p.quick)), p.began)
	if err != nil {
		return nil, err
	}
	if !in.done { // it was not read to its end
		return nil, fmt.Errorf("internal error: %d bytes of a file were read, of %d", in.at, in.end)
	}
	p.ended, p.size, p.tail = in.seen, in.end, in.tail(in.end)
	return undo, nil
}

// stood reports whether what was read is a state that the file had, and how that looked.
func (p *passage) stood() (Seen, error) {
	if p.of != nil {
		return p.cloned()
	}
	seen := p.began
	still := p.ended == p.began
	if still && !p.young() && p.tail.Bytes == 0 {
		return seen, nil
	}
	// One that did not grow was written in place, cut short or touched. Some write two
	// contents by turns, of which two readings can have the same mixture.
	if !still && !p.renamed() && p.ended.Size <= p.began.Size || p.ended.Size < p.size {
		return Seen{}, FileError{ErrMoved}
	}
	// All bytes were read before the moment of ended, and all are read again behind
	// it: when they are the same, they stood together at that moment.
	same, err := p.again()
	if err == nil && !same {
		err = FileError{ErrMoved}
	}
	if err != nil {
		return Seen{}, err
	}
	now, err := p.file.Seen()
	if err != nil {
		return Seen{}, FileError{err}
	}
	if !still || now != p.began || p.tail.Bytes > 0 {
		seen.Size, seen.CTime = p.size, 0
	}
	return seen, nil
}

// renamed reports whether no more than the names of the inode changed: another file has got
// its name, as editors save. A write changes the time of the content too.
func (p *passage) renamed() bool {
	now := p.ended
	now.CTime = p.began.CTime
	return now == p.began
}

// cloned says how the file looked when it was cloned.
func (p *passage) cloned() (Seen, error) {
	now, err := p.of.Seen()
	if err != nil {
		return Seen{}, FileError{err}
	}
	seen := p.began
	if now != p.began || p.size != p.began.Size {
		seen.Size, seen.CTime = p.size, 0
	}
	return seen, nil
}

// young reports whether the file may have changed without a sign since it was opened. By a
// clock that is ahead of ours it is too.
func (p *passage) young() bool { return p.now.UnixNano()-p.began.CTime < int64(youngFor) }

// again reads what was read once more and reports whether it is the same.
func (p *passage) again() (bool, error) {
	var quick maphash.Hash
	quick.SetSeed(p.quick.Seed())
	if p.care.buffer == nil {
		p.care.buffer = make([]byte, againBuffer)
	}
	n, err := io.CopyBuffer(&quick, io.NewSectionReader(p.file, 0, p.size), p.care.buffer)
	if err != nil {
		return false, FileError{err}
	}
	return n == p.size && quick.Sum64() == p.quick.Sum64(), nil
}

// follower reads a file to its end. When it comes there it looks whether the file goes
// on by now: then all bytes of the size that it found last were read before.
type follower struct {
	file   File
	at     int64
	size   int64                     // as far as the file goes, as is known
	end    int64                     // and as far as it is read
	rounds int                       // how often it may go on
	seen   Seen                      // how the file looked last
	done   bool                      // all was read
	whole  func(Seen) (int64, error) // how far a file is to be read; nil: to its last byte
	pause  func() bool
	waited bool // for the rest of a line
}

// begin finds out how far the file goes. had is as for [Reader.State].
func (r *follower) begin(had int64) error {
	if err := r.reach(); err != nil {
		return err
	}
	for r.end < r.size && r.end <= had && had <= r.size {
		on, err := r.goOn()
		if err != nil {
			return err
		}
		if !on {
			return FileError{ErrUnfinished}
		}
	}
	return nil
}

// reach finds out how far the file is to be read.
func (r *follower) reach() (err error) {
	r.end = r.size
	if r.whole != nil {
		seen := r.seen
		seen.Size = r.size
		r.end, err = r.whole(seen)
	}
	if err == nil && r.end < r.at { // what was read is not what is there now
		err = FileError{ErrMoved}
	}
	return err
}

// goOn looks whether there is more of the file by now. A line that is half there may be whole
// in a moment.
func (r *follower) goOn() (on bool, err error) {
	if err := r.look(); err != nil {
		return false, err
	}
	if r.seen.Size <= r.size && r.end < r.size && r.rounds > 0 && !r.waited && r.pause() {
		r.waited = true
		if err := r.look(); err != nil {
			return false, err
		}
	}
	if r.seen.Size <= r.size || r.rounds == 0 {
		return false, nil
	}
	r.rounds--
	r.size = r.seen.Size
	return true, r.reach()
}

func (r *follower) look() error {
	now, err := r.file.Seen()
	if err != nil {
		return FileError{err}
	}
	r.seen = now
	return nil
}

// tail is what of the file is left out, from a place on.
func (r *follower) tail(from int64) Tail {
	if r.end >= r.size {
		return Tail{}
	}
	return Tail{Bytes: r.size - from, Rests: time.Unix(0, r.seen.MTime).Add(LinesRest)}
}

func (r *follower) Read(b []byte) (int, error) {
	for r.at >= r.end {
		if r.done {
			return 0, io.EOF
		}
		on, err := r.goOn()
		if err != nil {
			return 0, err
		}
		if !on {
			r.done = true
			return 0, io.EOF
		}
	}
	n, err := r.file.ReadAt(b[:min(int64(len(b)), r.end-r.at)], r.at)
	r.at += int64(n)
	switch {
	case n > 0 || len(b) == 0:
		return n, nil
	case err == nil || err == io.EOF: // it was cut short
		return 0, FileError{ErrMoved}
	}
	return 0, FileError{err}
}
