package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/coltec/coltec/pkg/sparse"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/klauspost/compress/zstd"
)

// target is a file that is put together.
type target struct {
	*tree.Entry
	name  string
	left  atomic.Int64 // parts that are not there yet
	stale bool         // a run that was cut off left something where parts come
}

// wrap says of an error what could not be done.
func (t *target) wrap(err error) error { return fmt.Errorf("cannot put %q together: %w", t.Path, err) }

// wantSum reports whether the content is what it is to be.
func (t *target) wantSum(sum hash.Hash) error {
	if got := tree.Sum(sum.Sum(nil)); got != t.Sum {
		return fmt.Errorf("its content has hash %s, not %s", got, t.Sum)
	}
	return nil
}

// part is an extent of a file, with its place there.
type part struct {
	file *target
	i    int   // in its Where
	at   int64 // where its content begins
}

func (p *part) extent() *tree.Extent { return &p.file.Where[p.i] }

// assembler writes files into a directory from the objects below it. One
// goroutine has it.
type assembler struct {
	dir     *folder
	objects string              // directory
	open    map[string]*os.File // of objects
	file    *os.File            // of several parts, the last that one was written to
	stream  *zstd.Decoder       // of large frames
	whole   *zstd.Decoder       // of small ones
	stored  []byte
	content []byte
	zeros   map[int64]string // hashes of so many zeros
}

const (
	// smallFrame is the size up to which a frame is read and decoded at once.
	smallFrame = 1 << 20
	// openObjects bounds the objects that are open at a time.
	openObjects = 16
)

func newAssembler(dir string) (*assembler, error) {
	into, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	a := &assembler{dir: into, objects: filepath.Join(dir, Dir), open: map[string]*os.File{}, zeros: map[int64]string{}}
	if a.whole, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(smallFrame)); err == nil {
		a.stream, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	}
	if err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

func (a *assembler) close() {
	a.dir.close()
	a.closeObjects()
	if a.file != nil {
		a.file.Close()
	}
	if a.whole != nil {
		a.whole.Close()
	}
	if a.stream != nil {
		a.stream.Close()
	}
}

func (a *assembler) closeObjects() {
	for _, f := range a.open {
		f.Close()
	}
	clear(a.open)
}

// object opens an object for reading.
func (a *assembler) object(key string) (*os.File, error) {
	if f := a.open[key]; f != nil {
		return f, nil
	}
	if len(a.open) >= openObjects {
		a.closeObjects()
	}
	f, err := os.Open(filepath.Join(a.objects, key))
	if err == nil {
		a.open[key] = f
	}
	return f, err
}

// drop closes an object that nothing is needed of any more.
func (a *assembler) drop(key string) {
	if f := a.open[key]; f != nil {
		f.Close()
		delete(a.open, key)
	}
}

// create makes a new file. A run that was cut off may have left one of that name
// that must not be written.
func (a *assembler) create(name string) (*os.File, error) {
	const flags = os.O_RDWR | os.O_CREATE | os.O_EXCL
	f, err := a.dir.openFile(name, flags)
	if errors.Is(err, fs.ErrExist) {
		if err := a.dir.remove(name); err != nil {
			return nil, err
		}
		f, err = a.dir.openFile(name, flags)
	}
	return f, err
}

// assemble writes the content of a file of one part, or of none, and verifies it
// on the way.
func (a *assembler) assemble(t *target) error {
	f, err := a.create(t.name)
	if err != nil {
		return err
	}
	defer f.Close()
	sum, w := sha256.New(), sparse.NewWriter(f, 0, true)
	for _, x := range t.Where {
		if err := a.copy(io.MultiWriter(w, sum), x); err != nil {
			return err
		}
	}
	return errors.Join(t.wantSum(sum), w.Finish(), f.Close())
}

// begin makes a file that several parts make up, or goes on with one that a run which
// was cut off has left. All of it is a hole before parts come.
func (a *assembler) begin(t *target) error {
	f, err := a.dir.openFile(t.name, os.O_RDWR)
	if t.stale = err == nil; !t.stale {
		f, err = a.create(t.name)
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(t.Size), f.Close())
}

// present puts a part in its place that need not come, and reports whether it is
// there: it was left by a run that was cut off, is all zeros, or is on this machine.
func (a *assembler) present(p part, here *Here) (found bool, err error) {
	x := p.extent()
	if len(p.file.Where) == 1 || x.Sum == "" || x.Size < 0 || x.Size > maxPart {
		return false, nil
	}
	if a.isZero(x) {
		return true, a.hole(p)
	}
	if p.file.stale {
		found, err = a.has(p)
	}
	if err == nil && !found && here != nil && here.Part != nil {
		found, err = a.find(p, here.Part)
	}
	return found, err
}

// zeroRatio is how much less than its size a part of zeros is at least when it is
// stored: others need not be looked at.
const zeroRatio = 64

// MayBeZero reports whether a part is so small in the bucket that it may be all zeros.
func MayBeZero(x *tree.Extent) bool {
	return x.Codec == tree.Zstd && x.Size >= minPart && x.Stored <= x.Size/zeroRatio
}

// isZero reports whether a part is all zeros.
func (a *assembler) isZero(x *tree.Extent) bool {
	if !MayBeZero(x) {
		return false
	}
	sum, known := a.zeros[x.Size]
	if !known {
		digest := sha256.Sum256(make([]byte, x.Size))
		sum = string(digest[:])
		a.zeros[x.Size] = sum
	}
	return sum == x.Sum
}

// hole makes a part's place a hole.
func (a *assembler) hole(p part) error {
	if _, err := a.at(p); err != nil {
		return err
	}
	if p.file.stale {
		if err := sparse.Punch(a.file, p.at, p.extent().Size); err != nil {
			return err
		}
	}
	return a.done(p)
}

// has reports whether a part is in its place already.
func (a *assembler) has(p part) (bool, error) {
	x := p.extent()
	if _, err := a.at(p); err != nil {
		return false, err
	}
	a.content = slices.Grow(a.content[:0], int(x.Size))[:x.Size]
	if _, err := a.file.ReadAt(a.content, p.at); err != nil {
		return false, err
	}
	if sum := sha256.Sum256(a.content); string(sum[:]) != x.Sum {
		return false, nil
	}
	return true, a.done(p)
}

// at is the place of a part of such a file.
func (a *assembler) at(p part) (io.Writer, error) {
	if a.file == nil || a.file.Name() != p.file.name {
		if a.file != nil {
			a.file.Close()
		}
		var err error
		if a.file, err = a.dir.openFile(p.file.name, os.O_RDWR); err != nil {
			return nil, err
		}
	}
	return sparse.NewWriter(a.file, p.at, !p.file.stale), nil
}

// put writes a part whose object is there to its place, and verifies it on the way:
// parts come in any order, and more than one at a time.
func (a *assembler) put(p part) error {
	if len(p.file.Where) == 1 {
		return a.assemble(p.file)
	}
	w, err := a.at(p)
	if err != nil {
		return err
	}
	x, sum := p.extent(), sha256.New()
	if err := a.copy(io.MultiWriter(w, sum), *x); err != nil {
		return err
	}
	if got := string(sum.Sum(nil)); x.Sum != "" && got != x.Sum {
		return fmt.Errorf("its part at %d has hash %x, not %x", p.at, got, x.Sum)
	}
	return a.done(p)
}

// find does it with a part that is on this machine, and reports whether it is.
func (a *assembler) find(p part, here func(sum string, b []byte) bool) (bool, error) {
	x := p.extent()
	a.content = slices.Grow(a.content[:0], int(x.Size))[:x.Size]
	if !here(x.Sum, a.content) {
		return false, nil
	}
	if sum := sha256.Sum256(a.content); string(sum[:]) != x.Sum {
		return false, nil
	}
	w, err := a.at(p)
	if err != nil {
		return false, err
	}
	if _, err := w.Write(a.content); err != nil {
		return false, err
	}
	return true, a.done(p)
}

// done notes that a part is in its place. A file is what its parts are; one that has
// a part whose hash nobody took is read again when it is whole.
func (a *assembler) done(p part) error {
	flushSoon(a.file, p.at, p.extent().Size)
	t := p.file
	if t.left.Add(-1) > 0 || !slices.ContainsFunc(t.Where, func(x tree.Extent) bool { return x.Sum == "" }) {
		return nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(a.file, 0, t.Size)); err != nil {
		return err
	}
	return t.wantSum(sum)
}

// copy writes the content of an extent.
func (a *assembler) copy(w io.Writer, x tree.Extent) error {
	f, err := a.object(x.Object)
	if err != nil {
		return err
	}
	if x.Size <= smallFrame && x.Stored <= smallFrame {
		return a.copySmall(w, f, x)
	}
	var r io.Reader = io.NewSectionReader(f, x.Offset, x.Stored)
	switch x.Codec {
	case tree.Raw:
	case tree.Zstd:
		if err := a.stream.Reset(r); err != nil {
			return err
		}
		r = a.stream
	default:
		return unknownCodec(x)
	}
	n, err := io.Copy(w, io.LimitReader(r, x.Size+1))
	return errors.Join(err, wantSize(x, n))
}

// copySmall does it for what fits into memory.
func (a *assembler) copySmall(w io.Writer, f *os.File, x tree.Extent) error {
	a.stored = slices.Grow(a.stored[:0], int(x.Stored))[:x.Stored]
	if _, err := f.ReadAt(a.stored, x.Offset); err != nil {
		return err
	}
	content := a.stored
	switch x.Codec {
	case tree.Raw:
	case tree.Zstd:
		var err error
		if a.content, err = a.whole.DecodeAll(a.stored, a.content[:0]); err != nil {
			return err
		}
		content = a.content
	default:
		return unknownCodec(x)
	}
	if err := wantSize(x, int64(len(content))); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}

func unknownCodec(x tree.Extent) error {
	return fmt.Errorf("codec %q is not known to this version of coltecd", x.Codec)
}

// wantSize reports whether an extent had the size that it is said to have.
func wantSize(x tree.Extent, n int64) error {
	if n != x.Size {
		return fmt.Errorf("%d bytes where %d were stored", n, x.Size)
	}
	return nil
}
