package replica

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A folder is made below one that is being written through directories alone: what
// was written there before may have a link anywhere on the way.
func TestMakeIn(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "there"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"link": "there", "out": outside, "dangling": filepath.Join(outside, "x"), "there/link": "../there", "self": "self"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	deep := strings.Repeat("d/", 100) + "d"
	for _, name := range []string{".", "new", "there", "there/new/er", "name\n\x1b", deep} {
		if err := MakeIn(root, name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || !info.IsDir() {
			t.Errorf("%q: %v, %v", name, info, err)
		}
	}
	for _, name := range []string{"link", "link/x", "out", "out/x", "out/x/y", "dangling", "dangling/x", "there/link/x", "file", "file/x", "self/x", "../x", "there/../../x"} {
		if MakeIn(root, name) == nil {
			t.Errorf("%q was made", name)
		}
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("outside are %v, %v", left, err)
	}
}

func TestVacant(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"empty", "full/x"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("empty", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nothing", filepath.Join(dir, "dangling")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"empty": "", "not there": "", "full": "not empty", "link": "no folder", "dangling": "no folder"} {
		err := Vacant(filepath.Join(dir, name))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
