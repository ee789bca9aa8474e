package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/coltec/coltec/pkg/tree"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// download fetches objects that are not there yet to dir/.coltec/KEY and
// verifies each against its name.
func (s *Snapshot) download(ctx context.Context, keys []string, dir string, progress Progress) error {
	var missing []string
	for _, key := range keys {
		if verify(filepath.Join(dir, Dir, key)) != nil {
			missing = append(missing, path.Join(Dir, key))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if _, err := s.bucket.Download(ctx, missing, dir, progress); err != nil {
		return err
	}
	for _, key := range missing {
		file := filepath.Join(dir, key)
		if err := verify(file); err != nil {
			os.Remove(file)
			return fmt.Errorf("cannot use object %q: %w", key, err)
		}
	}
	return nil
}

// verify says whether a file's bytes are those that its name promises.
func verify(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	name := filepath.Base(file)
	if !strings.HasSuffix(name, "-"+hex.EncodeToString(h.Sum(nil))) {
		return errors.New("its bytes are not those its name promises")
	}
	return nil
}

// Fetch downloads the objects that entries need and puts the files together, a
// few at a time.
func (s *Snapshot) Fetch(ctx context.Context, entries []*tree.Entry, dir string, progress Progress) error {
	if err := s.download(ctx, objectsOf(entries), dir, progress); err != nil {
		return err
	}
	if len(entries) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), 4, 1+len(entries)/assembleRun) {
		workers.Go(func() {
			if err := assembleRuns(ctx, entries, &next, dir); err != nil {
				cancel(err)
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

func objectsOf(entries []*tree.Entry) []string {
	var keys []string
	seen := map[string]bool{}
	for _, e := range entries {
		for _, x := range e.Where {
			if !seen[x.Object] {
				seen[x.Object] = true
				keys = append(keys, x.Object)
			}
		}
	}
	return keys
}

// assembleRun is how many files a worker takes at a time: neighbours, which lie
// in the same object.
const assembleRun = 64

// assembleRuns takes runs of entries until there are none left.
func assembleRuns(ctx context.Context, entries []*tree.Entry, next *atomic.Int64, dir string) error {
	a, err := newAssembler(dir)
	if err != nil {
		return err
	}
	defer a.close()
	for {
		from := int(next.Add(assembleRun)) - assembleRun
		if from >= len(entries) {
			return nil
		}
		for i, e := range entries[from:min(from+assembleRun, len(entries))] {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := a.assemble(e, strconv.Itoa(from+i)); err != nil {
				return fmt.Errorf("cannot put %q together: %w", e.Path, err)
			}
		}
	}
}

// assembler writes files into a directory from the objects below it. One
// goroutine has it.
type assembler struct {
	dir     int                 // descriptor
	objects string              // directory
	open    map[string]*os.File // of objects
	stream  *zstd.Decoder       // of large frames
	whole   *zstd.Decoder       // of small ones
	stored  []byte
	content []byte
}

const (
	// smallFrame is the size up to which a frame is read and decoded at once.
	smallFrame = 1 << 20
	// openObjects bounds the objects that are open at a time.
	openObjects = 16
)

func newAssembler(dir string) (*assembler, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	a := &assembler{dir: fd, objects: filepath.Join(dir, Dir), open: map[string]*os.File{}}
	if a.whole, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(smallFrame)); err == nil {
		a.stream, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	}
	if err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

func (a *assembler) close() {
	unix.Close(a.dir)
	a.closeObjects()
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

// create makes a new file. A run that was cut off may have left one of that name
// that must not be written.
func (a *assembler) create(name string) (*os.File, error) {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_CLOEXEC
	fd, err := unix.Openat(a.dir, name, flags, 0o600)
	if errors.Is(err, unix.EEXIST) {
		if err := unix.Unlinkat(a.dir, name, 0); err != nil {
			return nil, &os.PathError{Op: "remove", Path: name, Err: err}
		}
		fd, err = unix.Openat(a.dir, name, flags, 0o600)
	}
	if err != nil {
		return nil, &os.PathError{Op: "create", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// assemble writes the content of e from its objects to a file, and verifies it.
func (a *assembler) assemble(e *tree.Entry, name string) error {
	f, err := a.create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	for _, x := range e.Where {
		if err := a.copy(io.MultiWriter(f, sum), x); err != nil {
			return err
		}
	}
	if got := tree.Sum(sum.Sum(nil)); got != e.Sum {
		return fmt.Errorf("its content has hash %s, not %s", got, e.Sum)
	}
	return f.Close()
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

// wantSize says whether an extent had the size that it is said to have.
func wantSize(x tree.Extent, n int64) error {
	if n != x.Size {
		return fmt.Errorf("%d bytes where %d were stored", n, x.Size)
	}
	return nil
}
