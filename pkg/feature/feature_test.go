package feature

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/coltec/coltec/features"
)

// here is this test's own program, which is a Linux one on Linux.
func here(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the binaries of a container are Linux programs")
	}
	return "/proc/self/exe"
}

func TestWriteIsWholeAndIdempotent(t *testing.T) {
	self := here(t)
	dir := t.TempDir()
	b := Binaries{runtime.GOARCH: {"coltecd": self, "rclone": self}}
	arches, err := Write(dir, b)
	if err != nil || !slices.Equal(arches, []string{runtime.GOARCH}) {
		t.Fatalf("Write = %v, %v", arches, err)
	}
	before := stats(t, dir)
	for _, name := range []string{"install.sh", "entrypoint.sh", "devcontainer-feature.json", ".gitignore", "bin/" + runtime.GOARCH + "/rclone"} {
		if before[filepath.Join(Dir, name)] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	if _, err := Write(dir, b); err != nil {
		t.Fatal(err)
	}
	for name, info := range stats(t, dir) {
		if !os.SameFile(info, before[name]) {
			t.Errorf("%s was written again, though nothing changed", name)
		}
	}
	// What somebody cut short is made whole.
	path := filepath.Join(dir, Dir, "install.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(dir, b); err != nil {
		t.Fatal(err)
	}
	want, _ := fs.ReadFile(features.FS(), "install.sh")
	if got, _ := os.ReadFile(path); string(got) != string(want) {
		t.Error("a changed install.sh was left as it was")
	}
}

// The embedded list is the one on the disk: embed drops files without a word.
func TestEverythingIsEmbedded(t *testing.T) {
	disk := map[string]bool{}
	err := fs.WalkDir(os.DirFS("../../features/coltec"), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			disk[name] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range disk {
		if _, err := fs.Stat(features.FS(), name); err != nil {
			t.Errorf("%s is on the disk and not embedded", name)
		}
	}
}

func TestFind(t *testing.T) {
	self := here(t)
	exe, err := os.Readlink(self)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sub := filepath.Join(dir, "linux-"+runtime.GOARCH)
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "coltecd"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range programs {
		if found := Find(dir); len(found) != 0 {
			t.Fatalf("an incomplete set was found: %v", found)
		}
		if err := os.Symlink(exe, filepath.Join(sub, name)); err != nil {
			t.Fatal(err)
		}
	}
	if got := Find(dir)[runtime.GOARCH]["rclone"]; got != filepath.Join(sub, "rclone") {
		t.Errorf("rclone: %q", got)
	}
	if found := Find(dir); found.HasTailscale() {
		t.Errorf("a tailscaled was found: %v", found)
	}
	if err := os.Symlink(exe, filepath.Join(sub, Tailscaled)); err != nil {
		t.Fatal(err)
	}
	found := Find(dir)
	if !found.HasTailscale() || found.WithoutTailscale().HasTailscale() || !found.HasTailscale() {
		t.Errorf("tailscaled: %v", found)
	}
	if found[runtime.GOARCH][Tools] != "" {
		t.Errorf("a coltec-mcp was found: %v", found)
	}
	if err := os.Symlink(exe, filepath.Join(sub, Tools)); err != nil {
		t.Fatal(err)
	}
	if got := Find(dir).WithoutTailscale()[runtime.GOARCH][Tools]; got != filepath.Join(sub, Tools) {
		t.Errorf("coltec-mcp: %q", got)
	}
}

func stats(t *testing.T, dir string) map[string]fs.FileInfo {
	t.Helper()
	all := map[string]fs.FileInfo{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		all[rel], err = d.Info()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
