package localfs

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// leaving leaves a name out.
type leaving string

func (n leaving) File(path string) bool { return path != string(n) }
func (leaving) Dir(string) bool         { return true }

// A socket that is excluded, or that GnuPG or an agent of ssh has anywhere, is nothing to be
// told of; another one is.
func TestSockets(t *testing.T) {
	root, err := os.MkdirTemp("/tmp", "ct-") // short: a socket's path has a limit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	for _, name := range []string{"excluded", "S.gpg-agent.extra", "server.sock"} {
		l, err := net.Listen("unix", filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	}
	seen, unknown, err := Walk(t.Context(), root, leaving("excluded"))
	if err != nil || len(seen) != 0 || len(unknown) != 3 {
		t.Fatalf("%v, %v, %v", seen, unknown, err)
	}
	told := slices.DeleteFunc(unknown, func(u Unknown) bool { return u.Quiet })
	if len(told) != 1 || told[0].Path != "server.sock" {
		t.Errorf("told of %v", told)
	}
}
