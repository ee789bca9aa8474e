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

	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/coltec/coltec/pkg/tree"
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
		s.here = here
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
		s.must(s.Fetch(t.Context(), entries, dir, here, nil))
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

// whole says whether a fetched file is what it is to be.
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
