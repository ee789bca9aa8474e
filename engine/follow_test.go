package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/coltec/coltec/pkg/scope"
)

// TestAFollowerOfAnotherHistory: the bucket that a replica follows was emptied and
// filled anew with less. Nothing is concluded from what is not there any more, as it
// is not after a start.
func TestAFollowerOfAnotherHistory(t *testing.T) {
	y := newYard(t, 1)
	a, b := y.box("a"), y.box("b")
	b.e.members[0].Direction = scope.PullOnly
	for i := range 10 {
		a.put(fmt.Sprint("f", i), []byte{byte(i)})
	}
	a.round()
	b.round()
	for _, key := range y.bucket.Keys() {
		y.bucket.Drop(key)
	}
	c := y.box("c")
	for i := range 6 {
		c.put(fmt.Sprint("f", i), []byte{byte(i)})
	}
	c.round()
	b.round()
	for i := range 10 {
		if _, err := os.Lstat(filepath.Join(b.dir, fmt.Sprint("f", i))); err != nil {
			t.Error(err)
		}
	}
}
