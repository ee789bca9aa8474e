// Package gittest makes git repositories for tests, with git as a person would
// run it.
package gittest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Run runs git in a directory with a name and settings of its own, and gives what
// it printed.
func Run(dir string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_EDITOR=true", "GIT_SEQUENCE_EDITOR=true",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.org",
		"GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_0=protocol.file.allow", "GIT_CONFIG_VALUE_0=always",
		"GIT_CONFIG_KEY_1=init.defaultBranch", "GIT_CONFIG_VALUE_1=main")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// History makes a repository in dir of n commits that change some files in turn.
func History(t *testing.T, dir string, n, files int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	git(t, dir, "init", "-q")
	var b bytes.Buffer
	for i := range n {
		body := fmt.Sprintf("line %d of file %d\n", i, i%files)
		fmt.Fprintf(&b, "commit refs/heads/main\ncommitter A <a@example.org> %d +0000\ndata 6\nc%05d\nM 100644 inline d%d/f%d\ndata %d\n%s\n",
			1700000000+i, i, i%10, i%files, len(body), body)
	}
	b.WriteString("done\n")
	cmd := exec.Command("git", "fast-import", "--quiet", "--done")
	cmd.Dir, cmd.Stdin = dir, &b
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	git(t, dir, "reset", "-q", "--hard")
}

// EveryKind brings a repository of [History] into a state with something of
// everything that is only here.
func EveryKind(t *testing.T, dir string) {
	t.Helper()
	write := func(path, body string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, path), []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("stashed", "kept in a stash\n")
	git(t, dir, "stash", "push", "-q", "--include-untracked")
	write("d0/f0", "a second stash\n")
	git(t, dir, "stash", "push", "-q", "-m", "second")
	git(t, dir, "tag", "-a", "v1", "-m", "annotated")
	git(t, dir, "branch", "side", "HEAD~2")
	write("d1/f1", "committed, never pushed\n")
	git(t, dir, "commit", "-q", "-am", "unpushed")
	git(t, dir, "commit", "-q", "--amend", "-m", "amended")
	write("staged", "staged\n")
	git(t, dir, "add", "staged")
	write("staged", "staged, then edited\n")
	write("d2/f2", "not staged\n")
	write("untracked", "untracked\n")
	write(".git/hooks/pre-commit", "#!/bin/sh\nexit 0\n")
	git(t, dir, "config", "user.nickname", "local")
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	if out, err := Run(dir, args...); err != nil {
		t.Fatalf("git %q in %q: %v\n%s", args, dir, err, out)
	}
}
