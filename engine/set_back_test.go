package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/coltec/coltec/pkg/store"
)

// TestABucketThatWasSetBackAndWentOn: the bucket lost its last generation, as one does
// that is restored from a copy, and another machine went on from the one before. What
// only the lost one had is not taken for deleted.
func TestABucketThatWasSetBackAndWentOn(t *testing.T) {
	y := newYard(t, 1)
	a, b := y.box("a"), y.box("b")
	for i := range 4 {
		a.put(fmt.Sprint("f", i), []byte{byte(i)})
	}
	a.round()
	a.leave()
	key := store.HeadKey("o/p/e")
	head := y.bucket.Body(key)
	a.put("only here", []byte("kept"))
	a.round()
	a.leave()
	y.bucket.Set(key, head)
	b.put("b", []byte("b"))
	b.round()
	b.leave()
	_ = a.do(false)
	if _, err := os.Lstat(filepath.Join(a.dir, "only here")); err != nil {
		t.Error(err)
	}
	if files, err := y.fetch(a.e.lease.Head().Recent[len(a.e.lease.Head().Recent)-1]); err != nil || files["only here"] != "kept" || files["b"] != "b" {
		t.Errorf("%v, %v", files, err)
	}
}
