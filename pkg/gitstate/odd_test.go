package gitstate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/gittest"
	"github.com/coltec/coltec/internal/sample"
)

// soon runs something that must not wait for ever.
func soon[V any](t *testing.T, do func() V) V {
	t.Helper()
	done := make(chan V, 1)
	go func() { done <- do() }()
	select {
	case v := <-done:
		return v
	case <-time.After(2 * time.Minute):
		t.Fatal("it stands still")
		panic("not reached")
	}
}

// tried captures a repository that has something odd in it.
func (p *placed) tried(dir string) error {
	p.t.Helper()
	return soon(p.t, func() error {
		_, err := p.k.Capture(p.t.Context(), dir)
		return err
	})
}

// fifo puts a FIFO at a path.
func (p *placed) fifo(path string) {
	p.t.Helper()
	file := filepath.Join(p.root, path)
	if err := errors.Join(os.RemoveAll(file), os.MkdirAll(filepath.Dir(file), 0o755), syscall.Mkfifo(file, 0o644)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *placed) directory(path string) {
	p.t.Helper()
	file := filepath.Join(p.root, path)
	if err := errors.Join(os.RemoveAll(file), os.MkdirAll(filepath.Join(file, "in it"), 0o755)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *placed) socket(path string) {
	p.t.Helper()
	file := filepath.Join(p.root, path)
	_ = os.Remove(file)
	dir, err := os.MkdirTemp("/tmp", "s")
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s")) // a short name
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { l.Close() })
	if err := os.Rename(filepath.Join(dir, "s"), file); err != nil {
		p.t.Fatal("no socket can be put there:", err)
	}
}

// A FIFO in a git directory: whoever opened it waited for ever, and with it all that
// is replicated. Nothing waits; what git cannot work with is refused, and all else is
// carried, with a word of what is not.
func TestWhatIsNoFile(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	type kind func(*placed, string)
	fifo, directory, socket := (*placed).fifo, (*placed).directory, (*placed).socket
	const loose = "objects/ab/cdef0123456789012345678901234567890123"
	cases := []struct {
		path    string
		put     kind
		says    string
		carried bool // all else
	}{
		{"packed-refs", fifo, "packed-refs is a FIFO, not a file", false},
		{"packed-refs", directory, "packed-refs is a directory, not a file", false},
		{"HEAD", fifo, "HEAD is a FIFO, not a file", false},
		{"HEAD", directory, "HEAD is a directory, not a file", false},
		{"config", fifo, "config is a FIFO, not a file", false},
		{"objects/pack/pack-x.idx", fifo, "objects/pack/pack-x.idx is a FIFO, not a file", false},
		{"objects/info/alternates", fifo, "objects/info/alternates is a FIFO, not a file", false},
		{loose, fifo, loose + " is a FIFO, not a file", false},
		{"index", fifo, "index is a FIFO, not a file: all else of it is carried", true},
		{"index", directory, "index is a directory, not a file: all else of it is carried", true},
		{"refs/heads/x", fifo, "refs/heads/x is a FIFO, not a file", true},
		{"refs/heads/x", socket, "", true},
		{"logs/HEAD", fifo, "logs/HEAD is a FIFO, not a file", true},
		{"hooks/pre-commit", fifo, "hooks/pre-commit is a FIFO, not a file", true},
		{"MERGE_MSG", fifo, "MERGE_MSG is a FIFO, not a file", true},
		{"fsmonitor--daemon.ipc", socket, "", true},
		{"some tool's.sock", socket, "", true},
	}
	for _, c := range sample.Some(t, 6, cases) {
		t.Run(strings.ReplaceAll(c.path, "/", "-")+" "+c.says, func(t *testing.T) {
			a := newPlace(t)
			a.history("work", 3)
			a.capture("work/.git")
			a.git("work", "commit", "-q", "--allow-empty", "-m", "before that")
			commit := strings.TrimSpace(a.git("work", "rev-parse", "HEAD"))
			c.put(a, "work/.git/"+c.path)
			for range 2 { // and says it again
				err := a.tried("work/.git")
				if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
					t.Fatalf("it said %v", err)
				}
				if errors.As(err, new(*PartialError)) != (c.carried && c.says != "") {
					t.Errorf("all else is carried: %v, and it said %v", c.carried, err)
				}
			}
			refs, _ := os.ReadFile(filepath.Join(a.k.Shadow, "work/.git/packed-refs"))
			if got := strings.Contains(string(refs), commit); got != c.carried {
				t.Errorf("the commit is carried: %v", got)
			}
			soon(t, func() error { _, err := a.k.Unpushed(t.Context(), "work/.git"); return err })
			soon(t, func() error { _, err := a.k.Nested("work/.git"); return err })
		})
	}
}

// Nor does a FIFO in a shadow, or in what a repository borrows from, hold anything up.
func TestWhatIsNoFileElsewhere(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	a := newPlace(t)
	a.history("work", 3)
	a.capture("work/.git")
	idx, _ := filepath.Glob(filepath.Join(globEscape(a.k.Shadow), "work/.git/objects/pack/*.idx"))
	for _, file := range []string{Mark, "packed-refs", filepath.Join("objects/pack", filepath.Base(idx[0]))} {
		path := filepath.Join(".coltec/git", "work", ".git", file)
		a.fifo(path)
		a.git("work", "commit", "-q", "--allow-empty", "-m", "c")
		a.k.seen = map[string]listing{}
		if err := a.tried("work/.git"); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	b := newPlace(t)
	b.restore(a, "work/.git")
	fsck(t, filepath.Join(b.root, "work"))

	a.history("other", 2)
	a.git("work", "commit", "-q", "--allow-empty", "-m", "c")
	a.fifo("other/.git/objects/info/alternates")
	a.write("work/.git/objects/info/alternates", filepath.Join(a.root, "other/.git/objects")+"\n")
	if err := a.tried("work/.git"); !errors.As(err, new(*RefusedError)) || !strings.Contains(err.Error(), "a FIFO") {
		t.Errorf("it said %v", err)
	}
}

// asks has git itself read a file of configuration.
func (p *placed) asks(ctx context.Context, file string) error {
	r, err := nowhere()
	if err != nil {
		return err
	}
	return r.run(ctx, nil, nil, "config", "--file", filepath.Join(p.root, file), "--list")
}

// Git that sleeps for nothing is ended; git that has been told to end, is not.
func TestStalledGit(t *testing.T) {
	sample.Long(t)
	defer func(d time.Duration) { stallAfter = d }(stallAfter)
	stallAfter = time.Second
	a := newPlace(t)
	a.fifo("config")
	err := soon(t, func() error { return a.asks(t.Context(), "config") })
	if !errors.Is(err, errStalled) {
		t.Errorf("it said %v", err)
	}
	stallAfter = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	err = soon(t, func() error { return a.asks(ctx, "config") })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it said %v", err)
	}
}

// Git was taken to stand still after a container had been paused: the clock had gone on.
func TestAPauseIsNoStall(t *testing.T) {
	sample.Long(t)
	defer func(d time.Duration) { stallAfter = d }(stallAfter)
	stallAfter = 7 * time.Second
	a := newPlace(t)
	a.fifo("config")
	script := `sleep 0.5; kill -STOP $PPID; sleep 8; kill -CONT $PPID; sleep 0.5; echo "[a] b = c" >config`
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = a.root
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	err := soon(t, func() error { return a.asks(t.Context(), "config") })
	if err != nil {
		t.Errorf("it said %v", err)
		_ = cmd.Process.Kill() // it waits for a reader
	}
	_ = cmd.Wait()
}

func (p *placed) link(target, path string) {
	p.t.Helper()
	file := filepath.Join(p.root, path)
	if err := errors.Join(os.RemoveAll(file), os.MkdirAll(filepath.Dir(file), 0o755), os.Symlink(target, file)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *placed) linkAt(path string) string {
	target, _ := os.Readlink(filepath.Join(p.root, path))
	return target
}

// Hooks that are a link to a directory kept a repository from being carried at all.
func TestLinksAreCarriedAsLinks(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	links := map[string]string{
		"hooks": "../../my hooks", "info": "/nonexistent/info", "rr-cache": "nowhere", "description": "../../text",
		"notes": "hooks/x", "lfs": "/tmp", "commondir.txt": "config",
	}
	a, b := newPlace(t), newPlace(t)
	a.history("work", 3)
	a.write("my hooks/pre-push", "#!/bin/sh\n")
	a.write("text", "of the repository\n")
	delete(links, "description") // a file that git knows: what it leads to is carried
	a.link("../../text", "work/.git/description")
	for path, target := range links {
		a.link(target, "work/.git/"+path)
	}
	a.capture("work/.git")
	copyTree(t, a.root, b.root)
	b.restore(a, "work/.git")
	for path, target := range links {
		if got := b.linkAt("work/.git/" + path); got != target {
			t.Errorf("%s leads to %q, not %q", path, got, target)
		}
	}
	if body, _ := os.ReadFile(filepath.Join(b.root, "work/.git/description")); string(body) != "of the repository\n" {
		t.Errorf("the description is %q", body)
	}
	sameAnswers(t, a.root, b.root, "work")

	// A directory becomes a link on one side, and a link a directory.
	if err := os.Remove(filepath.Join(b.root, "work/.git/hooks")); err != nil {
		t.Fatal(err)
	}
	b.write("work/.git/hooks/post-merge", "#!/bin/sh\n")
	b.write("work/.git/hooks/pre-push.sample", "#!/bin/sh\n")
	a.hop(b, true, "work/.git")
	if body, err := os.ReadFile(filepath.Join(a.root, "work/.git/hooks/post-merge")); err != nil || a.linkAt("work/.git/hooks") != "" {
		t.Errorf("hooks are no directory: %v %s", err, body)
	}
	if _, err := os.Lstat(filepath.Join(a.root, "my hooks/post-merge")); err == nil {
		t.Error("a hook was written through a link")
	}
	a.link("../../my hooks", "work/.git/hooks")
	b.hop(a, true, "work/.git")
	if got := b.linkAt("work/.git/hooks"); got != "../../my hooks" {
		t.Errorf("hooks lead to %q", got)
	}
}

// A working tree as git-new-workdir makes it: its refs are a link to those of another
// repository, and what they lead to is what is carried.
func TestStateBehindLinks(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	a, b := newPlace(t), newPlace(t)
	a.history("main", 5)
	a.git("main", "branch", "topic")
	a.git("main", "pack-refs", "--all")
	a.git("main", "branch", "loose")
	a.write("work/.git/HEAD", "ref: refs/heads/topic\n")
	for _, part := range []string{"config", "refs", "logs", "objects", "info", "hooks", "packed-refs"} {
		a.link("../../main/.git/"+part, "work/.git/"+part)
	}
	a.git("work", "reset", "-q", "--hard")
	a.write("work/d0/f0", "on the topic\n")
	a.git("work", "commit", "-q", "-am", "on the topic")
	a.capture("work/.git")
	copyTree(t, a.root, b.root)
	b.restore(a, "work/.git")
	sameAnswers(t, a.root, b.root, "work")
	if b.linkAt("work/.git/refs") != "" {
		t.Error("refs are a link to nothing")
	}
	b.git("work", "commit", "-q", "--allow-empty", "-m", "there")
	a.hop(b, true, "work/.git")
	if x, y := a.git("main", "rev-parse", "topic"), b.git("work", "rev-parse", "topic"); x != y {
		t.Errorf("topic is %s, not %s", x, y)
	}
	a.link(".", "work/.git/logs") // a loop
	if err := a.tried("work/.git"); !errors.As(err, new(*PartialError)) {
		t.Errorf("it said %v", err)
	}
	for _, up := range []string{"../..", "..", ".", "../../..", filepath.Join(a.root, "work", ".git")} {
		a.link(up, "work/.git/modules/x")
		if nested, err := a.k.Nested("work/.git"); len(nested) > 0 {
			t.Errorf("by a link to %s there are %d repositories in it: %v", up, len(nested), err)
		}
	}
}

// A submodule whose git directory lies on another disk.
func TestNestedBehindALink(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	a, b := newPlace(t), newPlace(t)
	a.history("library", 5)
	a.git("", "init", "-q", "super")
	a.git("super", "submodule", "--quiet", "add", filepath.Join(a.root, "library"), "lib")
	a.git("super", "commit", "-q", "-m", "with a submodule")
	away := filepath.Join(t.TempDir(), "lib")
	if out, err := gittest.Run(a.root, "-C", "super/lib", "config", "core.worktree", filepath.Join(a.root, "super/lib")); err != nil {
		t.Fatal(out)
	}
	if err := os.Rename(filepath.Join(a.root, "super/.git/modules/lib"), away); err != nil {
		t.Fatal(err)
	}
	a.link(away, "super/.git/modules/lib")
	a.git("super/lib", "commit", "-q", "--allow-empty", "-m", "never pushed")
	nested, err := a.k.Nested("super/.git")
	if err != nil || len(nested) != 1 || nested[0] != "super/.git/modules/lib" {
		t.Fatalf("nested: %q %v", nested, err)
	}
	a.capture("super/.git")
	copyTree(t, a.root, b.root)
	b.restore(a, "super/.git", "super/.git/modules/lib")
	want := strings.TrimSpace(a.git("super/lib", "rev-parse", "HEAD"))
	if out, err := gittest.Run(filepath.Join(b.root, "super/.git/modules/lib"), "--git-dir=.", "log", "--format=%H"); err != nil || !strings.Contains(out, want) {
		t.Errorf("%v\n%s", err, out)
	}
}

// Objects of a repository lie elsewhere, and its refs are many.
func TestBorrowedObjectsAndManyRefs(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	a, b, c := newPlace(t), newPlace(t), newPlace(t)
	a.history("main", 20)
	b.git("", "clone", "-q", "--shared", filepath.Join(a.root, "main"), "work")
	b.git("work", "commit", "-q", "--allow-empty", "-m", "beside it")
	b.git("work", "remote", "remove", "origin")
	head := strings.TrimSpace(b.git("work", "rev-parse", "HEAD"))
	var refs strings.Builder
	refs.WriteString("# pack-refs with: peeled fully-peeled sorted \n")
	for i := range 50_000 {
		fmt.Fprintf(&refs, "%s refs/tags/t%06d\n", head, i)
	}
	b.write("work/.git/packed-refs", refs.String())
	b.capture("work/.git")
	copyTree(t, b.root, c.root)
	c.restore(b, "work/.git")
	if err := os.RemoveAll(filepath.Join(a.root, "main")); err != nil {
		t.Fatal(err)
	}
	fsck(t, filepath.Join(c.root, "work"))
	if got := c.git("work", "rev-parse", "HEAD", "t049999"); got != head+"\n"+head+"\n" {
		t.Errorf("they are %s, not %s", got, head)
	}
}
