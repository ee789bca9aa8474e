package main

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The volume gets the spec and what lies beside it: no logs, no programs, and nothing by a
// link, which a container may have put there.
func TestSeed(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(t.TempDir(), "id_ed25519")
	for name, text := range map[string]string{
		filepath.Join(dir, specName): "spec", filepath.Join(dir, configName): "{}", filepath.Join(dir, ".devcontainer/start.sh"): "x",
		filepath.Join(dir, logsName, "coltecd.log"): "log", filepath.Join(dir, ".devcontainer/coltec/bin/amd64/coltecd"): "elf",
		filepath.Join(dir, ".devcontainer/coltec/install.sh"): "x", filepath.Join(dir, "main.go"): "code", secret: "key",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(secret, filepath.Join(dir, ".devcontainer/link")); err != nil {
		t.Fatal(err)
	}
	archive, err := seedOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Uname != "" {
			t.Errorf("%s has an owner: %+v", h.Name, h)
		}
		got = append(got, h.Name)
	}
	want := []string{
		".devcontainer/", ".devcontainer/coltec/", ".devcontainer/coltec/install.sh", ".devcontainer/devcontainer.json",
		".devcontainer/start.sh", ".devcontainer/workspace-spec.yaml",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "there")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, ".devcontainer"), filepath.Join(dir, "away")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(secret), filepath.Join(dir, ".devcontainer")); err != nil {
		t.Fatal(err)
	}
	if archive, err := seedOf(dir); err == nil && archive.Len() > 1024 {
		t.Error("a link in the place of the directory is followed")
	}
}
