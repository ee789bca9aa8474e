package wholefile

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// errOut stands for any error of a link that leads out of a root: package os has no name
// for it.
var errOut = errors.New("it leads out")

func TestRead(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(at("file"), []byte("twelve bytes"), 0o644))
	must(os.WriteFile(at("empty"), nil, 0o644))
	must(os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o644))
	must(os.Symlink("file", at("link")))
	must(os.Symlink(filepath.Join(outside, "secret"), at("out")))
	must(os.Symlink("/dev/zero", at("device")))
	must(syscall.Mkfifo(at("pipe"), 0o644))
	must(os.Symlink("pipe", at("to pipe")))
	l, err := net.Listen("unix", at("socket"))
	must(err)
	defer l.Close()
	root, err := os.OpenRoot(dir)
	must(err)
	defer root.Close()

	for name, want := range map[string]struct {
		limit    int64
		here, in error
	}{
		"file":    {12, nil, nil},
		"link":    {12, nil, nil},
		"empty":   {0, nil, nil},
		"out":     {12, nil, errOut},
		"device":  {12, ErrIrregular, errOut},
		"pipe":    {12, ErrIrregular, ErrIrregular},
		"to pipe": {12, ErrIrregular, ErrIrregular},
		"socket":  {12, ErrIrregular, ErrIrregular},
		".":       {12, syscall.EISDIR, syscall.EISDIR},
		"none":    {12, fs.ErrNotExist, fs.ErrNotExist},
	} {
		_, err := Read(at(name), want.limit)
		if !errors.Is(err, want.here) {
			t.Errorf("%s: %v, want %v", name, err, want.here)
		}
		f, err := Open(at(name))
		if !errors.Is(err, want.here) {
			t.Errorf("Open %s: %v, want %v", name, err, want.here)
		}
		f.Close()
		_, err = ReadIn(root, name, want.limit)
		if out := errors.Is(want.in, errOut); out && err == nil || !out && !errors.Is(err, want.in) {
			t.Errorf("%s below a root: %v, want %v", name, err, want.in)
		}
	}
	if _, err := Read(at("file"), 11); !errors.Is(err, ErrTooLarge) {
		t.Errorf("of 12 bytes with a limit of 11: %v", err)
	}
	if b, err := ReadIn(root, "link", 99); err != nil || string(b) != "twelve bytes" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestUnmarshal(t *testing.T) {
	const most = 100
	for text, want := range map[string]bool{
		`[` + strings.Repeat(`0,`, most) + `0]`:                                    false,
		`[` + strings.Repeat(`null,`, most) + `0]`:                                 false,
		`{"a":[` + strings.Repeat(`{},`, most/2) + `{}]}`:                          false,
		strings.Repeat(`[`, most+1) + strings.Repeat(`]`, most+1):                  false,
		`["\\",` + strings.Repeat(`0,`, most) + `0]`:                               false,
		`["` + strings.Repeat(`,[{\"`, most) + `",1]`:                              true,
		`[` + strings.TrimSuffix(strings.Repeat(`"a,b",`, most-1), ",") + `]`:      true,
		`{"a":[` + strings.TrimSuffix(strings.Repeat(`{},`, most/2-1), ",") + `]}`: true,
	} {
		var v any
		err := Unmarshal([]byte(text), &v, most)
		if (err == nil) != want || !want && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%.30s: %v", text, err)
		}
	}
	if err := Unmarshal([]byte(`{"a"`), new(any), most); err == nil || errors.Is(err, ErrTooLarge) {
		t.Errorf("no JSON: %v", err)
	}
}
