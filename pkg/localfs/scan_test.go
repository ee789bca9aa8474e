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

// Of what is not in scope is told that it was not looked into: nothing is concluded from it.
func TestWalkInScope(t *testing.T) {
	root := opened(t, plant(t, map[string]string{"a/b/deep/x": "", "a/c/x": "", "a/x": "", "d/e/x": "", "d/g/x": "", "f/x": "", "x": ""}))
	for name, tt := range map[string]struct {
		add          func(in Scope)
		seen, passed []string
	}{
		"a directory, and none below": {func(in Scope) { in.Add("a", false) }, []string{"a", "a/x", "x"}, []string{"a/b", "a/c", "d", "f"}},
		"one with all below":          {func(in Scope) { in.Add("a", true) }, []string{"a", "a/b", "a/b/deep", "a/b/deep/x", "a/c", "a/c/x", "a/x", "x"}, []string{"d", "f"}},
		"those above it are listed":   {func(in Scope) { in.Add("d/e", false) }, []string{"d", "d/e", "d/e/x", "x"}, []string{"a", "d/g", "f"}},
		"twice, once with all":        {func(in Scope) { in.Add("d", true); in.Add("d/e", false); in.Add("d", false) }, []string{"d", "d/e", "d/e/x", "d/g", "d/g/x", "x"}, []string{"a", "f"}},
	} {
		in := Scope{}
		tt.add(in)
		var seen, passed []string
		must(t, root.WalkIn(t.Context(), "", Everything{}, in, func(m *Met) {
			if m.Passed {
				passed = append(passed, m.At())
			} else {
				seen = append(seen, m.At())
			}
		}))
		if diff := cmp.Diff(tt.seen, seen) + cmp.Diff(tt.passed, passed); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestSightedSearch(t *testing.T) {
	seen := []Entry{{Path: "d-"}, {Path: "d"}, {Path: "d/x"}}
	Sort(seen)
	if !Sighted(seen, "d/x") || Sighted(seen, "d/y") || !Sighted(seen, "d-") {
		t.Errorf("%v", seen)
	}
	if i, ok := Search(seen, "d/a"); ok || i != 1 {
		t.Errorf("at %d", i)
	}
}
