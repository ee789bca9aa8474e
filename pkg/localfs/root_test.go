package localfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// opened opens a tree until the test ends.
func opened(t *testing.T, path string) *Root {
	t.Helper()
	root, err := OpenRoot(path, "", 0)
	must(t, err)
	t.Cleanup(root.Close)
	return root
}

func TestRootRefusesToLeave(t *testing.T) {
	outside := t.TempDir()
	root := opened(t, plant(t, map[string]string{"f": "x", "l": "> " + outside}))
	for _, path := range []string{"../x", "a/../../x", "/x", "l/x", "", ".", "a//b", "a/./b"} {
		errs := map[string]error{
			"mkdir": root.MkdirAll(path, 0o755), "symlink": root.Symlink("t", path), "rename": root.Rename("f", path, false),
			"remove": root.Remove(path), "chmod": root.Chmod(path, 0o777), "time": root.SetTime(path, 1),
		}
		for op, err := range errs {
			if err == nil {
				t.Errorf("%s %q went through", op, path)
			}
		}
		if f, err := root.Open(path); err == nil {
			f.Close()
			t.Errorf("open %q went through", path)
		}
	}
	if got, err := os.ReadDir(outside); err != nil || len(got) != 0 {
		t.Errorf("outside: %v, %v", got, err)
	}
}

// A clone goes away with who reads it, and one that cannot be made is done without.
func TestClone(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := OpenRoot(dir, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	f, err := root.Open("f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.(cloner).Clone(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("cloned into what is not there")
	}
	if _, err := f.(cloner).Clone("/proc"); err == nil {
		t.Error("cloned to another file system")
	}
}

// A link in the place of what was staged had its target's mode changed.
func TestChmodFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(t.TempDir(), "file")
	if err := errors.Join(os.WriteFile(target, nil, 0o600), os.Symlink(target, filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	root, err := OpenRoot(dir, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := root.Chmod("link", 0o777); !errors.Is(err, unix.ELOOP) {
		t.Errorf("chmod of a link: %v", err)
	}
	if info, err := os.Stat(target); err != nil || info.Mode() != fs.FileMode(0o600) {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
