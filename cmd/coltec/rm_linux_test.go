package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/devcontainer"
)

// Of what Ctrl-C ends no error is shown, so that the volumes that a removal had not come to were named
// to nobody.
func TestRemovalThatIsInterrupted(t *testing.T) {
	var said lockedText
	p := newProgram(stdio{strings.NewReader(""), &said, &said}, os.Environ())
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("interrupted")
	cancel(why)
	r := &removal{w: &workspace{folder: t.TempDir()}, volumes: []string{"home", "cache"}, tools: devcontainer.Tools{Docker: "/bin/true"}}
	if err := (remover{p}).take(ctx, r); !errors.Is(err, why) {
		t.Error(err)
	}
	for _, v := range r.volumes {
		if !strings.Contains(said.String(), "true volume rm "+v+"\n") {
			t.Errorf("nothing is said of volume %s:\n%s", v, said.String())
		}
	}
}

// Where something in a folder belongs to another user, all else goes but the spec: without it the
// next call would find no workspace.
func TestClearLeavesTheSpec(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to have files of two users")
	}
	dir := t.TempDir()
	for _, name := range []string{"w/.devcontainer/workspace-spec.yaml", "w/.devcontainer/logs/a", "w/src/a", "w/theirs/a", "w/zz"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for at := dir; at != os.TempDir() && at != filepath.Dir(at); at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{".", "w", "w/.devcontainer", "w/.devcontainer/logs", "w/src"} {
		if err := os.Lchown(filepath.Join(dir, name), 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread, which is another user's, ends with this
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 {
			ended <- nil
			return
		}
		ended <- (&removal{files: true}).clear(filepath.Join(dir, "w"))
	}()
	if err := <-ended; err == nil {
		t.Fatal("it says that all is gone")
	}
	for name, stays := range map[string]bool{
		"w/.devcontainer/workspace-spec.yaml": true, "w/theirs/a": true, "w/.devcontainer/logs/a": true, "w/src": false, "w/zz": false,
	} {
		if _, err := os.Lstat(filepath.Join(dir, name)); (err == nil) != stays {
			t.Errorf("%s: %v", name, err)
		}
	}
}
