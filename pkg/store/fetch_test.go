package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/coltec/coltec/pkg/tree"
	"golang.org/x/sys/unix"
)

// Parts that are here are taken from here, and what only claims to be one is not.
func TestConformPartsHere(t *testing.T) {
	conform(t, func(t *testing.T, s *suite) {
		content := s.noise(5 << 20)
		items := s.publish([]item{file("f", string(content)), file("small", "small")})
		local := bytes.Clone(content)
		copy(local[len(local)/2:], "edited")
		gave := 0
		here := func(sum string, b []byte) bool {
			var offset int64
			for _, x := range s.entries()[0].Where {
				if x.Sum == sum && x.Size == int64(len(b)) {
					gave++
					return copy(b, local[offset:]) == len(b)
				}
				offset += x.Size
			}
			t.Errorf("asked for a part that is in no row: %x", sum)
			return false
		}
		s.here = &Here{Part: here}
		s.verify(items)
		if !s.ByContent() {
			return // an object is a whole file
		}
		parts := len(s.entries()[0].Where)
		if gave != parts || parts < 3 {
			t.Errorf("asked for %d of %d parts", gave, parts)
		}
		copy(local, content)
		s.place.drop(Dir + "/" + s.entries()[0].Where[0].Object)
		entries, dir := s.entries()[:1], s.tmp()
		s.must(s.Fetch(t.Context(), entries, dir, s.here, nil))
		if body, err := os.ReadFile(filepath.Join(dir, "0")); err != nil || !bytes.Equal(body, content) {
			t.Errorf("%d bytes: %v", len(body), err)
		}
	})
}

// watched is a bucket that shows each object of a download, when it has come, to
// a test.
type watched struct {
	*storetest.Bucket
	came  func(dir string)
	asked []string
}

func (w *watched) Download(ctx context.Context, keys []string, dir string, progress Progress) (rclone.Transfer, error) {
	var failed error
	for _, key := range keys { // one by one, so that an order can be counted on
		w.asked = append(w.asked, key)
		if _, err := w.Bucket.Download(ctx, []string{key}, dir, progress); err != nil {
			failed = err // the others come all the same
		} else if w.came != nil {
			w.came(dir)
		}
	}
	return rclone.Transfer{}, failed
}

// stored is a file whose content was sent.
func stored(t *testing.T, s *Snapshot, path, content string) item {
	t.Helper()
	it := file(path, content)
	batch := s.Begin(t.TempDir(), 7, nil)
	if _, err := batch.Add(t.Context(), &it.Entry, bytes.NewReader(it.content)); err != nil {
		t.Fatal(err)
	}
	if err := batch.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	return it
}

// fetched is three files, each with an object of its own, in a bucket that is
// watched.
func fetched(t *testing.T) (*watched, *Snapshot, []*tree.Entry) {
	t.Helper()
	w := &watched{Bucket: storetest.New().At("p")}
	s := NewSnapshot(w, t.TempDir())
	var entries []*tree.Entry
	for i := range 3 {
		it := stored(t, s, fmt.Sprint("f", i), strings.Repeat(fmt.Sprint("content ", i), 100))
		entries = append(entries, &it.Entry)
	}
	return w, s, entries
}

// whole reports whether a fetched file is what it is to be.
func whole(dir string, entries []*tree.Entry, i int) bool {
	body, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(i)))
	return err == nil && sha256.Sum256(body) == entries[i].Sum
}

// A file is put together as soon as its objects are there, while others come.
func TestFetchPutsTogetherMeanwhile(t *testing.T) {
	w, s, entries := fetched(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	w.came = func(dir string) {
		for !whole(dir, entries, len(w.asked)-1) {
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Error("a file waits for an object that it does not need")
				return
			}
		}
	}
	if err := s.Fetch(ctx, entries, t.TempDir(), nil, nil); err != nil {
		t.Error(err)
	}
}

// A fetch that ended in the middle, whatever for, begins again with what had come.
func TestFetchGoesOn(t *testing.T) {
	tests := map[string]struct {
		hurt func(w *watched, cancel func(), key string)
		want string // in the error; "" for the object's name
	}{
		"canceled": {func(w *watched, cancel func(), _ string) { w.came = func(string) { cancel() } }, "cancel"},
		"missing":  {func(w *watched, _ func(), key string) { w.Drop(key) }, ""},
		"damaged": {func(w *watched, _ func(), key string) {
			body := bytes.Clone(w.Body(key))
			body[len(body)/2] ^= 1
			w.Set(key, body)
		}, ""},
		"cut short": {func(w *watched, _ func(), key string) { w.Set(key, w.Body(key)[:5]) }, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w, s, entries := fetched(t)
			first, second := path.Join(Dir, entries[0].Where[0].Object), path.Join(Dir, entries[1].Where[0].Object)
			body := bytes.Clone(w.Body(second))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			tt.hurt(w, cancel, second)
			dir := t.TempDir()
			err := s.Fetch(ctx, entries, dir, nil, nil)
			if err == nil || !strings.Contains(err.Error(), cmp.Or(tt.want, second)) {
				t.Errorf("got %v", err)
			}
			w.Set(second, body)
			w.came, w.asked = nil, nil
			if err := s.Fetch(t.Context(), entries, dir, nil, nil); err != nil {
				t.Error(err)
			}
			for i := range entries {
				if !whole(dir, entries, i) {
					t.Errorf("file %d is not what it is to be", i)
				}
			}
			if slices.Contains(w.asked, first) || !slices.Contains(w.asked, second) {
				t.Errorf("asked for %q", w.asked)
			}
		})
	}
}

// A file of several parts is held to their hashes, and to its own where a row has
// not all of them.
func TestFetchVerifiesParts(t *testing.T) {
	tests := map[string]struct {
		change func(e *tree.Entry)
		want   string // in the error; "" for none
	}{
		"as it was stored":            {func(*tree.Entry) {}, ""},
		"a part of another hash":      {func(e *tree.Entry) { e.Where[1].Sum = e.Where[0].Sum }, "its part at"},
		"a hash is missing":           {func(e *tree.Entry) { e.Where[1].Sum = "" }, ""},
		"it is missing, another file": {func(e *tree.Entry) { e.Where[1].Sum, e.Sum[0] = "", e.Sum[0]^1 }, "its content has hash"},
		"two parts in each other's place, hashes missing": {func(e *tree.Entry) {
			e.Where[0], e.Where[1] = e.Where[1], e.Where[0]
			e.Where[0].Sum, e.Where[1].Sum = "", ""
		}, "its content has hash"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := NewSnapshot(storetest.New().At("p"), t.TempDir())
			content := make([]byte, 5<<20)
			_, _ = rand.NewChaCha8([32]byte{1}).Read(content) // it never fails
			it := stored(t, s, "f", string(content))
			if len(it.Entry.Where) < 3 {
				t.Fatalf("%d parts", len(it.Entry.Where))
			}
			tt.change(&it.Entry)
			dir := t.TempDir()
			err := s.Fetch(t.Context(), []*tree.Entry{&it.Entry}, dir, nil, nil)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v", err)
			}
			if err == nil && !whole(dir, []*tree.Entry{&it.Entry}, 0) {
				t.Error("it is not what it is to be")
			}
		})
	}
}

// Of a large file that was cut off, what is in its place is not fetched again, and the
// object that brought it is not kept.
func TestFetchGoesOnWithinAFile(t *testing.T) {
	sample.Long(t)
	w := &watched{Bucket: storetest.New().At("p")}
	s := NewSnapshot(w, t.TempDir())
	content := make([]byte, 40<<20)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(content) // it never fails
	it := stored(t, s, "f", string(content))
	entries, dir := []*tree.Entry{&it.Entry}, t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	w.came = func(dir string) {
		for first := filepath.Join(dir, w.asked[0]); ; {
			if _, err := os.Stat(first); err != nil {
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Error("an object is kept that nothing is needed of")
				return
			}
		}
		cancel()
	}
	if err := s.Fetch(ctx, entries, dir, nil, nil); err == nil {
		t.Fatal("it was not cut off")
	}
	first := w.asked[0]
	w.came, w.asked = nil, nil
	if err := s.Fetch(t.Context(), entries, dir, nil, nil); err != nil {
		t.Fatal(err)
	}
	if !whole(dir, entries, 0) || slices.Contains(w.asked, first) || len(w.asked) == 0 {
		t.Errorf("whole: %v; asked for %q, and first for %q", whole(dir, entries, 0), w.asked, first)
	}

	// Another file has the name by now, and a longer one.
	if err := os.WriteFile(filepath.Join(dir, "0"), append([]byte("other"), content...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Fetch(t.Context(), entries, dir, nil, nil); err != nil || !whole(dir, entries, 0) {
		t.Errorf("over another file: %v", err)
	}
}

// blocks are what a file takes on the disk, in bytes.
func blocks(t *testing.T, file string) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(file, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

// A file of zeros with a little in it took its whole size on the disk where it came,
// and each of its parts was written.
func TestFetchLeavesHoles(t *testing.T) {
	sample.Long(t)
	const size = 12 << 20
	noise := make([]byte, 600<<10)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	sparse := func(size int, at ...int) string {
		b := make([]byte, size)
		for _, at := range at {
			copy(b[at:], noise)
		}
		return string(b)
	}
	tests := map[string]struct {
		content string
		most    int64 // that it takes
		objects int   // that are fetched for it
	}{
		"all zeros":                 {sparse(size), 0, 0},
		"data at the start":         {sparse(size, 0), 3 << 20, 1},
		"data at the end":           {sparse(size, size-len(noise)), 3 << 20, 1},
		"data in the middle":        {sparse(size, size/2+123), 3 << 20, 1},
		"no multiple of a block":    {sparse(size+1234, size-len(noise)+777), 3 << 20, 1},
		"zeros in one part":         {sparse(100 << 10), 4096, 1},
		"zeros as of a small file":  {sparse(40 << 10), 4096, 1},
		"one byte more than blocks": {sparse(64<<10) + "x", 4096, 1},
		"empty":                     {"", 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := &watched{Bucket: storetest.New().At("p")}
			s := NewSnapshot(w, t.TempDir())
			it := stored(t, s, "f", tt.content)
			entries, dir := []*tree.Entry{&it.Entry}, t.TempDir()
			for range 2 { // and once more, over what the first left
				w.asked = nil
				if err := s.Fetch(t.Context(), entries, dir, nil, nil); err != nil {
					t.Fatal(err)
				}
				if !whole(dir, entries, 0) {
					t.Fatal("it is not what it is to be")
				}
				if got := blocks(t, filepath.Join(dir, "0")); got > tt.most+4096 {
					t.Errorf("it takes %d bytes, want %d at most", got, tt.most)
				}
				if len(w.asked) > tt.objects {
					t.Errorf("fetched %q", w.asked)
				}
			}
			if kept := w.stored(); kept > 2<<20 {
				t.Errorf("it takes %d bytes in the bucket", kept)
			}
		})
	}
}

// stored is how much the bucket holds.
func (w *watched) stored() (n int) {
	for _, key := range w.Keys() {
		n += len(w.Body(key))
	}
	return n
}

// What another run left where zeros are to come goes.
func TestFetchOverLeftovers(t *testing.T) {
	content := make([]byte, 9<<20)
	for i := range 1 << 20 {
		content[4<<20+i] = byte(rand.Uint32())
	}
	w := &watched{Bucket: storetest.New().At("p")}
	s := NewSnapshot(w, t.TempDir())
	it := stored(t, s, "f", string(content))
	for name, size := range map[string]int{"shorter": 5 << 20, "as long": 9 << 20, "longer": 11 << 20} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "0"), bytes.Repeat([]byte{7}, size), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Fetch(t.Context(), []*tree.Entry{&it.Entry}, dir, nil, nil); err != nil {
			t.Fatal(err)
		}
		if !whole(dir, []*tree.Entry{&it.Entry}, 0) {
			t.Errorf("%s: it is not what it is to be", name)
		}
		if got := blocks(t, filepath.Join(dir, "0")); got > 5<<20 {
			t.Errorf("%s: it takes %d bytes", name, got)
		}
	}
}

// An object that a later fetch needs stays, and is not asked for again.
func TestFetchKeepsForLater(t *testing.T) {
	noise := make([]byte, 3<<20)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	w := &watched{Bucket: storetest.New().At("p")}
	s := NewSnapshot(w, t.TempDir())
	batch := s.Begin(t.TempDir(), 7, nil)
	one, two := file("one", string(noise[:1<<20])), file("two", string(noise[1<<20:]))
	for _, it := range []*item{&one, &two} { // both are in one object
		if _, err := batch.Add(t.Context(), &it.Entry, bytes.NewReader(it.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for i, it := range []*item{&one, &two} {
		if err := os.RemoveAll(filepath.Join(dir, "0")); err != nil {
			t.Fatal(err)
		}
		here := &Here{Later: func(string) bool { return i == 0 }}
		if err := s.Fetch(t.Context(), []*tree.Entry{&it.Entry}, dir, here, nil); err != nil || !whole(dir, []*tree.Entry{&it.Entry}, 0) {
			t.Errorf("%s: %v", it.Path, err)
		}
	}
	if len(w.asked) != 1 {
		t.Errorf("fetched %q", w.asked)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, Dir, "o")); len(left) > 0 {
		t.Errorf("%d objects are left", len(left))
	}
}

// A mirror's files become sparse too, on their way to the store and from it.
func TestMirrorLeavesHoles(t *testing.T) {
	b := storetest.New().At("p").Metadata()
	m, content := NewMirror(b), make([]byte, 6<<20)
	copy(content[3<<20:], "data")
	it := file("f", string(content))
	dir := t.TempDir()
	batch := m.Begin(dir, 7, nil)
	if _, err := batch.Add(t.Context(), &it.Entry, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if got := blocks(t, filepath.Join(dir, "f")); got > 16<<10 {
		t.Errorf("staged it takes %d bytes", got)
	}
	if err := batch.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	tree, err := m.Tree(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := m.Fetch(t.Context(), entriesOf(tree), dir, nil, nil); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(filepath.Join(dir, "0"))
	if got := blocks(t, filepath.Join(dir, "0")); err != nil || !bytes.Equal(body, content) || got > 16<<10 {
		t.Errorf("%d bytes, of which %d are on the disk, %v", len(body), got, err)
	}
}

func entriesOf(t *Tree) (entries []*tree.Entry) {
	for i := range t.Entries {
		entries = append(entries, &t.Entries[i])
	}
	return entries
}

// Rows that refer to what an object does not have, or that unpack to something else than
// they say, are a fault of whoever wrote them: the object is what its name promises.
func TestFetchOfImpossibleExtents(t *testing.T) {
	for name, change := range map[string]func(x *tree.Extent){
		"beyond the object":   func(x *tree.Extent) { x.Offset += 1 << 29 },
		"of another codec":    func(x *tree.Extent) { x.Codec = 'q' },
		"packed and not raw":  func(x *tree.Extent) { x.Codec = tree.Zstd + tree.Raw - x.Codec },
		"shorter than stored": func(x *tree.Extent) { x.Stored /= 2 },
	} {
		t.Run(name, func(t *testing.T) {
			_, s, entries := fetched(t)
			e := *entries[0]
			e.Where = slices.Clone(e.Where)
			change(&e.Where[0])
			err := s.Fetch(t.Context(), []*tree.Entry{&e}, t.TempDir(), nil, nil)
			wantImpossible(t, err)
		})
	}
}

// Two workers have a part of an object that is damaged. The first to find that removes it,
// and the other one, who may tell first, said only that its file cannot be put together.
func TestDamageIsNamedByEach(t *testing.T) {
	dir, object := t.TempDir(), "o/aa/aa-"+strings.Repeat("0", 64)
	place := filepath.Join(dir, Dir, object)
	if err := os.MkdirAll(filepath.Dir(place), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(place, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := fetch{dir: dir, broken: map[string]error{}}
	for _, name := range []string{"a", "b"} {
		file := &target{Entry: &tree.Entry{Path: name, Where: []tree.Extent{{Object: object}}}}
		if err := f.damaged(part{file: file}); err == nil || !strings.Contains(err.Error(), object) {
			t.Errorf("who has %s says %v, and not %q", name, err, object)
		}
	}
}
