package localfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/hint"
)

// Whatever has the name of a file of ours, nothing is waited for, and nothing elsewhere
// is read or written.
func TestOwnFilesOfOthers(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	for name, tt := range map[string]struct {
		make func(path string) error
		hint string // a word of it
	}{
		"a link":       {func(path string) error { return os.Symlink(elsewhere, path) }, ""},
		"another name": {func(path string) error { return os.Link(elsewhere, path) }, "cp -p"},
		"a pipe":       {func(path string) error { return unix.Mkfifo(path, 0o600) }, "remove it"},
	} {
		must(t, os.WriteFile(elsewhere, []byte("theirs"), 0o600))
		path := filepath.Join(t.TempDir(), "own")
		must(t, tt.make(path))
		if f, err := OpenOwnFile(path, os.O_RDONLY); err == nil {
			f.Close()
			t.Errorf("%s is read", name)
		} else if !strings.Contains(strings.Join(hint.Of(err), " "), tt.hint) {
			t.Errorf("%s: %q", name, hint.Of(err))
		}
		if err := WriteOwnFile(path, []byte("ours")); err == nil {
			t.Errorf("%s is written", name)
		}
		if body, err := os.ReadFile(elsewhere); err != nil || string(body) != "theirs" {
			t.Errorf("%s: %q, %v", name, body, err)
		}
	}
}

func TestWriteOwnFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "own")
	for _, body := range []string{"long content", "short", ""} {
		must(t, WriteOwnFile(path, []byte(body)))
		if got, err := os.ReadFile(path); err != nil || string(got) != body {
			t.Errorf("%q, %v", got, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// What a killed run left goes, and what was fetched stays; what no coltecd makes is told.
func TestOpenOwn(t *testing.T) {
	dir := plant(t, map[string]string{
		".coltec/base": "b", ".coltec/stage/out/x": "1", ".coltec/stage/link": "> base",
		".coltec/stage/in/0": "1", ".coltec/stage/in/deep/l": "> /etc",
	})
	must(t, os.Chmod(filepath.Join(dir, ".coltec/stage/in/deep"), 0o777))
	own, err := OpenOwn(dir, "", 0o700)
	must(t, err)
	own.Close()
	paths, _ := walkAll(t, filepath.Join(dir, ".coltec"), Everything{})
	if got := strings.Join(paths, " "); got != "base stage stage/in stage/in/0 stage/in/deep" {
		t.Errorf("%s", got)
	}
	if info, err := os.Stat(filepath.Join(dir, ".coltec/stage/in/deep")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	put(t, filepath.Join(dir, ".coltec/planted"), "> base")
	if own, err := OpenOwn(dir, "", 0o700); err == nil {
		own.Close()
		t.Error("a link in it is taken for ours")
	}
	own, err = ReadOwn(dir, "", 0) // who writes nothing may look
	must(t, err)
	own.Close()
}

func TestOpenOwnOfALink(t *testing.T) {
	dir := plant(t, map[string]string{".coltec": "> elsewhere", "elsewhere/": ""})
	for name, open := range map[string]OwnOpener{"to write": OpenOwn, "to read": ReadOwn} {
		if own, err := open(dir, "", 0o700); err == nil {
			own.Close()
			t.Errorf("%s: a link is followed", name)
		}
	}
}
