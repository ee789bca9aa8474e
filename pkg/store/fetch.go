package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/tree"
)

// pointUnpacked is a step of a fetch at which a crash test kills the process.
var pointUnpacked = killpoint.New("fetch:unpacked")

// Fetch puts files together while their objects come: what has arrived is
// unpacked while the network brings the next. A file's own hash is what it is held
// to; that of an object is looked at where the object lay here before, or where a
// file did not come out right.
func (s *Snapshot) Fetch(ctx context.Context, entries []*tree.Entry, dir string, here *Here, progress Progress) error {
	if len(entries) == 0 {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f := fetch{dir: dir, missing: map[string][]part{}, broken: map[string]error{}}
	if here != nil {
		f.later = here.Later
	}
	if err := f.begin(ctx, entries, here); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), 4, cap(f.arrived)) {
		workers.Go(func() {
			if err := f.work(ctx); err != nil {
				cancel(err)
			}
		})
	}
	if _, err := s.bring(ctx, f.objects, dir, f.arrive, progress); err != nil {
		cancel(err)
	}
	close(f.arrived)
	workers.Wait()
	return context.Cause(ctx)
}

// fetch is one Fetch.
type fetch struct {
	dir     string
	objects []string          // that are needed, in the order of entries
	missing map[string][]part // by the object that they lie in, which has not arrived
	arrived chan arrival      // has room for all
	later   func(object string) bool

	mu     sync.Mutex
	broken map[string]error // why an object cannot be used, which is removed
}

// arrival is parts of an object that is there.
type arrival struct {
	parts []part
	left  *atomic.Int64 // arrivals of that object which are not in their places
}

// run is how many parts a worker takes at a time: neighbours in an object.
const run = 64

// begin makes the files that several parts make up, with what is here of them,
// and notes what has to come.
func (f *fetch) begin(ctx context.Context, entries []*tree.Entry, here *Here) error {
	a, err := newAssembler(f.dir)
	if err != nil {
		return err
	}
	defer a.close()
	for i, e := range entries {
		t := &target{Entry: e, name: strconv.Itoa(i)}
		t.left.Store(int64(len(e.Where)))
		if err := f.beginFile(ctx, a, t, here); err != nil {
			return t.wrap(err)
		}
	}
	runs := 0
	for _, parts := range f.missing {
		runs += (len(parts) + run - 1) / run
	}
	f.arrived = make(chan arrival, runs)
	return nil
}

func (f *fetch) beginFile(ctx context.Context, a *assembler, t *target, here *Here) error {
	if len(t.Where) == 0 {
		return a.assemble(t)
	}
	if len(t.Where) > 1 {
		if err := a.begin(t); err != nil {
			return err
		}
	}
	p := part{file: t}
	for p.i = range t.Where {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		found, err := a.present(p, here)
		if err != nil {
			return err
		}
		if !found {
			f.need(p)
		}
		p.at += p.extent().Size
	}
	return nil
}

// need notes a part that has to come.
func (f *fetch) need(p part) {
	object := p.extent().Object
	parts, known := f.missing[object]
	if !known {
		f.objects = append(f.objects, object)
	}
	f.missing[object] = append(parts, p)
}

// arrive hands the parts that lie in an object to the workers.
func (f *fetch) arrive(object string) {
	parts := f.missing[object]
	left := &atomic.Int64{}
	left.Store(int64((len(parts) + run - 1) / run))
	for some := range slices.Chunk(parts, run) {
		f.arrived <- arrival{some, left}
	}
	delete(f.missing, object)
}

// work puts what arrives in its place.
func (f *fetch) work(ctx context.Context) error {
	a, err := newAssembler(f.dir)
	if err != nil {
		return err
	}
	defer a.close()
	for some := range f.arrived {
		for _, p := range some.parts {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := a.put(p); err != nil {
				// An object that is what its name promises was written so.
				return cmp.Or(f.damaged(p), p.file.wrap(impossible(err)))
			}
		}
		if err := f.unpacked(a, some); err != nil {
			return err
		}
		pointUnpacked.Reach()
	}
	return nil
}

// unpacked removes an object of which all is in its place in large files: a run that
// is cut off finds it there again. So the disk need not have it, and memory is not
// filled with what nobody reads any more. What a later fetch needs stays.
func (f *fetch) unpacked(a *assembler, some arrival) error {
	if slices.ContainsFunc(some.parts, func(p part) bool { return len(p.file.Where) == 1 }) {
		some.left.Add(1) // the object stays
	}
	object := some.parts[0].extent().Object
	if some.left.Add(-1) > 0 {
		return nil
	}
	if f.later != nil && f.later(object) {
		return nil
	}
	a.drop(object)
	return os.Remove(filepath.Join(f.dir, Dir, object))
}

// damaged names and removes an object that is not what its name promises, where a
// part did not come out right, or the file with its last one. So does each who has a part
// of it: the object is no longer there for the second, who may be the first to tell.
func (f *fetch) damaged(p part) error {
	suspects := []string{p.extent().Object}
	if p.file.left.Load() == 0 {
		suspects = objectsOf(p.file.Entry)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, object := range suspects {
		if err := f.broken[object]; err != nil {
			return err
		}
		if err := verifyIn(f.dir, object); err != nil && !errors.Is(err, fs.ErrNotExist) { // all of it may have been here
			f.broken[object] = err
			return err
		}
	}
	return nil
}

func objectsOf(entries ...*tree.Entry) []string {
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

// download fetches objects that are not there yet to dir/.coltec/KEY and
// verifies each against its name.
func (s *Snapshot) download(ctx context.Context, keys []string, dir string, progress Progress) error {
	came, err := s.bring(ctx, keys, dir, func(string) {}, progress)
	if err != nil {
		return err
	}
	for _, key := range came {
		if err := verifyIn(dir, key); err != nil {
			return err
		}
	}
	return nil
}

// bring fetches objects that are not there yet to dir/.coltec/KEY, and tells of
// each when it is there, maybe more than once. It gives those that came and were
// not verified.
func (s *Snapshot) bring(ctx context.Context, keys []string, dir string, there func(key string), progress Progress) (came []string, err error) {
	var full []string
	for _, key := range keys {
		if verify(filepath.Join(dir, Dir, key)) == nil {
			there(key)
			continue
		}
		came, full = append(came, key), append(full, path.Join(Dir, key))
	}
	if len(came) == 0 {
		return nil, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	_, err = s.bucket.Download(ctx, full, dir, func(p Pace) {
		if p.Arrived != "" {
			there(strings.TrimPrefix(p.Arrived, Dir+"/"))
		}
		if progress != nil {
			progress(p)
		}
	})
	if err != nil {
		return nil, err
	}
	for _, key := range came {
		there(key)
	}
	return came, nil
}

// verifyIn verifies the file of an object, and removes one that cannot be used.
func verifyIn(dir, key string) error {
	file := filepath.Join(dir, Dir, key)
	err := verify(file)
	if err != nil {
		_ = os.Remove(file)
		err = fmt.Errorf("cannot use object %q: %w", path.Join(Dir, key), err)
	}
	return err
}

// verify reports whether a file's bytes are those that its name promises.
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
