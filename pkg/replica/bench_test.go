package replica

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// benchSizes are the numbers of files that costs are measured at.
var benchSizes = []int{1000, 10_000, 100_000}

// plant makes a tree of n small files, 40 in a directory.
func plant(b *testing.B, root string, n int) {
	b.Helper()
	for i := range n {
		path := filepath.Join(root, fmt.Sprintf("group%03d/package%02d/file %06d.go", i/1000, i/40%25, i))
		if i%40 == 0 {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				b.Fatal(err)
			}
		}
		body := bytes.Repeat([]byte(strconv.Itoa(i)+" is what this file holds\n"), 8+i%64)
		if err := os.WriteFile(path, body, 0o644); err != nil {
			b.Fatal(err)
		}
	}
}

// forSizes measures at each number of files.
func forSizes(b *testing.B, measure func(b *testing.B, n int)) {
	for _, n := range benchSizes {
		b.Run(strconv.Itoa(n), func(b *testing.B) { measure(b, n) })
	}
}

// BenchmarkScan is a full scan that finds nothing, beside a base at rest.
func BenchmarkScan(b *testing.B) { benchmarkScan(b, nil) }

// BenchmarkScanIn is one of a directory.
func BenchmarkScanIn(b *testing.B) { benchmarkScan(b, map[string]bool{"group000/package00": false}) }

func benchmarkScan(b *testing.B, dirs map[string]bool) {
	forSizes(b, func(b *testing.B, n int) {
		m := newWorld(b).machineAt(filepath.Join(b.TempDir(), "a"))
		plant(b, m.Path, n)
		m.mustAcquire()
		m.pushAll()
		m.w.must(m.base.Unload())
		b.ReportAllocs()
		for b.Loop() {
			found, err := m.ScanIn(b.Context(), dirs)
			if err != nil || !found.Empty() {
				b.Fatalf("%v, %+v", err, found)
			}
		}
	})
}

// BenchmarkFirstPush is a first push, to a bucket in memory.
func BenchmarkFirstPush(b *testing.B) {
	forSizes(b, func(b *testing.B, n int) {
		dir := filepath.Join(b.TempDir(), "a")
		plant(b, dir, n)
		b.ReportAllocs()
		for b.Loop() {
			m := newWorld(b).machineAt(dir)
			m.mustAcquire()
			m.pushAll()
			m.Close()
			if err := os.RemoveAll(m.Dir()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRestore is a restore into an empty tree, from a bucket in memory.
func BenchmarkRestore(b *testing.B) {
	forSizes(b, func(b *testing.B, n int) {
		w := newWorld(b)
		m := w.machineAt(filepath.Join(b.TempDir(), "a"))
		plant(b, m.Path, n)
		m.mustAcquire()
		m.pushAll()
		b.ReportAllocs()
		for b.Loop() {
			other := w.machineAt(filepath.Join(b.TempDir(), "b"))
			other.mustAcquire()
			b.StopTimer()
			other.Close()
			if err := os.RemoveAll(other.Path); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
}
