package sparse

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// contents are files with zeros in all places.
func contents() map[string][]byte {
	data := bytes.Repeat([]byte("data"), 2048)
	zeros := make([]byte, 1<<20)
	return map[string][]byte{
		"nothing":           nil,
		"one zero":          {0},
		"a short one":       []byte("short"),
		"all zeros":         zeros,
		"at the start":      append(bytes.Clone(zeros), data...),
		"at the end":        append(bytes.Clone(data), zeros...),
		"in the middle":     append(append(bytes.Clone(data), zeros...), data...),
		"no whole block":    append(append(bytes.Clone(data), zeros[:4095]...), data...),
		"one byte, odd end": append(append(bytes.Clone(zeros[:5000]), 1), zeros[:3333]...),
		"odd, all zeros":    zeros[:70001],
	}
}

// file is one of a temporary directory.
func file(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// allocated is what a file takes on the disk.
func allocated(t *testing.T, f *os.File) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

// want is what it may take: its blocks that are not all zeros, and one more for the
// file system's own.
func want(content []byte) int64 {
	n := int64(1)
	for len(content) > 0 {
		b := content[:min(block, len(content))]
		if !isZero(b) {
			n++
		}
		content = content[len(b):]
	}
	return n * block
}

func (w *Writer) writeAll(t *testing.T, content []byte, step int) {
	t.Helper()
	for len(content) > 0 {
		n := min(step, len(content))
		if m, err := w.Write(content[:n]); m != n || err != nil {
			t.Fatalf("wrote %d of %d: %v", m, n, err)
		}
		content = content[n:]
	}
}

// What is written reads back as it was, in steps of any size, over nothing and over
// what was there, and takes no more room than its blocks.
func TestWriter(t *testing.T) {
	for name, content := range contents() {
		for _, step := range []int{1 << 20, 32 << 10, 4096, 4097, 1000} {
			for _, fresh := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%d/%v", name, step, fresh), func(t *testing.T) {
					f := file(t)
					if !fresh {
						if _, err := f.Write(bytes.Repeat([]byte{7}, len(content)+10)); err != nil {
							t.Fatal(err)
						}
					}
					NewWriter(f, 0, fresh).writeAll(t, content, step)
					if err := f.Truncate(int64(len(content))); err != nil {
						t.Fatal(err)
					}
					holds(t, f, content)
					if got := allocated(t, f); step%block == 0 && got > want(content) {
						t.Errorf("it takes %d bytes, want %d at most", got, want(content))
					}
				})
			}
		}
	}
}

func holds(t *testing.T, f *os.File, content []byte) {
	t.Helper()
	got, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<40))
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes of %d, %v", len(got), len(content), err)
	}
}

// Parts are written in any order, each from its own offset.
func TestWriterAtOffsets(t *testing.T) {
	content := make([]byte, 300_001)
	for i := range 20 {
		copy(content[i*15_000:], bytes.Repeat([]byte{byte(i)}, 9_000))
	}
	f := file(t)
	var parts [][2]int
	for at := 0; at < len(content); at += 7_777 {
		parts = append(parts, [2]int{at, min(at+7_777, len(content))})
	}
	rand.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	for _, p := range parts {
		NewWriter(f, int64(p[0]), true).writeAll(t, content[p[0]:p[1]], 3000)
	}
	if err := f.Truncate(int64(len(content))); err != nil {
		t.Fatal(err)
	}
	holds(t, f, content)
}

func TestCopy(t *testing.T) {
	for name, content := range contents() {
		f := file(t)
		if n, err := Copy(f, bytes.NewReader(content)); n != int64(len(content)) || err != nil {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		holds(t, f, content)
		if got := allocated(t, f); got > want(content) {
			t.Errorf("%s: it takes %d bytes, want %d at most", name, got, want(content))
		}
	}
}

// A file that is there becomes sparse while it is read.
func TestDigger(t *testing.T) {
	for name, content := range contents() {
		f := file(t)
		if _, err := f.Write(content); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(NewDigger(f), io.NewSectionReader(f, 0, 1<<40)); err != nil {
			t.Fatal(err)
		}
		holds(t, f, content)
		if got := allocated(t, f); got > want(content) {
			t.Errorf("%s: it takes %d bytes, want %d at most", name, got, want(content))
		}
	}
}

// Where the file system has no holes, zeros are written.
func TestPunchWithoutHoles(t *testing.T) {
	f := file(t)
	if _, err := f.Write(bytes.Repeat([]byte{7}, 10_000)); err != nil {
		t.Fatal(err)
	}
	if err := overwrite(f, 1000, 8500); err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte{7}, 10_000)
	clear(content[1000:9500])
	holds(t, f, content)
}
