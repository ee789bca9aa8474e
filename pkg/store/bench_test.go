package store

import (
	"crypto/sha256"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/tree"
)

// cpu is what this process used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPublish is a manifest of 100,000 files, full and with one of them
// saved.
func BenchmarkPublish(b *testing.B) {
	var rows []tree.Entry
	for i := range 100_000 {
		e := file(fmt.Sprintf("dir%d/sub%d/file%d.txt", i%10, i%1000, i), "").Entry
		e.Size, e.Sum = 4000, sha256.Sum256([]byte(e.Path))
		e.Where = []tree.Extent{{Object: fmt.Sprintf("o/1.0-%x", sha256.Sum256([]byte{byte(i / 4000)})), Offset: int64(i%4000) * 3000, Stored: 3000, Size: 4000, Codec: tree.Zstd}}
		rows = append(rows, e)
	}
	tree.Sort(rows)
	for _, from := range []bool{false, true} {
		b.Run(map[bool]string{false: "full", true: "difference"}[from], func(b *testing.B) {
			c := newChain(b)
			c.publish(rows, from)
			begin := cpu()
			for b.Loop() {
				rows[len(rows)/2].MTime++
				c.publish(rows, false)
			}
			b.ReportMetric((cpu()-begin).Seconds()/float64(b.N), "cpu-s/op")
			last := ""
			for ref := range c.trees {
				last = ref
			}
			b.ReportMetric(float64(len(c.bucket.Body(Dir+"/"+last))), "bytes")
		})
	}
}
