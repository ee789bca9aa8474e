package localfs_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/replica/replicatest"
)

// What a file system cannot do is found out by trying.
func TestProbe(t *testing.T) {
	const composed, decomposed = "caf\u00e9", "cafe\u0301"
	for name, tt := range map[string]struct {
		shape                             replicatest.Shape
		merges, cases, forms, noMode, noL bool
		grain                             time.Duration
	}{
		"Linux":     {},
		"macOS":     {shape: replicatest.Shape{Folds: true, Decomps: true}, merges: true, cases: true, forms: true},
		"Windows":   {shape: replicatest.Shape{Folds: true, NoModes: true, NoLinks: true}, merges: true, cases: true, noMode: true, noL: true},
		"seconds":   {shape: replicatest.Shape{Grain: time.Second}, grain: time.Second},
		"USB stick": {shape: replicatest.Shape{Grain: 2 * time.Second}, grain: 2 * time.Second},
	} {
		dir := t.TempDir()
		own := filepath.Join(dir, localfs.Dir)
		if err := os.Mkdir(own, 0o700); err != nil {
			t.Fatal(err)
		}
		files, err := tt.shape.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		q, err := localfs.Probe(files, own)
		files.Close()
		if err != nil || q.NoModes != tt.noMode || q.NoLinks != tt.noL || q.Grain != tt.grain || q.MergeNames() != tt.merges {
			t.Errorf("%s: %+v, %v", name, q, err)
		}
		if got := q.Key("D/\u00c4") == q.Key("d/\u00e4"); got != tt.cases {
			t.Errorf("%s: names that differ in case are one: %v", name, got)
		}
		if got := q.Key(composed) == q.Key(decomposed); got != tt.forms || q.Rewrites != tt.shape.Decomps {
			t.Errorf("%s: names that differ in their form are one: %v, rewritten: %v", name, got, q.Rewrites)
		}
		if left, err := os.ReadDir(own); err != nil || len(left) != 0 {
			t.Errorf("%s: left behind: %v, %v", name, left, err)
		}
	}
}
