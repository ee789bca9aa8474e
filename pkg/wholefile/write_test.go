package wholefile

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Whatever has the name, the new content takes its place, and nothing else is left.
func TestWrite(t *testing.T) {
	for name, before := range map[string]func(file string) error{
		"nothing": func(string) error { return nil },
		"a file":  func(file string) error { return os.WriteFile(file, []byte("before"), 0o400) },
		"a link":  func(file string) error { return os.Symlink("elsewhere", file) },
		"a pipe":  func(file string) error { return syscall.Mkfifo(file, 0o600) },
	} {
		for _, d := range []Durability{Volatile, Durable} {
			dir := t.TempDir()
			file := filepath.Join(dir, "file")
			if err := before(file); err != nil {
				t.Fatal(err)
			}
			if err := Write(file, []byte("after"), 0o640, d); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			info, err := os.Lstat(file)
			if err != nil || info.Mode() != 0o640 {
				t.Errorf("%s: %v %v", name, info, err)
			}
			if b, err := os.ReadFile(file); string(b) != "after" {
				t.Errorf("%s: %q %v", name, b, err)
			}
			if all, _ := os.ReadDir(dir); len(all) != 1 {
				t.Errorf("%s: %d files are left", name, len(all))
			}
		}
	}
}

// What cannot be written whole leaves what was, and nothing beside it: a directory that
// has the name, a reader that fails, a directory that is not there.
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := root.MkdirAll("folder/in", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteIn(root, "folder", strings.NewReader("x"), 0o600, Durable); err == nil {
		t.Error("a directory was replaced")
	}
	if err := WriteIn(root, "none/file", strings.NewReader("x"), 0o600, Durable); err == nil {
		t.Error("there is no such directory")
	}
	if err := WriteIn(root, "file", failing{}, 0o600, Durable); err == nil {
		t.Error("half of the content was taken for all")
	}
	if all, _ := os.ReadDir(dir); len(all) != 1 {
		t.Errorf("%v are left", all)
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	if err := WriteIn(root, "out/file", strings.NewReader("x"), 0o600, Volatile); err == nil {
		t.Error("it was written out of the root")
	}
}

type failing struct{}

func (failing) Read(p []byte) (int, error) {
	copy(p, "half")
	return min(len(p), 4), os.ErrClosed
}
