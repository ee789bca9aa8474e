package anchor

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A link on the way is followed where only we can have put it.
func TestOpen(t *testing.T) {
	if os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("CI runs this as root")
		}
		t.Skip("only root can make folders of two users")
	}
	top := t.TempDir()
	at := func(name string) string { return filepath.Join(top, name) }
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(at("real/in"), 0o755), os.MkdirAll(at("theirs/in"), 0o755), os.Mkdir(at("sticky"), 0o755), os.Mkdir(at("wide"), 0o755))
	must(os.Symlink("real", at("link")), os.Symlink(at("real"), at("absolute")), os.Symlink("theirs/../link/in", at("long")), os.Symlink("loop", at("loop")))
	must(os.Symlink("../real", at("sticky/ours")), os.Symlink("../real", at("sticky/theirs")), os.Symlink("../real", at("wide/link")))
	must(os.Symlink("../real", at("theirs/link")), os.Symlink("theirs/link", at("there")), os.WriteFile(at("file"), nil, 0o644))
	must(os.Lchown(at("theirs"), 65534, 65534), os.Lchown(at("sticky/theirs"), 65534, 65534))
	must(os.Symlink("../real", at("real/deep")))
	must(os.Chmod(at("sticky"), 0o1777|os.ModeSticky), os.Chmod(at("wide"), 0o777))

	before := descriptors(t)
	for path, want := range map[string]struct {
		within string
		err    error
		fixed  bool
	}{
		"real/in":        {"", nil, true},
		"link/in":        {"", nil, true},
		"absolute/in":    {"", nil, true},
		"long":           {"", nil, false}, // by a folder of theirs, which they can rename
		"loop":           {"", errAny, false},
		"none":           {"", fs.ErrNotExist, true},
		"file":           {"", errAny, false},
		"file/in":        {"", errAny, false},
		"theirs/in":      {"", nil, false},
		"theirs/link":    {"", ErrRedirected, false},
		"theirs/link/in": {"", ErrRedirected, false},
		"there":          {"", ErrRedirected, false},
		"sticky/ours":    {"", nil, true},
		"sticky/theirs":  {"", ErrRedirected, false},
		"wide/link":      {"", ErrRedirected, false},
		"link":           {"link", nil, true},
		"link/.//in":     {"link", nil, true},
		"real":           {"real", nil, true},
		"real/deep/in":   {"real", ErrRedirected, true},
	} {
		within := want.within
		if within != "" {
			within = at(within)
		}
		f, err := Open(at(path), within, 0)
		switch {
		case errors.Is(want.err, errAny) && err == nil, !errors.Is(want.err, errAny) && !errors.Is(err, want.err):
			t.Errorf("%s within %q: %v, want %v", path, within, err, want.err)
		case err == nil:
			mine, _ := f.Stat()
			if real, err := os.Stat(at(path)); err != nil || !os.SameFile(mine, real) {
				t.Errorf("%s is another directory: %v", path, err)
			}
			f.Close()
		}
		if got := Fixed(at(path)); got != want.fixed {
			t.Errorf("%s is fixed: %v", path, got)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, of %d before", after, before)
	}
}

// Where each user has a group of their own, their folders are writable to it.
func TestOthers(t *testing.T) {
	for name, x := range map[string]struct {
		st   unix.Stat_t
		want bool
	}{
		"ours":                    {unix.Stat_t{Uid: 1000, Gid: 5, Mode: 0o755}, false},
		"ours, for our own group": {unix.Stat_t{Uid: 1000, Gid: 1000, Mode: 0o775}, false},
		"ours, for a group":       {unix.Stat_t{Uid: 1000, Gid: 5, Mode: 0o775}, true},
		"ours, for all":           {unix.Stat_t{Uid: 1000, Gid: 1000, Mode: 0o777}, true},
		"for all, each their own": {unix.Stat_t{Uid: 1000, Gid: 5, Mode: 0o1777}, false},
		"root's":                  {unix.Stat_t{Uid: 0, Gid: 5, Mode: 0o755}, false},
		"root's, for its group":   {unix.Stat_t{Uid: 0, Gid: 0, Mode: 0o775}, true}, // some platforms run all in it
		"another user's":          {unix.Stat_t{Uid: 1001, Gid: 1001, Mode: 0o755}, true},
	} {
		if got := others(&x.st, 1000); got != x.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A path is told without its links, as far as it is there and only we can have put them.
func TestReal(t *testing.T) {
	top, err := filepath.EvalSymlinks(t.TempDir())
	at := func(name string) string { return filepath.Join(top, name) }
	err = errors.Join(err, os.MkdirAll(at("real/in"), 0o755), os.Symlink("real", at("link")),
		os.Mkdir(at("wide"), 0o755), os.Chmod(at("wide"), 0o777), os.Symlink("../real", at("wide/link")))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"link/in": "real/in", "link": "real", "link/none/at/all": "real/none/at/all", "none": "none", "wide": "wide",
	} {
		if got, err := Real(at(path)); err != nil || got != at(want) {
			t.Errorf("%s: %s, %v", path, got, err)
		}
	}
	for _, path := range []string{"wide/link", "wide/link/in", "wide/link/none"} {
		if got, err := Real(at(path)); !errors.Is(err, ErrRedirected) {
			t.Errorf("%s: %s, %v", path, got, err)
		}
	}
}

// descriptors counts what is open.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

var errAny = errors.New("any error will do")

func TestOpenMakes(t *testing.T) {
	top := t.TempDir()
	path := filepath.Join(top, "a/b")
	f, err := Open(path, top, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Rename(filepath.Join(top, "a"), filepath.Join(top, "moved")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(At(f)+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(top, "moved/b/file")); err != nil {
		t.Errorf("it was not written to what was opened: %v", err)
	}
	if got, want := Plain("open "+At(f)+"/x: no"), "open "+filepath.Join(top, "moved/b")+"/x: no"; got != want {
		t.Errorf("Plain: %q, want %q", got, want)
	}
	if fd, below, ok := Number(At(f) + "/stage/in"); !ok || fd != int(f.Fd()) || below != "stage/in" {
		t.Errorf("Number: %d, %q, %v", fd, below, ok)
	}
	if _, _, ok := Number(path); ok {
		t.Error("a path of no descriptor has one")
	}
}

// A file in a directory is opened where it is one, and has no other name.
func TestOpenFile(t *testing.T) {
	top := t.TempDir()
	root, err := os.OpenRoot(top)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	at := func(name string) string { return filepath.Join(top, name) }
	l, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = errors.Join(os.WriteFile(at("file"), []byte("x"), 0o644), os.WriteFile(at("one"), []byte("x"), 0o644), os.Link(at("one"), at("two")),
		os.Symlink("file", at("link")), os.Symlink("none", at("dangling")), unix.Mkfifo(at("pipe"), 0o644), os.Mkdir(at("folder"), 0o755))
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range []int{os.O_RDONLY, os.O_WRONLY | os.O_APPEND | os.O_CREATE, os.O_RDWR | os.O_CREATE} {
		f, err := OpenFile(root, "file", flag, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		for _, name := range []string{"one", "two", "link", "dangling", "pipe", "folder", "socket"} {
			if f, err := OpenFile(root, name, flag, 0o600); !errors.Is(err, ErrPlanted) {
				t.Errorf("%s, flags %x: %v, %v", name, flag, f, err)
			}
		}
	}
	if _, err := os.Lstat(at("none")); err == nil {
		t.Error("a file was made through a link")
	}
}

// An error was told after its directory was closed, and its number named another.
func TestToldOfAClosedDirectory(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, cause := os.Open(At(f) + "/none")
	err = Told(cause)
	f.Close()
	if want := "open " + dir + "/none: no such file or directory"; err.Error() != want || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
