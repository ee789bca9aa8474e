// Package feature puts the Coltec Feature beside a devcontainer.json: its files,
// and the coltecd and rclone that the host has for the container. The scaffold
// writes it when a workspace is made, and `coltec up` brings it up to date.
package feature

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/coltec/coltec/features"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/wholefile"
)

// Dir is where the Feature lies, below the folder of a workspace.
const Dir = ".devcontainer/coltec"

// programs are the binaries that the Feature always installs.
var programs = []string{"coltecd", "rclone"}

// Tailscaled is the binary that it installs where a tailnet is asked for. It is the
// client as well, under the name tailscale.
const Tailscaled = "tailscaled"

// Tools is the binary that it installs where there is one: what coltecd mcp becomes.
const Tools = "coltec-mcp"

// ignore keeps the binaries out of git: they are large, and made anew.
const ignore = "# coltec puts the binaries here\n/bin/\n"

// attributes keep the line ends: a clone on Windows may turn them, and what is read in the
// container is no script then.
const attributes = "* text eol=lf\n"

// Write brings the Feature of the workspace in folder up to date: its files, and
// the binaries that are in from (see Find and WithoutTailscale). What is equal is
// left alone, so that the image is not built again. It returns the architectures it
// has binaries for.
func Write(folder string, from Binaries) ([]string, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("cannot write the Feature: %w", err)
	}
	defer root.Close()
	err = fs.WalkDir(features.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(features.FS(), name)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if filepath.Ext(name) == ".sh" {
			mode = 0o755
		}
		return put(root, filepath.Join(Dir, name), bytes.NewReader(b), mode)
	})
	if err == nil {
		err = put(root, filepath.Join(Dir, ".gitignore"), bytes.NewReader([]byte(ignore)), 0o644)
	}
	if err == nil {
		err = put(root, filepath.Join(Dir, ".gitattributes"), bytes.NewReader([]byte(attributes)), 0o644)
	}
	var arches []string
	for _, arch := range []string{"amd64", "arm64"} {
		paths, ok := from[arch]
		if !ok || err != nil {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(paths)) {
			if err = copyFile(root, filepath.Join(Dir, "bin", arch, name), paths[name]); err != nil {
				break
			}
		}
		arches = append(arches, arch)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot write the Feature into %s: %w", filepath.Join(folder, Dir), err)
	}
	return arches, nil
}

// Binaries are the paths of the programs by architecture and name.
type Binaries map[string]map[string]string

// HasTailscale reports whether there is a tailscaled for every architecture.
func (b Binaries) HasTailscale() bool {
	for _, set := range b {
		if set[Tailscaled] == "" {
			return false
		}
	}
	return true
}

// WithoutTailscale are those of a workspace that joins no tailnet.
func (b Binaries) WithoutTailscale() Binaries {
	rest := Binaries{}
	for arch, set := range b {
		rest[arch] = maps.Clone(set)
		delete(rest[arch], Tailscaled)
	}
	return rest
}

// Find looks for the programs of Linux containers in dirs, each itself and its
// linux-amd64 and linux-arm64. The first complete set of an architecture counts,
// with the tailscaled and the coltec-mcp that lie in its directory, if any.
func Find(dirs ...string) Binaries {
	found := Binaries{}
	for _, dir := range dirs {
		for _, sub := range []string{"", "linux-amd64", "linux-arm64"} {
			set, arch := map[string]string{}, ""
			for _, name := range programs {
				path := filepath.Join(dir, sub, name)
				a := archOf(path)
				if a == "" || arch != "" && a != arch {
					set = nil
					break
				}
				set[name], arch = path, a
			}
			if _, known := found[arch]; set != nil && !known {
				for _, name := range []string{Tailscaled, Tools} {
					if path := filepath.Join(dir, sub, name); archOf(path) == arch {
						set[name] = path
					}
				}
				found[arch] = set
			}
		}
	}
	return found
}

// Missing is the error of a host that has no binaries for a container.
func Missing(dirs ...string) error {
	return hint.Wrap(fmt.Errorf("no coltecd and rclone for Linux in %q", dirs),
		"put both beside coltec, or into linux-amd64/ and linux-arm64/ there (make build does the first), or name their directory with COLTEC_BIN")
}

// MissingTailscale is the error of a host that has no tailscaled for a workspace
// that joins a tailnet.
func MissingTailscale(dirs ...string) error {
	return hint.Wrap(fmt.Errorf("no tailscaled for Linux beside coltecd in %q", dirs),
		"put it there (TAILSCALE=1 for the release's install.sh, or make tailscale builds it), or have tailscale and tailscaled in the image")
}

// archOf gives the architecture of a Linux program as Go calls it, or "".
func archOf(path string) string {
	f, err := elf.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	switch f.Machine {
	case elf.EM_X86_64:
		return "amd64"
	case elf.EM_AARCH64:
		return "arm64"
	default:
		return ""
	}
}

// copyFile puts the program at path into root, unless it is there.
func copyFile(root *os.Root, name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return put(root, name, f, 0o755)
}

// put writes a file whole, unless it is there with that content and mode.
func put(root *os.Root, name string, r io.ReadSeeker, mode fs.FileMode) error {
	same, err := equal(root, name, r, mode)
	if same || err != nil {
		return err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return wholefile.WriteIn(root, name, r, mode, wholefile.Durable)
}

func equal(root *os.Root, name string, r io.Reader, mode fs.FileMode) (bool, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)     // it may be a pipe
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENXIO) { // or a socket
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Mode().Perm() != mode || !info.Mode().IsRegular() {
		return false, err
	}
	a, b := make([]byte, 256<<10), make([]byte, 256<<10)
	for {
		n, err1 := io.ReadFull(f, a)
		m, err2 := io.ReadFull(r, b)
		if !bytes.Equal(a[:n], b[:m]) {
			return false, nil
		}
		if err1 != nil || err2 != nil { // both end, or one of them
			return n == m && ended(err1) && ended(err2), nil
		}
	}
}

func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
