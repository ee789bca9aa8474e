package main

import (
	"os"
	"path/filepath"
	"testing"
)

// What a container puts in the place of what goes leads to nothing outside of the folder.
func TestClear(t *testing.T) {
	for _, row := range []struct{ link, to string }{
		{".devcontainer/logs", "../../precious"},
		{".devcontainer", "../precious"},
		{".coltec", "../precious"},
		{".coltec/manifests", "../../precious"},
		{".devcontainer/coltec", "../../precious"},
	} {
		for _, files := range []bool{false, true} {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			var kept []string
			for _, name := range []string{"precious/logs/a", "precious/manifests/a", "precious/bin/a", "precious/a", "beside/a"} {
				kept = append(kept, filepath.Join(dir, name))
			}
			for _, name := range append([]string{filepath.Join(dir, "w/note.txt"), filepath.Join(dir, "w", filepath.Dir(row.link), "x")}, kept...) {
				if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Symlink(row.to, filepath.Join(dir, "w", row.link)); err != nil {
				t.Fatal(err)
			}
			r := &removal{state: stateNames, files: files}
			err = r.clear(filepath.Join(dir, "w")) // refused or done
			for _, name := range kept {
				if _, err := os.Lstat(name); err != nil {
					t.Errorf("%s leads to what was removed: %v", row.link, err)
				}
			}
			if _, there := os.Lstat(filepath.Join(dir, "w/note.txt")); (there != nil) != files || files && err != nil {
				t.Errorf("%s, files %t: %v and %v", row.link, files, err, there)
			}
		}
	}
}

// The home of who calls is not removed with a folder that has it.
func TestClearKeepsTheHome(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(dir, "w/home")
	if err := os.MkdirAll(home, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	for _, folder := range []string{home, filepath.Dir(home)} {
		if err := (&removal{files: true}).clear(folder); err == nil {
			t.Errorf("%s was removed", folder)
		}
	}
	if _, err := os.Lstat(home); err != nil {
		t.Error(err)
	}
}
