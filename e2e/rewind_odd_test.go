package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/dbtest"
	"github.com/coltec/coltec/internal/gittest"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/control"
)

// A tree with all that a tree may hold goes back and forth: odd names, links, times, directories
// that nobody may write, and what was one kind and became another.
func TestRewindOfAnOddTree(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	for name, user := range map[string]bool{"as root": false, "as a user": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := w.machine("a")
			if user {
				a.asUser()
			}
			a.spec(lasting)
			x := &tender{t: t, root: a.dir}
			x.populate()
			for i := range 2000 {
				a.write(fmt.Sprintf("small/%d/%d", i%40, i), fmt.Sprint("small ", i))
			}
			a.write("Case.txt", "in this case")
			if user {
				a.own()
			}
			a.start()
			a.must("checkpoint", "good")
			then := a.tree()
			x.change()
			a.remove("small")
			a.rename("Case.txt", "case.TXT")
			a.write("editor.txt", "before")
			a.write(".editor.txt.swp", "swap")
			a.write("editor.txt~", "after")
			a.rename("editor.txt~", "editor.txt")
			if user {
				a.own()
			}
			a.must("sync", "--allow-delete")
			now := a.tree()
			done := a.must("rewind", "good", "--yes")
			if diff := cmp.Diff(then, a.tree()); diff != "" {
				t.Errorf("it is not what it was: %s\n%s", firstLines(diff, 60), done)
			}
			before := "before-rewind-" + between(done, "checkpoint before-rewind-", "\n")
			a.must("rewind", before, "--yes")
			if diff := cmp.Diff(now, a.tree()); diff != "" {
				t.Errorf("there and back it is not what it was: %s", firstLines(diff, 60))
			}
			if got := kept(t, a.dir, "conflicts"); len(got) > 0 {
				t.Errorf("nobody edited meanwhile, and aside are %d", len(got))
			}
		})
	}
}

// between is what of a text is after one and before the next of two others.
func between(text, from, to string) string {
	_, rest, _ := strings.Cut(text, from)
	rest, _, _ = strings.Cut(rest, to)
	return strings.Trim(rest, " :")
}

// What is not carried keeps a directory in which it lies, and the file that had its name then is
// named: all else goes back, and it comes once there is room for it.
func TestRewindOverWhatIsNotCarried(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.spec(func(o *specOptions) { o.Replicas[0].Exclude = append(o.Replicas[0].Exclude, "/**/node_modules/**") })
	for _, name := range []string{"socket", "fifo", "excluded", "free"} {
		a.write(name, "a file then")
		a.write("in/"+name+"/x", "x")
	}
	a.write("edit.txt", "before")
	a.start()
	a.must("checkpoint", "good")
	for _, name := range []string{"socket", "fifo", "excluded", "free"} {
		a.remove(name)
		a.write(name+"/x", "a directory now")
		a.write("new-"+name+"/x", "new")
	}
	for _, dir := range []string{"socket", "new-socket"} {
		l, err := net.Listen("unix", a.path(dir+"/s"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	for _, dir := range []string{"fifo", "new-fifo"} {
		if err := syscall.Mkfifo(a.path(dir+"/f"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"excluded", "new-excluded"} {
		a.write(dir+"/node_modules/p", "precious")
	}
	a.write("edit.txt", "after")
	_, _, _ = a.run("sync")
	out, talk, code := a.run("rewind", "good", "--yes")
	said := out + talk
	t.Logf("it ends with %d: %s", code, said)
	for _, name := range []string{"socket", "fifo", "excluded"} {
		if !strings.Contains(said, `"`+name+`"`) {
			t.Errorf("it does not name %q", name)
		}
		if a.missing(name) {
			t.Errorf("%s is gone", name)
		}
	}
	if code == 0 {
		t.Error("it ends with 0, and not all of it is here")
	}
	for name, want := range map[string]string{"edit.txt": "before", "free": "a file then", "excluded/node_modules/p": "precious", "new-excluded/node_modules/p": "precious"} {
		if got := a.read(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if !a.missing("new-free") || !a.missing("new-excluded/x") || a.missing("socket/s") || a.missing("fifo/f") {
		t.Error("what was made since is not as it was, or what is not carried went")
	}
	for _, name := range []string{"socket", "fifo", "excluded"} {
		if err := os.RemoveAll(a.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "what had no room comes", func() error {
		a.run("sync")
		for _, name := range []string{"socket", "fifo", "excluded"} {
			if b, err := os.ReadFile(a.path(name)); string(b) != "a file then" {
				return fmt.Errorf("%s: %q, %v", name, b, err)
			}
		}
		return nil
	})
}

// Repositories in the middle of something go back as they were, whatever was done in them since,
// and with the lock of a git that was killed.
func TestRewindOfOddRepositories(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.spec(nil)
	for _, name := range []string{"every", "packed", "locked", "rebase", "pointer", "gone", "plain"} {
		a.history(name, 12)
	}
	a.everyKind("every")
	a.git("packed", "branch", "one")
	a.git("packed", "pack-refs", "--all")
	a.git("packed", "gc", "-q")
	if out, err := gittest.Run(a.dir, "clone", "-q", "--depth", "1", "file://"+a.path("packed"), a.path("shallow")); err != nil {
		t.Fatal(out)
	}
	a.write("pointer/large.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:"+strings.Repeat("ab", 32)+"\nsize 12345\n")
	a.write("pointer/.gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
	a.write("pointer/.git/hooks/pre-commit", "#!/bin/sh\nexit 0\n")
	a.chmod("pointer/.git/hooks/pre-commit", 0o755)
	a.git("rebase", "checkout", "-q", "-b", "topic", "HEAD~3")
	a.write("rebase/f.txt", "topic\n")
	a.git("rebase", "add", "-A")
	a.git("rebase", "commit", "-q", "-m", "topic")
	a.git("rebase", "checkout", "-q", "-")
	a.write("rebase/f.txt", "other\n")
	a.git("rebase", "add", "-A")
	a.git("rebase", "commit", "-q", "-m", "other")
	if _, err := a.tryGit("rebase", "rebase", "topic"); err == nil {
		t.Fatal("nothing stands in its way")
	}
	all := []string{"every", "packed", "locked", "rebase", "pointer", "shallow"}
	away := []string{"gone", "plain"} // which are no repositories later
	look := func(more ...string) map[string]string {
		seen := map[string]string{}
		for _, repo := range slices.Concat(all, more) {
			for _, q := range questions {
				out, _ := a.tryGit(repo, q...)
				seen[repo+" "+strings.Join(q, " ")] = out
			}
			a.fsck(repo)
		}
		return seen
	}
	a.start()
	a.must("checkpoint", "good")
	then := look(away...)
	for _, repo := range all {
		if repo == "rebase" {
			a.git(repo, "rebase", "--abort")
		}
		a.write(repo+"/since.txt", "since")
		a.git(repo, "add", "since.txt")
		a.git(repo, "-c", "filter.lfs.clean=cat", "commit", "-q", "-m", "since")
		a.git(repo, "branch", "since")
	}
	a.git("packed", "pack-refs", "--all")
	a.git("packed", "branch", "-D", "one")
	a.remove("gone")
	a.remove("plain/.git")
	a.history("born", 5)
	a.git("packed", "worktree", "add", "-q", "-b", "beside", a.path("linked"))
	a.write("locked/.git/index.lock", "")
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(a.path("locked/.git/index.lock"), old, old); err != nil {
		t.Fatal(err)
	}
	a.must("sync", "--allow-delete")
	now := look("born", "linked")
	out, talk, code := a.run("rewind", "good", "--yes")
	done := out + talk
	if code == 0 || !strings.Contains(out, "locked/.git") {
		t.Errorf("what git has locked is not taken back, and it ends with %d:\n%s", code, done)
	}
	a.remove("locked/.git/index.lock")
	eventually(t, "it is unlocked", func() error {
		if out, talk, code := a.run("sync"); code != 0 {
			return errors.New(out + talk)
		}
		if waits := a.replicaStatus("workspace").Unplaced; len(waits) > 0 || !a.missing("locked/since.txt") {
			return fmt.Errorf("%q", waits)
		}
		if out, _ := a.tryGit("locked", "branch", "--list", "since"); out != "" {
			return errors.New(out)
		}
		return nil
	})
	if diff := cmp.Diff(then, look(away...)); diff != "" {
		t.Errorf("they are not what they were: %s\n%s", firstLines(diff, 60), done)
	}
	if !a.missing("born/.git") || !a.missing("linked/.git") {
		t.Error("what was made since is there")
	}
	a.must("rewind", "before-rewind-"+between(done, "checkpoint before-rewind-", "\n"), "--yes")
	if diff := cmp.Diff(now, look("born", "linked")); diff != "" {
		t.Errorf("there and back they are not what they were: %s", firstLines(diff, 60))
	}
	if got := kept(t, a.dir, "conflicts"); len(got) > 0 {
		t.Errorf("nobody worked meanwhile, and aside are %d", len(got))
	}
}

// A server that coltecd runs stands still for a rewind, and has then what it had, of one moment.
func TestRewindOfPostgres(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.asUser()
	p := dbtest.NewPostgres(t, a.path(dataDir))
	a.spec(func(o *specOptions) {
		lasting(o)
		o.Services = []map[string]any{postgresService(p)}
		o.Replicas[0].Consistency = []map[string]any{{"path": dataDir, "by": "freeze", "units": []string{"postgres"}}}
	})
	a.own()
	a.start()
	a.await("the server runs", ready("postgres"))
	p.Fill(1)
	load := p.Load(2)
	p.Transactions(50)
	load.Stop()
	want := sums(t, p)
	eventually(t, "a checkpoint with all of it", func() error { // a capture may be given up on a busy machine
		if out, talk, code := a.run("checkpoint", "good"); code != 0 {
			a.run("checkpoint", "--remove", "good")
			return fmt.Errorf("%s%s", out, talk)
		}
		return nil
	})
	load = p.Load(2)
	p.Transactions(int(want.Transactions) + 200)
	a.saved()
	out, talk, code := a.run("rewind", "good", "--yes") // under load
	load.Stop()
	if code != 0 {
		t.Fatalf("it ends with %d: %s%s", code, out, talk)
	}
	a.await("the server runs again", ready("postgres"))
	if got := sums(t, p); got != want {
		t.Errorf("it has %+v, and had %+v", got, want)
	}
	if err := p.Check(); err != nil {
		t.Errorf("it is not sound: %v", err)
	}
	a.must("rewind", "before-rewind-"+between(out+talk, "checkpoint before-rewind-", "\n"), "--yes")
	a.await("the server runs again", ready("postgres"))
	if got := sums(t, p); got.Transactions <= want.Transactions || got.Balanced() != nil || p.Check() != nil {
		t.Errorf("back again: %+v, %v", got, p.Check())
	}
	a.stop()
}

// A server that somebody else runs is not touched by a rewind: it is said, and the same rewind takes
// its directory back once it has stopped.
func TestRewindUnderAServer(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.asUser()
	p := dbtest.NewPostgres(t, a.path(dataDir))
	p.Start()
	p.Fill(1)
	want := sums(t, p)
	p.Stop()
	a.write("file", "1")
	a.spec(lasting)
	a.own()
	a.start()
	a.must("checkpoint", "good")
	p.Start()
	load := p.Load(2)
	p.Transactions(50)
	load.Stop()
	ours := sums(t, p)
	a.write("file", "2")
	a.run("sync")
	out, talk, code := a.run("rewind", "good", "--yes")
	if code == 0 || !strings.Contains(out+talk, dataDir) || !strings.Contains(out+talk, "was not taken back") {
		t.Errorf("under a server it ends with %d, and says %s%s", code, out, talk)
	}
	if got := a.read("file"); got != "1" {
		t.Errorf("the file is %q", got)
	}
	if got := sums(t, p); got != ours {
		t.Errorf("under the server its rows are others: %+v, want %+v", got, ours)
	}
	p.Stop()
	a.must("rewind", "good", "--yes") // nothing has it open
	a.stop()
	startsSound(t, "the one of the checkpoint", a.path(dataDir), want)
	list := answer[[]control.Checkpoint](a, "checkpoints")
	a.start()
	a.must("rewind", list[len(list)-1].Name, "--yes")
	a.stop()
	startsSound(t, "the one that was here", a.path(dataDir), ours)
}

// A database is written all the while, by a program that nobody stops, when it is taken back and
// when a fork's is joined: each version is whole, and what was done last is in one of them.
func TestRewindAndJoinUnderAWriter(t *testing.T) {
	sample.Long(t)
	for _, order := range []string{"rewind", "join"} {
		for _, mode := range []string{"wal", "delete"} {
			t.Run(order+" "+mode, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				a := w.ofEnv("dev")
				a.ledger("data/l.db", mode, 200)
				a.once()
				if order == "join" {
					f := a.forked("try")[0]
					f.ledgerShell("data/l.db", "few", "few").kill()
					f.write("theirs.txt", "theirs")
					f.once()
				}
				a.start()
				a.must("checkpoint", "good")
				writer := a.ledgerWriter("data/l.db", "checkpoint=100", 5*time.Millisecond)
				wrote := func(n int) {
					t.Helper()
					eventually(t, "transactions", func() error {
						if _, done := a.written("data/l.db"); done < n {
							return fmt.Errorf("%d", done)
						}
						return nil
					})
				}
				wrote(20)
				a.run("sync")
				args := []string{"rewind", "good", "--yes"}
				if order == "join" {
					args = []string{"join", "acme/widget/try"}
				}
				out, talk, code := a.run(args...)
				t.Logf("it ends with %d: %s%s", code, out, talk)
				_, done := a.written("data/l.db")
				wrote(done + 20)
				writer.kill()
				begun, done := a.written("data/l.db")
				eventually(t, "it settles", func() error {
					if out, talk, code := a.run("sync"); code != 0 {
						return fmt.Errorf("%s%s", out, talk)
					}
					return nil
				})
				a.stop()
				copies, _ := filepath.Glob(a.path(".coltec/conflicts/*/data/l.db"))
				most := 0
				for _, at := range append(copies, a.path("data/l.db")) {
					n, wrong := judgeLedger(t, at)
					if wrong != "" {
						t.Errorf("%s: %s", at, wrong)
					}
					t.Logf("%s: %d transactions", at, n)
					most = max(most, n)
				}
				if most < done || most > begun+2 {
					t.Errorf("%d transactions were done, %d begun, and the most that any has is %d", done, begun, most)
				}
			})
		}
	}
}
