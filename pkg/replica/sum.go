package replica

import (
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// AsRendered is [Options.Pristine] of the tree at a path, where rendered names the file
// that a template rendered for an absolute path. nil: none did.
func AsRendered(root string, rendered func(path string) string) func(path string, sum tree.Sum) bool {
	if rendered == nil {
		return nil
	}
	return func(path string, sum tree.Sum) bool { return localfs.SumOf(rendered(root+"/"+path)) == sum }
}
