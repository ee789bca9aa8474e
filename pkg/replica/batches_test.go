package replica

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/google/go-cmp/cmp"
)

// noise is content that does not compress, of a number.
func noise(n, size int) string {
	b := make([]byte, size)
	x := uint64(n)*0x9E3779B97F4A7C15 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x >> 32)
	}
	return string(b)
}

// fetches counts how often each object of content is fetched from now on.
func (w *world) fetches() map[string]int {
	n := map[string]int{}
	w.bucket.Hook(func(e storetest.Event) error {
		for _, key := range e.Keys {
			if e.Op == storetest.Download && !e.Done && strings.Contains(key, "/o/") {
				n[key]++
			}
		}
		return nil
	})
	return n
}

// mustFetchOnce restores a machine in batches of so many bytes, at once, and holds
// that no object came twice.
func (m *machine) mustFetchOnce(batch int64, like *machine) {
	t := m.w.t
	t.Helper()
	m.stageBytes = batch
	fetched := m.w.fetches()
	m.mustAcquire()
	m.w.bucket.Hook(nil)
	for key, n := range fetched {
		if n > 1 {
			t.Errorf("%s was fetched %d times", key, n)
		}
	}
	if diff := cmp.Diff(like.show(), m.show()); diff != "" {
		t.Errorf("the trees differ, in %d bytes of words", len(diff))
	}
	if !m.base.Header.Restored || len(m.base.Unplaced) > 0 {
		t.Errorf("restored %v, %d paths are unplaced", m.base.Header.Restored, len(m.base.Unplaced))
	}
	if left := m.staged(); len(left) > 0 {
		t.Errorf("in the stage: %q", left)
	}
}

// staged lists the files in the stage.
func (m *machine) staged() (files []string) {
	m.w.t.Helper()
	err := filepath.WalkDir(m.StageDir(), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	m.w.must(err)
	return files
}

// A placement of more than one batch lost its way: the directory of the stage was
// made anew for each, and what was known of it was of the one before. And what several
// batches need of an object was fetched by each.
func TestBatches(t *testing.T) {
	sample.Long(t)
	const kib = 1 << 10
	large := noise(9, 700*kib)
	many := map[string]string{}
	for i := range 300 {
		many[fmt.Sprintf("d%d/f%03d", i%7, i)] = noise(i, kib)
	}
	shared := map[string]string{}
	for i := range 5 {
		shared[fmt.Sprint("copy", i)] = large
		shared[fmt.Sprint("near", i)] = large[:300*kib] + fmt.Sprint("edited here: ", i) + large[300*kib:]
		shared[fmt.Sprint("small", i)] = noise(77, 3*kib)
	}
	tests := map[string]struct {
		files map[string]string
		batch int64
	}{
		"a file each":                   {map[string]string{"a": noise(1, 300*kib), "b": noise(2, 300*kib), "c": noise(3, 300*kib), "d": noise(4, 300*kib)}, 256 * kib},
		"many small ones, in one pack":  {many, 10 * kib},
		"one at a time":                 {many, 1},
		"copies, and near ones":         {shared, 256 * kib},
		"a file larger than a batch":    {map[string]string{"a": "1", "big": large, "z": "2"}, 64 * kib},
		"small ones, links and a large": {map[string]string{"l": "> big", "big": large, "d/e/": "", "zero": "", "d/x": "x", "y": noise(5, 9*kib)}, 8 * kib},
		"all of them, in one batch":     {shared, usualStage},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			one, two := started(t, tt.files)
			two.mustFetchOnce(tt.batch, one)
		})
	}
}

// Files that many generations brought, each with an object of its own and parts of
// several files in each.
func TestBatchesOfManyGenerations(t *testing.T) {
	sample.Long(t)
	one, two := started(t, nil)
	content := map[string][]byte{}
	for i := range 4 {
		content[fmt.Sprint("f", i)] = []byte(noise(i, 3<<20))
	}
	for step := range 4 {
		for name, b := range content {
			copy(b[step*700<<10:], noise(int(name[1])+100*step, 2000))
			one.w.must(os.WriteFile(one.at(name), b, 0o644))
			one.write(map[string]string{fmt.Sprintf("s%d-%s", step, name): noise(step, 300)})
		}
		one.pushAll()
	}
	two.mustFetchOnce(1<<20, one)
}

// What was cut off between two batches goes on, and fetches nothing again that is in
// its place.
func TestBatchesGoOn(t *testing.T) {
	one, two := started(t, nil)
	for i, name := range []string{"a", "b", "c"} {
		one.write(map[string]string{name: noise(i, 300<<10)})
		one.pushAll()
	}
	two.stageBytes = 256 << 10
	fetched, asked := map[string]int{}, 0
	one.w.bucket.Hook(func(e storetest.Event) error {
		if e.Op != storetest.Download || e.Done || !strings.Contains(e.Keys[0], "/o/") {
			return nil
		}
		if asked++; asked == 3 {
			return errors.New("the network is gone")
		}
		for _, key := range e.Keys {
			fetched[key]++
		}
		return nil
	})
	if _, err := two.acquire(SettleOptions{}); err == nil {
		t.Fatal("it did not fail")
	}
	two.restart()
	two.stageBytes = 256 << 10
	out := two.mustAcquire()
	one.w.bucket.Hook(nil)
	again := maps.Clone(fetched)
	maps.DeleteFunc(again, func(_ string, n int) bool { return n < 2 })
	if out.Placed != 1 || len(again) > 0 {
		t.Errorf("%d were placed then; fetched again: %v", out.Placed, again)
	}
	if diff := cmp.Diff(one.show(), two.show()); diff != "" {
		t.Error("the trees differ")
	}
}

// A large file that was cut off in the middle goes on with the parts that had come.
func TestBatchesGoOnWithinAFile(t *testing.T) {
	sample.Long(t)
	one, two := started(t, map[string]string{"d/e/": "", "big": noise(1, 36<<20), "l": "> big"})
	w := one.w
	w.bucket.Inject(storetest.Fault{Op: storetest.Download, Key: "/o/", Kind: storetest.Halfway})
	if _, err := two.acquire(SettleOptions{}); err == nil {
		t.Fatal("it did not fail")
	}
	two.restart()
	objects := map[string]bool{}
	for _, x := range one.base.Row("big").Where {
		objects[x.Object] = true
	}
	fetched := w.fetches()
	two.mustAcquire()
	w.bucket.Hook(nil)
	if len(objects) < 2 || len(fetched) >= len(objects) {
		t.Errorf("fetched %d of %d objects again", len(fetched), len(objects))
	}
	if diff := cmp.Diff(one.show(), two.show()); diff != "" {
		t.Error("the trees differ")
	}
}
