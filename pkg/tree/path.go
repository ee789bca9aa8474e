package tree

import "strings"

// What a path of a tree can have at most.
const (
	MaxPath  = 16 << 10 // bytes
	MaxName  = 1 << 10  // bytes of one name, where Linux has 255
	MaxDepth = 1 << 10  // names: a walk has a directory open for each
)

// ValidPath reports whether a path can be one of a tree: relative, with clean
// elements, and not endlessly long or deep. What comes from a bucket is held to it: ".."
// must not lead out of the local tree.
func ValidPath(path string) bool {
	if len(path) > MaxPath || strings.ContainsRune(path, 0) || strings.Count(path, "/") >= MaxDepth {
		return false
	}
	for elem := range strings.SplitSeq(path, "/") {
		if elem == "" || elem == "." || elem == ".." || len(elem) > MaxName {
			return false
		}
	}
	return true
}
