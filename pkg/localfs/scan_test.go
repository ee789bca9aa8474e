package localfs

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/tree"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// plant makes a tree: a name that ends in "/" is a directory, content that begins with
// "> " a link's target.
func plant(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		if path := filepath.Join(root, name); strings.HasSuffix(name, "/") {
			must(t, os.MkdirAll(path, 0o755))
		} else {
			put(t, path, content)
		}
	}
	return root
}

func put(t *testing.T, path, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	if target, link := strings.CutPrefix(content, "> "); link {
		must(t, os.Symlink(target, path))
		return
	}
	must(t, os.WriteFile(path, []byte(content), 0o644))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func walkAll(t *testing.T, root string, match Matcher) (paths []string, unknown map[string]string) {
	t.Helper()
	seen, un, err := Walk(t.Context(), root, match)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range seen {
		paths = append(paths, s.Path)
	}
	unknown = map[string]string{}
	for _, u := range un {
		unknown[u.Path] = u.Reason
	}
	return paths, unknown
}

func TestWalkOrder(t *testing.T) {
	root := plant(t, map[string]string{"d/a": "", "d/e/f": "", "d-x": "", "d.y/z": "", "\xff": "", "d e/": "", "l": "> d", "n\nl": ""})
	paths, _ := walkAll(t, root, Everything{})
	if !slices.IsSortedFunc(paths, tree.Compare) || len(paths) != 11 {
		t.Errorf("%q", paths)
	}
}

// without carries neither node_modules nor *.tmp.
type without struct{}

func (without) Dir(path string) bool  { return filepath.Base(path) != "node_modules" }
func (without) File(path string) bool { return !strings.HasSuffix(path, ".tmp") }

// Not to be carried: named, and nothing is concluded from them.
func TestWalkUnknown(t *testing.T) {
	root := plant(t, map[string]string{"a": "1", "node_modules/x/y": "1", "b.tmp": "", "d/b.tmp": "", "d/ok": ""})
	for _, name := range []string{"fifo", "d/fifo"} {
		must(t, unix.Mkfifo(filepath.Join(root, name), 0o600))
	}
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	defer unix.Close(sock)
	must(t, unix.Bind(sock, &unix.SockaddrUnix{Name: filepath.Join(root, "sock")}))
	paths, unknown := walkAll(t, root, without{})
	if diff := cmp.Diff([]string{"a", "d", "d/ok"}, paths); diff != "" {
		t.Error(diff)
	}
	want := map[string]string{"node_modules": "excluded", "b.tmp": "excluded", "d/b.tmp": "excluded",
		"fifo": errKind.Error(), "d/fifo": errKind.Error(), "sock": errKind.Error()}
	if diff := cmp.Diff(want, unknown); diff != "" {
		t.Error(diff)
	}
}

func TestWalkCanceled(t *testing.T) {
	root := plant(t, map[string]string{"a/b": "1"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Walk(ctx, root, Everything{}); err == nil {
		t.Error("a walk that was stopped passed for a whole one")
	}
}
