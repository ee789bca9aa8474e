package hostile

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// memoryMost is far above what a host verb takes (40 MB), and far below what it would
// read of a file of a gibibyte.
const memoryMost = 200 << 20

// irregular are what an agent puts in the place of a file that a host verb reads.
var irregular = map[string]func(path string) error{
	"pipe":      func(path string) error { return syscall.Mkfifo(path, 0o666) },
	"directory": func(path string) error { return os.Mkdir(path, 0o755) },
	"device":    func(path string) error { return os.Symlink("/dev/zero", path) },
	"terminal":  func(path string) error { return os.Symlink("/dev/tty", path) },
	"itself":    func(path string) error { return os.Symlink(filepath.Base(path), path) },
	"socket": func(path string) error {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
		if err == nil {
			l.SetUnlinkOnClose(false)
			err = l.Close()
		}
		return err
	},
	"gibibyte": func(path string) error {
		f, err := os.Create(path)
		if err == nil {
			err = f.Truncate(1 << 30)
			f.Close()
		}
		return err
	},
}

// read are the files of a workspace that host verbs read, and how each error names one;
// "" where a verb may do without it.
var read = map[string]string{
	".devcontainer/workspace-spec.yaml":   "workspace-spec.yaml",
	".devcontainer/devcontainer.json":     "",
	".devcontainer/.coltec/answers.yaml":  "",
	".devcontainer/logs/status.json":      "",
	"fnox.toml":                           "",
	".devcontainer/.coltec/base/start.sh": "",
	".devcontainer/coltec/install.sh":     "",
	".devcontainer/start.sh":              "",
}

// TestIrregularFiles puts what is not a file, or has no end, in the place of each file: every
// host verb ends by itself, in little memory, and does not crash.
func TestIrregularFiles(t *testing.T) {
	// Not beside others: the most that a child has had begins with what its parent has.
	tools := tooled(t)
	for file, named := range read {
		for kind, put := range irregular {
			t.Run(kind+" as "+filepath.Base(file), func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "w")
				if out, code := verb(t, tools, dir, "new", dir, "--data", "org=acme", "--data", "project=widget", "--data", "env=dev"); code != 0 {
					t.Fatal(out)
				}
				path := filepath.Join(dir, file)
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := put(path); err != nil {
					t.Fatal(err)
				}
				for _, args := range [][]string{
					{"check", dir}, {"doctor", dir}, {"ls", "--local"}, {"secrets", "export", dir, "-o", "-"},
					{"update", "--check", dir}, {"up", dir}, {"down", dir}, {"status", dir},
				} {
					out, code := verb(t, tools, dir, args...)
					if named != "" && args[0] != "ls" && args[0] != "update" && (code == 0 || !strings.Contains(out, named)) {
						t.Errorf("coltec %s ended with %d and does not name %s:\n%s", args[0], code, named, out)
					}
				}
			})
		}
	}
}

// verb runs coltec, which must end by itself.
func verb(t *testing.T, tools, dir string, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, coltec, args...)
	cmd.Env = []string{"PATH=" + tools, "HOME=" + filepath.Dir(dir), "DIR=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal of the one who runs this
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run() // the code says it
	if ctx.Err() != nil {
		t.Fatalf("coltec %q does not end", args)
	}
	if used := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10; used > memoryMost {
		t.Errorf("coltec %q took %d MB", args, used>>20)
	}
	if text := out.String(); strings.Contains(text, "internal error") || strings.Contains(text, "goroutine ") {
		t.Errorf("coltec %q crashed:\n%s", args, text)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// tooled is a PATH with a docker that knows one stopped container, of the folder DIR, and a
// dev container CLI that fails: what is tried here ends before they do anything.
func tooled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	container, err := json.Marshal(map[string]any{"ID": "abc", "Labels": map[string]string{
		"devcontainer.local_folder": "@", "coltec.org": "acme", "coltec.project": "widget", "coltec.env": "dev"}})
	if err != nil {
		t.Fatal(err)
	}
	before, after, _ := strings.Cut(string(container), "@")
	for name, text := range map[string]string{
		"docker":       fmt.Sprintf("case $1 in ps) echo abc;; inspect) echo '%s'\"$DIR\"'%s';; esac", before, after),
		"devcontainer": "exit 1",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
