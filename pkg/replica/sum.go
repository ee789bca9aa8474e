package replica

import (
	"crypto/sha256"
	"io"

	"github.com/coltec/coltec/pkg/localfs"
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
	if err := localfs.Drain(io.TeeReader(f, sum)); err != nil {
		return tree.Sum{}
	}
	return tree.Sum(sum.Sum(nil))
}

// AsRendered is [Options.Pristine] of the tree at a path, where rendered names the file
// that a template rendered for an absolute path. nil: none did.
func AsRendered(root string, rendered func(path string) string) func(path string, sum tree.Sum) bool {
	if rendered == nil {
		return nil
	}
	return func(path string, sum tree.Sum) bool { return SumOf(rendered(root+"/"+path)) == sum }
}
