package rclone

import (
	"fmt"
	"testing"
)

// The cost of each operation on loopback: a process and its requests.
func BenchmarkOperations(b *testing.B) {
	s := newStore(b, Options{})
	ctx := b.Context()
	body := []byte("0123456789")
	files, keys := map[string]string{}, []string{}
	for i := range 1000 {
		key := fmt.Sprintf("d%d/f%d", i%10, i)
		files[key], keys = "some content", append(keys, key)
	}
	dir := tree(b, files)
	operations := []struct {
		name string
		do   func(i int) error
	}{
		{"put", func(int) error { return s.PutIf(ctx, "k", body, Cond{}) }},
		{"get", func(int) error { _, err := s.Get(ctx, "k", 1<<30); return err }},
		{"stat", func(int) error { _, err := s.Stat(ctx, "k"); return err }},
		{"probe", func(i int) error {
			p, err := s.Probe(ctx, fmt.Sprint("probe", i))
			if err == nil {
				err = p.Gone()
			}
			return err
		}},
		{"upload 1000", func(int) error { _, err := s.Upload(ctx, dir, keys, nil); return err }},
		{"list 1000", func(int) error { _, err := s.List(ctx, ""); return err }},
		{"download 1000", func(int) error { _, err := s.Download(ctx, keys, b.TempDir(), nil); return err }},
		{"delete 1000", func(int) error { return s.Delete(ctx, keys) }},
	}
	for _, op := range operations {
		b.Run(op.name, func(b *testing.B) {
			s.proxy.Reset()
			for i := range b.N {
				if err := op.do(i); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(s.proxy.Requests()))/float64(b.N), "requests/op")
		})
	}
}
