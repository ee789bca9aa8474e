// Package treetest writes trees down for tests, and gives them a place. Only tests may
// import it.
package treetest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/tree"
)

// Parse reads a tiny tree: "a=x b/ l>t" is a file a with content x, a
// directory b and a link l to t. A file may carry a mode: "a=x:755". "" is no
// entry at all.
func Parse(text string) []tree.Entry {
	var out []tree.Entry
	for word := range strings.FieldsSeq(text) {
		e := tree.Entry{Kind: tree.File, Mode: 0o644}
		switch name, rest, _ := cut(word); {
		case strings.HasSuffix(word, "/"):
			e.Path, e.Kind, e.Mode = strings.TrimSuffix(word, "/"), tree.Dir, 0o755
		case strings.Contains(word, ">"):
			e.Path, e.Kind, e.Link = name, tree.Link, rest
		default:
			content, mode, ok := strings.Cut(rest, ":")
			if ok {
				fmt.Sscanf(mode, "%o", &e.Mode)
			}
			e.Path, e.Size = name, int64(len(content))
			copy(e.Sum[:], content)
		}
		out = append(out, e)
	}
	tree.Sort(out)
	return out
}

func cut(word string) (string, string, bool) {
	if i := strings.IndexAny(word, "=>"); i >= 0 {
		return word[:i], word[i+1:], true
	}
	return word, "", false
}

// Dir is a temporary directory in memory where there is such a thing.
func Dir(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("COLTEC_TEST_DIR"); dir != "" {
		return t.TempDir()
	}
	if s, err := os.Stat("/dev/shm"); err != nil || !s.IsDir() {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "coltec-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
