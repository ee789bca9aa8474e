package remote

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/rclone"
)

// allowFile is one with a text, and an environment that names it.
func allowFile(t *testing.T, text string) (file string, env rclone.Lookup) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "rclone.allow")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file, names(file)
}

// names is an environment that names an allow file.
func names(file string) rclone.Lookup {
	return func(name string) (string, bool) { return file, name == AllowVariable }
}

// keyed is a back end with an option that a spec alone may not say on a host.
var keyed = rclone.Backend{Name: "p", Type: "sftp", Options: map[string]string{"key_file": "/home/u/.ssh/id"}}

func TestAllowFile(t *testing.T) {
	for text, want := range map[string]bool{
		"":                                    false,
		"sftp.key_file":                       true,
		"  sftp.key_file  # ours\n":           true,
		"\ufeffsftp.key_file # ours\r\n":      true,
		"# sftp.key_file\n\n":                 false,
		"sftp.ssh\nsftp.key_file":             true,
		"sftp.ssh":                            false,
		"sftp.key_file extra":                 false,
		"s3.key_file":                         false,
		strings.Repeat("#", allowMost) + "\n": false, // too large: nothing of it counts
	} {
		file, env := allowFile(t, text)
		err := NewPolicy(rclone.Store, env).check(keyed)
		if got := err == nil; got != want {
			t.Errorf("%.20q: %v", text, err)
		}
		if err != nil && len(text) < allowMost && !strings.Contains(strings.Join(hint.Of(err), " "), file) {
			t.Errorf("%q: the hint names no file: %q", text, hint.Of(err))
		}
	}
}

// One that is not there is the usual case; of one that cannot be read nobody knows what
// it takes, and what it forbids by silence.
func TestAllowFileThatCannotBeRead(t *testing.T) {
	harmless := rclone.Backend{Name: "p", Type: "s3", Options: map[string]string{"region": "auto"}}
	p := NewPolicy(rclone.Store, names(filepath.Join(t.TempDir(), "none")))
	if err := p.check(harmless); err != nil {
		t.Errorf("no file: %v", err)
	}
	if err := p.check(keyed); err == nil {
		t.Error("no file takes everything")
	}
	large, env := allowFile(t, strings.Repeat("#", allowMost+1))
	for name, env := range map[string]rclone.Lookup{large: env, "a directory": names(t.TempDir())} {
		if err := NewPolicy(rclone.Store, env).check(harmless); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}

// What somebody else could have written says nothing for the owner of the machine. A
// directory such as /tmp will do: nobody takes another's file away there.
func TestAllowFileOfOthers(t *testing.T) {
	const sticky = os.ModeSticky
	for name, tt := range map[string]struct {
		file, dir os.FileMode
		want      bool
	}{
		"as it is made":          {0o644, 0o755, true},
		"secret":                 {0o600, 0o700, true},
		"the group may write it": {0o664, 0o755, false},
		"all may write it":       {0o646, 0o755, false},
		"all may exchange it":    {0o644, 0o777, false},
		"the group may":          {0o644, 0o775, false},
		"in a place as /tmp":     {0o644, 0o777 | sticky, true},
		"sticky itself":          {0o646 | sticky, 0o755, false}, // of a file that says nothing
	} {
		file, env := allowFile(t, "sftp.key_file")
		if err := os.Chmod(file, tt.file); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Dir(file), tt.dir); err != nil {
			t.Fatal(err)
		}
		err := NewPolicy(rclone.Store, env).check(keyed)
		if got := err == nil; got != tt.want {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && !strings.Contains(strings.Join(hint.Of(err), " "), "chmod go-w "+filepath.Dir(file)) {
			t.Errorf("%s: %q", name, hint.Of(err))
		}
	}
}

// Another user's file is no word of this one's.
func TestAllowFileOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("to give a file away takes root, as CI is")
	}
	file, env := allowFile(t, "sftp.key_file")
	if err := os.Chown(file, 12345, -1); err != nil {
		t.Fatal(err)
	}
	if err := NewPolicy(rclone.Store, env).check(keyed); err == nil {
		t.Error("one of another user is believed")
	}
}
