package localfs

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// mount mounts a file system of its own at a path until the test ends.
func mount(t *testing.T, path string) {
	t.Helper()
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, ""); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("cannot mount: %v", err)
		}
		t.Skipf("cannot mount, which takes root: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
}

// What is edited while it is moved stays where it is, and no second one is left.
func TestMoveAcrossSeesEdits(t *testing.T) {
	dir := plant(t, map[string]string{"v/": "", "f": "1", "l": "> f"})
	at := func(name string) string { return filepath.Join(dir, name) }
	mount(t, at("v"))
	root := opened(t, dir)
	for name, edit := range map[string]func() error{
		"f": func() error { return os.WriteFile(at("f"), []byte("22"), 0o644) },
		"l": func() error { return os.Chtimes(at("f"), time.Now(), time.Now()) },
	} {
		s, err := root.Lstat(name)
		must(t, err)
		must(t, edit())
		_, err = root.MoveAcross(name, "v/"+name, s.Seen)
		_, there := os.Lstat(at("v/" + name))
		if edited := name == "f"; edited != (err != nil) || edited != (there != nil) {
			t.Errorf("%s: %v, there: %v", name, err, there)
		}
	}
	put(t, at("g"), "new")
	put(t, at("v/g"), "old")
	s, err := root.Lstat("g")
	must(t, err)
	if _, err := root.MoveAcross("g", "v/g", s.Seen); err == nil {
		t.Error("it replaces what is there")
	}
	if body, err := os.ReadFile(at("v/g")); err != nil || string(body) != "old" {
		t.Errorf("%q, %v", body, err)
	}
}
