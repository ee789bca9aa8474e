package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestProgramOf(t *testing.T) {
	for line, want := range map[string]string{
		"claude": "claude", "/opt/x/claude.exe -p hello": "claude", "node /usr/bin/gemini --resume latest": "gemini",
		"/usr/bin/node --no-warnings --max-old-space-size=4096 /lib/gemini.js": "gemini", "node": "node", "node -e 1": "1",
		"vim claude": "vim", "less /x/claude": "less", "sh -c claude": "claude", "-bash": "-bash", "": ".", "bash /x/codex exec": "codex",
	} {
		if got := programOf([]byte(strings.ReplaceAll(line, " ", "\x00"))); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// A program is told while it runs, by where it runs, and by no other's name.
func TestRunning(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "here", "below")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "an-agent-of-a-test")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nread x\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	look := func(at string) bool {
		got := Running(map[string][]string{"an-agent-of-a-test": {"--aside"}, "another-agent": nil}, at)
		return got["an-agent-of-a-test"] && !got["another-agent"]
	}
	if look(dir) {
		t.Error("it runs before it was started")
	}
	cmd := exec.Command(script, "for", "a test")
	cmd.Dir = folder
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]bool{dir: true, folder: true, filepath.Join(dir, "here"): true, filepath.Join(dir, "he"): false, filepath.Join(folder, "x"): false, "/": true} {
		if look(at) != want {
			t.Errorf("it runs in %s: %v", at, !want)
		}
	}
	if got := Running(map[string][]string{"an-agent-of-a-test": {"-x", "for"}}, dir); got["an-agent-of-a-test"] {
		t.Error("one that is there for something else counts")
	}
	in.Close()
	_ = cmd.Wait()
	if look(dir) {
		t.Error("it runs after its end")
	}
}
