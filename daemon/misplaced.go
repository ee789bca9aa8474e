package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/spec"
)

// A container's own layer goes with the container. A spec that names another path than
// the one that the project is mounted at would have an empty folder made there, which
// is synced and never has anything, while the project is never saved. So a replica is
// blocked where all of this is so:
//
//   - its path is not there, or is an empty folder of a container's layer;
//   - the workspace's own folder is elsewhere: neither is in the other, and no replica
//     has the folder, which would show that the paths are those of this place;
//   - no volume is mounted at the path or above it;
//   - it does not only pull: then there would be nothing to save.
//
// `mkdir -p PATH/.coltec` says that the path is meant.

// otherKind is why a replica must not run where its path is of another kind than the spec
// says; nil: it may. What is not there yet is of either.
func otherKind(y spec.Sync) error {
	at := filepath.Clean(y.Trees()[0])
	info, err := os.Lstat(at)
	switch {
	case err != nil:
		return nil
	case y.File && info.IsDir():
		return hint.Wrap(fmt.Errorf("%q is a directory, and the spec says that it is a file", at), "remove file: true from the replica, or the directory, if a program made it by mistake")
	case y.File && info.Mode()&os.ModeSymlink != 0:
		return hint.Wrap(fmt.Errorf("%q is a link, so it would be carried without what it leads to", at), "write the path of what it leads to into the spec")
	case !y.File && len(y.Include) == 0 && info.Mode().IsRegular():
		return hint.Wrap(fmt.Errorf("%q is a file, and the path of a replica is a directory", at), "write file: true to the replica, to carry that file alone")
	}
	return nil
}

// misplaced is why a replica must not run as it is set up; nil: it may.
func (s setting) misplaced(y spec.Sync) error {
	if err := otherKind(y); err != nil {
		return err
	}
	folder, known := s.ownFolder()
	if y.Direction == spec.PullOnly || !known || y.InHome { // a home goes with its container: it is meant
		return nil
	}
	at := realPlace(y.Path)
	if within(at, folder) || s.has(folder) || volume(at) {
		return nil
	}
	why := "is not there"
	if there(at) {
		if !bare(at) || !inLayer() || !volume(folder) {
			return nil
		}
		why = "is empty, and goes with the container"
	}
	path := filepath.Clean(y.Path)
	return hint.Wrap(
		fmt.Errorf("%q %s, and the workspace's own folder is %q: nothing of that would be saved", path, why, folder),
		"mount the folder at %s (workspaceMount and workspaceFolder in devcontainer.json), or set path: %s in the spec; if %s is meant: mkdir -p %s, then coltecd start",
		s.top(y), s.meant(y, folder), path, hint.Word(path+"/"+localfs.Dir))
}

// misplacements are the reasons why replicas are misplaced, by name.
func (s setting) misplacements() map[string]string {
	reasons := map[string]string{}
	for _, y := range s.spec.Replicas() {
		if err := s.misplaced(y); err != nil {
			reasons[y.Name] = hint.Sentence(err)
		}
	}
	return reasons
}

// unsaved is a notice about a workspace of whose own folder no replica saves anything, "" for
// others. That may be intended.
func (s setting) unsaved() string {
	folder, known := s.ownFolder()
	if !known {
		return ""
	}
	writes := false
	for _, y := range s.spec.Replicas() {
		at := realPlace(y.Path)
		if fills(y, folder) || within(at, folder) || s.misplaced(y) != nil {
			return ""
		}
		writes = writes || y.Direction != spec.PullOnly
	}
	if !writes {
		return ""
	}
	return fmt.Sprintf("%q, the workspace's own folder, is in no replica: nothing in it is saved", folder)
}

// ownFolder is the workspace's folder, where it is known: it is not for a spec outside of a
// .devcontainer.
func (s setting) ownFolder() (folder string, known bool) {
	info, err := os.Stat(filepath.Join(s.folder, filepath.Dir(SpecName)))
	return realPlace(s.folder), err == nil && info.IsDir()
}

// has reports whether a replica has the folder in it.
func (s setting) has(folder string) bool {
	for _, y := range s.spec.Replicas() {
		if fills(y, folder) {
			return true
		}
	}
	return false
}

// fills reports whether what a replica carries has a directory in it that is there, links apart.
// What is none has nothing in it: of the many paths of a home, which are looked at for each
// status, most are not there.
func fills(y spec.Sync, dir string) bool {
	return slices.ContainsFunc(y.Trees(), func(tree string) bool {
		info, err := os.Stat(tree)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
			return false
		}
		return within(dir, realPlace(tree))
	})
}

// top is the path of the outermost replica that has y in it.
func (s setting) top(y spec.Sync) string {
	top := filepath.Clean(y.Path)
	for _, o := range s.spec.Replicas() {
		if outer := filepath.Clean(o.Path); within(top, outer) {
			top = outer
		}
	}
	return top
}

// meant is the path of y where the folder is what the spec has at top.
func (s setting) meant(y spec.Sync, folder string) string {
	rel, err := filepath.Rel(s.top(y), filepath.Clean(y.Path))
	if err != nil {
		return folder
	}
	return filepath.Join(folder, rel)
}

// within reports whether path is dir or lies in it.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// realPlace is a path without links, as far as it is there.
func realPlace(path string) string {
	path = filepath.Clean(path)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if dir := filepath.Dir(path); dir != path {
		return filepath.Join(realPlace(dir), filepath.Base(path))
	}
	return path
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// bare reports whether a directory is empty. What cannot be listed is not.
func bare(dir string) bool {
	f, err := openDir(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	names, _ := f.Readdirnames(1)
	return len(names) == 0
}

// volume reports whether a path is on another mount than the root of the file system, or
// would be.
func volume(path string) bool {
	for !there(path) && filepath.Dir(path) != path {
		path = filepath.Dir(path)
	}
	return mountOf(path) != mountOf("/")
}

// mountOf tells mounts apart: by the kernel's number for them, and before Linux 5.8 by
// their device, which a bind mount of the same disk has too.
func mountOf(path string) (id [3]uint64) {
	var st unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_TYPE|unix.STATX_MNT_ID, &st) == nil {
		id = [3]uint64{uint64(st.Dev_major), uint64(st.Dev_minor), st.Mnt_id}
	}
	return id
}

// inLayer reports whether the root of the file system is a container's.
func inLayer() bool {
	var st unix.Statfs_t
	if unix.Statfs("/", &st) == nil && st.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return true
	}
	return there("/.dockerenv") || there("/run/.containerenv")
}
