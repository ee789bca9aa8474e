package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/internal/gittest"
)

// A FIFO in a git directory let replication stand still for ever, and status said
// "synced". Hooks that are a link, one old object that is missing, and a repository that
// lies outside of the tree kept all of their repositories from being carried.
func TestOddRepositoriesAreCarried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.patient()
	away := filepath.Join(t.TempDir(), "away")
	gittest.History(t, away, 10, 100)
	if out, err := gittest.Run(away, "worktree", "add", "-q", "-b", "topic", a.path("linked")); err != nil {
		t.Fatal(out)
	}
	a.git("linked", "commit", "-q", "--allow-empty", "-m", "never pushed")
	a.history("waits", 5)
	a.history("hooked", 5)
	a.history("lacks", 12)
	a.write("my hooks/pre-push", "#!/bin/sh\n")
	oid := strings.TrimSpace(a.git("lacks", "rev-parse", "HEAD~9:d2/f2"))
	err := errors.Join(
		os.RemoveAll(a.path("waits/.git/packed-refs")), syscall.Mkfifo(a.path("waits/.git/packed-refs"), 0o644),
		os.RemoveAll(a.path("hooked/.git/hooks")), os.Symlink("../../my hooks", a.path("hooked/.git/hooks")),
		os.Remove(a.path("lacks/.git/objects/"+oid[:2]+"/"+oid[2:])),
	)
	if err != nil {
		t.Fatal(err)
	}
	a.start()
	a.write("after", "that\n")
	if _, _, code := a.run("sync"); code != cmdline.CodeOnlyHere {
		t.Errorf("sync ended with %d", code)
	}
	said := strings.Join(a.status().Attention, "\n")
	for _, want := range []string{
		`the repository "waits/.git" is not carried as it is now: packed-refs is a FIFO, not a file`,
		`the repository "lacks/.git" is not carried as it is now: the object ` + oid,
	} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in attention:\n%s", want, said)
		}
	}
	if strings.Contains(said, "hooked") || strings.Contains(said, "linked") {
		t.Errorf("what is carried needs no attention:\n%s", said)
	}
	a.leave("waits/.git")
	if err := os.Rename(away, away+" from here"); err != nil { // it is on the one machine alone
		t.Fatal(err)
	}
	b.start()
	b.sync()
	sameAnswers(t, a, b, "hooked")
	if target, _ := os.Readlink(b.path("hooked/.git/hooks")); target != "../../my hooks" {
		t.Errorf("the hooks lead to %q", target)
	}
	if x, y := a.git("lacks", "log", "--format=%H"), b.git("lacks", "log", "--format=%H"); x != y {
		t.Errorf("its log is\n%s, not\n%s", y, x)
	}
	if got := b.git("linked", "log", "-1", "--format=%s"); got != "never pushed\n" {
		t.Errorf("its last commit is %q", got)
	}
	b.git("linked", "commit", "-q", "--allow-empty", "-m", "there")
	b.sync()
	b.stop()
	if err := os.Rename(away+" from here", away); err != nil {
		t.Fatal(err)
	}
	a.start()
	if got := a.git("linked", "log", "-1", "--format=%s"); got != "there\n" {
		t.Errorf("here its last commit is %q", got)
	}
	if out, err := gittest.Run(away, "log", "-1", "--format=%s", "topic"); err != nil || out != "there\n" {
		t.Errorf("where it lies its last commit is %q: %v", out, err)
	}
}

// leave stops, and holds that what stays here is that one repository.
func (m *machine) leave(repository string) {
	m.t.Helper()
	out, talk, code := m.run("stop", "--timeout", "150s")
	if code != cmdline.CodeOnlyHere || !strings.Contains(out+talk, "1 repository, database or file that could not be captured") || !strings.Contains(out+talk, repository) {
		m.t.Errorf("%s: stop ended with %d and said\n%s%s", m.name, code, out, talk)
	}
}
