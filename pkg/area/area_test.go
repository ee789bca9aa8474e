package area

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/anchor"
)

// world is an area, and a directory beside it that nothing may come to.
func world(t *testing.T) (d Dir, outside string) {
	t.Helper()
	top := t.TempDir()
	d, outside = Dir(filepath.Join(top, "area")), filepath.Join(top, "outside")
	for _, file := range []string{string(d) + "/from/file", outside + "/file", outside + "/dir/file"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte("theirs\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return d, outside
}

// Each of what can be done is refused where a link, or a file, is on the way: at the top,
// in the middle, and just above.
func TestNoWayByALink(t *testing.T) {
	for level, link := range map[string]string{"top": "a", "middle": "a/b", "above": "a/b/dir"} {
		for does, do := range map[string]func(d Dir, file string) error{
			"mkdir":    Dir.Mkdir,
			"remove":   Dir.Remove,
			"all":      Dir.RemoveAll,
			"write":    func(d Dir, file string) error { return d.Write(file, []byte("ours\n"), 0o644) },
			"copy":     func(d Dir, file string) error { return d.Copy(string(d)+"/from/file", file) },
			"link":     func(d Dir, file string) error { return d.Link("x", file) },
			"share":    func(d Dir, file string) error { return d.Share(string(d)+"/from/file", file) },
			"move":     func(d Dir, file string) error { return d.Move(string(d)+"/from/file", file) },
			"exchange": func(d Dir, file string) error { return d.Exchange(string(d)+"/from", file) },
			"away":     func(d Dir, file string) error { return d.Move(file, string(d)+"/taken") },
		} {
			t.Run(does+" "+level, func(t *testing.T) {
				d, outside := world(t)
				at := filepath.Join(string(d), link)
				if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.MkdirAll(filepath.Join(outside, "b/dir"), 0o755), os.Symlink(outside, at)); err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{"file", "new"} {
					if err := do(d, filepath.Join(string(d), "a/b/dir", name)); !errors.Is(err, ErrLink) {
						t.Errorf("%s: it said %v", name, err)
					}
				}
				if body, err := os.ReadFile(filepath.Join(outside, "file")); err != nil || string(body) != "theirs\n" {
					t.Errorf("outside: %q %v", body, err)
				}
				if _, err := os.Lstat(filepath.Join(outside, "new")); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("outside: %v", err)
				}
			})
		}
	}
}

// What is below a directory that is held open is there, wherever its name leads by then.
func TestHeld(t *testing.T) {
	d, outside := world(t)
	own, err := os.Open(string(d) + "/from")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if err := errors.Join(os.Rename(string(d)+"/from", string(d)+"/was"), os.Symlink(outside, string(d)+"/from")); err != nil {
		t.Fatal(err)
	}
	held := anchor.At(own)
	f, err := d.Create(held + "/list")
	if err == nil {
		err = f.Close()
	}
	if err := errors.Join(err, d.Write(held+"/written", nil, 0o644), d.Share(held+"/list", string(d)+"/shared"),
		d.Mkdir(held+"/made/in"), d.Exchange(held+"/made", string(d)+"/made"), d.Move(held+"/written", string(d)+"/moved")); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"was/file", "was/list", "shared", "made/in", "moved"} {
		if _, err := os.Lstat(filepath.Join(string(d), file)); err != nil {
			t.Error(err)
		}
	}
	if _, err := d.Create(held + "/list"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file that is there is made: %v", err)
	}
	if left, _ := os.ReadDir(outside); len(left) != 2 {
		t.Errorf("outside is %v", left)
	}
}

// What has the name of a directory on the way, or of the file itself, goes before a file
// comes; nothing goes of what a link leads to.
func TestPlaceOverAnotherKind(t *testing.T) {
	for name, before := range map[string]func(d Dir, outside string) error{
		"a link on the way":     func(d Dir, outside string) error { return os.Symlink(outside, string(d)+"/to/dir") },
		"a file on the way":     func(d Dir, _ string) error { return os.WriteFile(string(d)+"/to/dir", nil, 0o644) },
		"a link in its place":   func(d Dir, outside string) error { return d.Link(outside+"/file", string(d)+"/to/dir/file") },
		"a directory there":     func(d Dir, _ string) error { return d.Mkdir(string(d) + "/to/dir/file/deep") },
		"a link in a directory": func(d Dir, outside string) error { return d.Link(outside, string(d)+"/to/dir/file/deep") },
	} {
		t.Run(name, func(t *testing.T) {
			d, outside := world(t)
			if err := errors.Join(d.Mkdir(string(d)+"/to"), before(d, outside)); err != nil {
				t.Fatal(err)
			}
			if err := d.Place(string(d)+"/from/file", string(d)+"/to", "dir/file"); err != nil {
				t.Fatal(err)
			}
			for _, file := range []string{string(d) + "/to/dir/file", outside + "/file", outside + "/dir/file"} {
				if s, err := os.Lstat(file); err != nil || !s.Mode().IsRegular() {
					t.Errorf("%s: %v", file, err)
				}
			}
		})
	}
}

// A file that cannot be written whole leaves the one that was.
func TestWriteIsWholeOrNotAtAll(t *testing.T) {
	d, _ := world(t)
	file := string(d) + "/from/file"
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 10, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	err := d.Write(file, make([]byte, 100), 0o644)
	if back := unix.Setrlimit(unix.RLIMIT_FSIZE, &was); err == nil || back != nil {
		t.Errorf("it said %v, %v", err, back)
	}
	if body, err := os.ReadFile(file); string(body) != "theirs\n" {
		t.Errorf("%q %v", body, err)
	}
	if left, _ := os.ReadDir(string(d) + "/from"); len(left) != 1 {
		t.Errorf("%d files are left", len(left))
	}
}

// So does one that cannot be read to its end, and where none was there is none.
func TestCopyIsWholeOrNotAtAll(t *testing.T) {
	const unreadable = "/proc/self/mem" // at its begin nothing is mapped
	for does, do := range map[string]func(d Dir, from, to string) error{"copy": Dir.Copy, "share": Dir.Share} {
		d, _ := world(t)
		for _, name := range []string{"file", "new"} {
			if err := do(d, unreadable, string(d)+"/from/"+name); err == nil {
				t.Errorf("%s %s: it said nothing", does, name)
			}
		}
		if body, err := os.ReadFile(string(d) + "/from/file"); string(body) != "theirs\n" {
			t.Errorf("%s: %q %v", does, body, err)
		}
		if left, _ := os.ReadDir(string(d) + "/from"); len(left) != 1 {
			t.Errorf("%s: these are left: %v", does, left)
		}
	}
}

// A copy replaces nothing; what is shared replaces what was there, which may be a part of it.
func TestOverAnother(t *testing.T) {
	d, outside := world(t)
	at := func(name string) string { return string(d) + "/from/" + name }
	if err := errors.Join(d.Write(at("whole"), []byte("whole\n"), 0o644), os.WriteFile(outside+"/away", []byte("away\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	if err := d.Copy(at("whole"), at("file")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("copy: %v", err)
	}
	for _, from := range []string{at("whole"), outside + "/away", at("whole"), at("whole")} {
		want, err := os.ReadFile(from)
		if err := errors.Join(err, d.Share(from, at("file"))); err != nil {
			t.Fatal(err)
		}
		if body, err := os.ReadFile(at("file")); string(body) != string(want) {
			t.Errorf("%q, not %q: %v", body, want, err)
		}
	}
	if left, _ := os.ReadDir(string(d) + "/from"); len(left) != 2 {
		t.Errorf("these are left: %v", left)
	}
}

// Whoever owns what the area is in puts a link in its place.
func TestTheAreaItselfIsLedElsewhere(t *testing.T) {
	d, outside := world(t)
	if err := errors.Join(os.Chmod(filepath.Dir(string(d)), 0o777), os.RemoveAll(string(d)), os.Symlink(outside, string(d))); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(string(d), name) }
	for does, err := range map[string]error{
		"mkdir": d.Mkdir(at("new")), "write": d.Write(at("new"), nil, 0o644), "remove": d.RemoveAll(at("dir")),
		"move": d.Move(at("dir"), at("new")), "place": d.Place(at("dir"), string(d), "file"), "exchange": d.Exchange(at("dir"), at("file")),
	} {
		if !errors.Is(err, anchor.ErrRedirected) {
			t.Errorf("%s: it said %v", does, err)
		}
	}
	for _, file := range []string{"file", "dir/file"} {
		if body, err := os.ReadFile(filepath.Join(outside, file)); err != nil || string(body) != "theirs\n" {
			t.Errorf("outside: %q %v", body, err)
		}
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 2 {
		t.Errorf("outside: %v %v", entries, err)
	}
}
