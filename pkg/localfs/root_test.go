package localfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/tree"
	"github.com/google/go-cmp/cmp"
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

// stubborn is a tree of one read-only directory, where nothing is made before its mode
// lets it.
type stubborn struct {
	FileSystem
	mode  uint32
	modes []uint32 // that it was given
	fails error    // of what is done in it at last
}

func (s *stubborn) Lstat(path string) (*Entry, error) {
	if path != "d" {
		return nil, nil
	}
	return &Entry{Path: path, Kind: tree.Dir, Seen: Seen{Mode: s.mode}}, nil
}

func (s *stubborn) Chmod(_ string, mode uint32) error {
	s.mode, s.modes = mode, append(s.modes, mode)
	return nil
}

func (s *stubborn) Mkdir(string, uint32) error {
	if s.mode&0o200 == 0 {
		return unix.EACCES
	}
	return s.fails
}

func TestWritableForAMoment(t *testing.T) {
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		path  string
		files stubborn
		modes []uint32
		err   error
	}{
		"writable":           {"d/e", stubborn{mode: 0o700}, nil, nil},
		"read-only":          {"d/e", stubborn{mode: 0o555}, []uint32{0o755, 0o555}, nil},
		"and it fails":       {"d/e", stubborn{mode: 0o555, fails: broken}, []uint32{0o755, 0o555}, broken},
		"for another reason": {"d/e", stubborn{mode: 0o700, fails: unix.EACCES}, nil, unix.EACCES},
		"in the root itself": {"e", stubborn{mode: 0o555}, nil, unix.EACCES},
	} {
		err := MakeDir(&tt.files, tt.path)
		if diff := cmp.Diff(tt.modes, tt.files.modes); diff != "" || !errors.Is(err, tt.err) {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}

func TestMakeParents(t *testing.T) {
	dir := plant(t, map[string]string{"a/": "", "f": ""})
	root := opened(t, dir)
	must(t, MakeParents(root, "a/b/c/x"))
	must(t, MakeParents(root, "x"))
	if paths, _ := walkAll(t, dir, Everything{}); strings.Join(paths, " ") != "a a/b a/b/c f" {
		t.Errorf("%q", paths)
	}
	if err := MakeParents(root, "f/b/x"); err == nil {
		t.Error("a file is taken for a directory")
	}
}

// A name that is taken stays its owner's, unless it is to be replaced.
func TestRename(t *testing.T) {
	dir := plant(t, map[string]string{"new": "1", "old": "2"})
	root := opened(t, dir)
	if err := root.Rename("new", "old", false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v", err)
	}
	must(t, root.Rename("new", "free", false))
	must(t, root.Rename("free", "old", true))
	if body, err := os.ReadFile(filepath.Join(dir, "old")); err != nil || string(body) != "1" {
		t.Errorf("%q, %v", body, err)
	}
}

// A directory that was removed and made again is not the one that was open.
func TestForget(t *testing.T) {
	dir := plant(t, map[string]string{"d/x": "1"})
	root := opened(t, dir)
	if s, err := root.Lstat("d/x"); s == nil || err != nil {
		t.Fatalf("%v, %v", s, err)
	}
	must(t, os.RemoveAll(filepath.Join(dir, "d")))
	put(t, filepath.Join(dir, "d/y"), "2")
	root.Forget()
	if s, err := root.Lstat("d/y"); s == nil || err != nil {
		t.Errorf("%v, %v", s, err)
	}
	if s, err := root.Lstat("d/y/z"); s != nil || err != nil {
		t.Errorf("below a file is nothing: %v, %v", s, err)
	}
}
