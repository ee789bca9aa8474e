package localfs

import (
	"crypto/sha256"
	"io"

	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/wholefile"
)

// SumOf hashes a file; the zero sum stands for one that cannot be read, or is none: a pipe
// may have its name by now, which nobody writes.
func SumOf(file string) tree.Sum {
	f, err := wholefile.Open(file)
	if err != nil {
		return tree.Sum{}
	}
	defer f.Close()
	sum := sha256.New()
	if err := Drain(io.TeeReader(f, sum)); err != nil {
		return tree.Sum{}
	}
	return tree.Sum(sum.Sum(nil))
}
