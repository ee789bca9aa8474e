package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/gittest"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/status"
)

// git runs git as a person would, in a directory of the machine's folder.
func (m *machine) git(dir string, args ...string) string {
	m.t.Helper()
	out, err := m.tryGit(dir, args...)
	if err != nil {
		m.t.Fatalf("%s: git %q in %q: %v\n%s", m.name, args, dir, err, out)
	}
	return out
}

func (m *machine) tryGit(dir string, args ...string) (string, error) {
	return gittest.Run(m.path(dir), args...)
}

// history makes a repository of n commits.
func (m *machine) history(dir string, n int) {
	m.t.Helper()
	gittest.History(m.t, m.path(dir), n, 1000)
}

// everyKind brings a repository into a state with something of everything that
// is only here.
func (m *machine) everyKind(dir string) {
	m.t.Helper()
	gittest.EveryKind(m.t, m.path(dir))
}

// questions are what a person would ask a repository.
var questions = [][]string{
	{"status", "--porcelain=v2", "--branch", "--show-stash"}, {"stash", "list"}, {"log", "--all", "--format=%H %an %s %D"},
	{"reflog", "--all"}, {"branch", "-vv", "--all"}, {"for-each-ref"}, {"diff"}, {"diff", "--cached"}, {"stash", "show", "-p"},
	{"remote", "-v"}, {"config", "--local", "--list"}, {"rev-parse", "--is-shallow-repository"}, {"ls-files", "-s", "-v"},
	{"worktree", "list"}, {"submodule", "status"},
}

// sameAnswers compares the repositories of two machines command by command.
func sameAnswers(t *testing.T, a, b *machine, dir string) {
	t.Helper()
	sameRepository(t, a, b.dir, dir)
}

// sameRepository compares a repository of a machine with the one in another
// folder command by command.
func sameRepository(t *testing.T, a *machine, folder, dir string) {
	t.Helper()
	b := &machine{t: t, name: filepath.Base(folder), dir: folder}
	for _, q := range questions {
		x, errX := a.tryGit(dir, q...)
		y, errY := b.tryGit(dir, q...)
		anywhere := strings.NewReplacer(a.dir, "ROOT", b.dir, "ROOT")
		x, y = anywhere.Replace(x), anywhere.Replace(y)
		if diff := cmp.Diff(x, y); diff != "" || (errX == nil) != (errY == nil) {
			t.Errorf("%s: git %q (-%s +%s): %v %v\n%s", dir, q, a.name, b.name, errX, errY, diff)
		}
	}
	b.fsck(dir)
}

// files is the machine's tree but for git directories.
func (m *machine) files() map[string]node {
	m.t.Helper()
	return treeOf(m.t, m.dir, ".coltec", ".devcontainer", "repo/.git")
}

func (m *machine) fsck(dir string) {
	m.t.Helper()
	out, err := m.tryGit(dir, "fsck", "--no-dangling", "--strict")
	if err != nil || strings.Contains(out, "missing") || strings.Contains(out, "error") {
		m.t.Errorf("%s: git fsck in %q: %v\n%s", m.name, dir, err, out)
	}
}

// Work that was never pushed by git is in the bucket, and comes out of it
// elsewhere as it was.
func TestUnpushedWorkTravels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	a.spec(nil)
	a.history("repo", 300)
	a.everyKind("repo")
	a.once()
	b.spec(nil)
	b.once()
	sameAnswers(t, a, b, "repo")
	sameTree(t, a.files(), b.files())
	out := filepath.Join(t.TempDir(), "exported")
	a.trust()
	cmd := a.command(t.Context(), "export", a.dir, out)
	cmd.Path = coltec
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	sameRepository(t, a, out, "repo")
	if _, err := os.Lstat(filepath.Join(b.dir, ".coltec/git/repo/.git/coltec.json")); err != nil {
		t.Error(err)
	}
}

// A workspace goes to another machine and comes back, with commits on the way:
// what one side did arrives at the other, and where both went on nothing is
// lost and status says so.
func TestRepositoriesHop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	a.spec(nil)
	b.spec(nil)
	a.history("repo", 50)
	a.everyKind("repo")
	a.once()
	b.once()
	for _, m := range []*machine{b, a, b} { // one after the other
		m.start()
		m.write("repo/"+m.name, m.git("repo", "rev-parse", "HEAD"))
		m.git("repo", "add", "-A")
		m.git("repo", "commit", "-q", "-m", "by "+m.name)
		m.git("repo", "tag", "-f", "last")
		m.stop()
	}
	a.once()
	sameAnswers(t, b, a, "repo")
	if kept := a.git("repo", "for-each-ref", "refs/coltec"); kept != "" {
		t.Errorf("nothing was to be kept:\n%s", kept)
	}
	lost := map[string]string{}
	for _, m := range []*machine{a, b} { // both, without a hop in between
		m.write("repo/both", m.name)
		m.git("repo", "add", "both")
		m.git("repo", "commit", "-q", "-m", "both: "+m.name)
		m.write("repo/stash", m.name)
		m.git("repo", "stash", "push", "-q", "-u", "-m", "of "+m.name)
		lost[m.name] = strings.TrimSpace(m.git("repo", "rev-parse", "HEAD"))
	}
	b.once()
	a.start()
	for _, m := range []*machine{a, b} {
		if out := a.git("repo", "log", "--all", "--format=%H"); !strings.Contains(out, lost[m.name]) {
			t.Errorf("the commit of %s is gone:\n%s", m.name, out)
		}
		if out := a.git("repo", "stash", "list"); !strings.Contains(out, "of "+m.name) {
			t.Errorf("the stash of %s is gone:\n%s", m.name, out)
		}
	}
	a.fsck("repo")
	if got := a.git("repo", "rev-parse", "main"); strings.TrimSpace(got) != lost["b"] {
		t.Errorf("main is %s, not what the bucket had, %s", got, lost["b"])
	}
	a.sync()
	if said := strings.Join(a.status().Attention, "\n"); !strings.Contains(said, "both sides of the repository \"repo/.git\" have new commits") {
		t.Errorf("attention says nothing of it:\n%s", said)
	}
	kept := strings.Fields(a.git("repo", "for-each-ref", "--format=%(refname)", "refs/coltec"))
	if len(kept) != 1 || !strings.HasPrefix(kept[0], "refs/coltec/dev/") {
		t.Fatalf("kept: %q", kept)
	}
	if out := a.must("conflicts"); !strings.Contains(out, kept[0]) {
		t.Errorf("conflicts says nothing of it:\n%s", out)
	}
	if out := a.must("conflicts", "diff", kept[0]); !strings.Contains(out, "1 commit that what has its name now does not") {
		t.Errorf("of a ref diff says %q", out)
	}
	dropped := answer[control.Conflict](a, "conflicts", "drop", kept[0])
	if !strings.Contains(dropped.Undo, "update-ref "+kept[0]) {
		t.Errorf("how the ref is got back: %q", dropped.Undo)
	}
	a.sync()
	if said := strings.Join(a.status().Attention, "\n"); strings.Contains(said, "have new commits") {
		t.Errorf("attention still speaks of what was dropped:\n%s", said)
	}
	a.stop()
	b.once()
	sameAnswers(t, a, b, "repo")
}

// A folder with every kind of repository, one of them large, comes out of the
// bucket elsewhere as it was.
func TestEveryKindOfRepositoryTravels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	a.spec(nil)
	a.history("repo", 20_000)
	a.everyKind("repo")
	a.git("repo", "worktree", "add", "-q", "../linked", "-b", "linked")
	a.write("linked/d4/f4", "in a linked working tree\n")
	a.git("linked", "add", "d4/f4")
	a.git("repo", "worktree", "add", "-q", "--detach", "../second tree", "HEAD~5")
	a.history("library", 30)
	a.git("", "init", "-q", "super")
	a.git("super", "submodule", "--quiet", "add", a.path("library"), "lib")
	a.git("super", "commit", "-q", "-m", "with a submodule")
	a.write("super/lib/d0/f0", "in a submodule\n")
	a.git("super/lib", "commit", "-q", "-am", "never pushed")
	a.write("super/lib/d1/f1", "stashed in a submodule\n")
	a.git("super/lib", "stash", "-q")
	a.history("detached", 20)
	a.git("detached", "checkout", "-q", "--detach", "HEAD~3")
	a.write("detached/new", "on no branch\n")
	a.git("detached", "add", "new")
	a.git("detached", "commit", "-q", "-m", "on no branch")
	a.git("", "clone", "-q", "--depth", "5", "file://"+a.path("library"), "shallow")
	a.write("shallow/d0/f0", "in a shallow clone\n")
	a.git("shallow", "commit", "-q", "-am", "never pushed")
	a.history("rebasing", 20)
	a.git("rebasing", "switch", "-q", "-c", "topic", "HEAD~3")
	for _, body := range []string{"topic", "topic again"} {
		a.write("rebasing/d0/f0", body+"\n")
		a.git("rebasing", "commit", "-q", "-am", body)
	}
	a.git("rebasing", "switch", "-q", "main")
	a.write("rebasing/d0/f0", "main\n")
	a.git("rebasing", "commit", "-q", "-am", "main")
	if out, err := a.tryGit("rebasing", "rebase", "main", "topic"); err == nil {
		t.Fatalf("the rebase has no conflict:\n%s", out)
	}
	a.git("", "init", "-q", "unborn")
	a.write("unborn/first", "staged, and nothing is committed\n")
	a.git("unborn", "add", "first")
	repositories := []string{"repo", "linked", "second tree", "library", "super", "super/lib", "detached", "shallow", "rebasing", "unborn"}
	a.once()
	if said := a.must("run", "--once"); strings.Contains(said, "is not carried") {
		t.Errorf("not all were captured:\n%s", said)
	}
	b.spec(nil)
	b.once()
	for _, dir := range repositories {
		sameAnswers(t, a, b, dir)
	}
	for _, m := range []*machine{a, b} { // what was under way goes on
		m.write("rebasing/d0/f0", "both\n")
		m.git("rebasing", "add", "-A")
		_, _ = m.tryGit("rebasing", "rebase", "--continue") // which meets the next conflict
		m.git("rebasing", "rebase", "--skip")
	}
	for _, q := range [][]string{{"log", "--format=%s", "topic"}, {"status"}} {
		if x, y := a.git("rebasing", q...), b.git("rebasing", q...); x != y {
			t.Errorf("git %q: the rebase went on otherwise:\n%s\n%s", q, x, y)
		}
	}
}

// A bucket in which a repository lies as files, from before repositories were
// wholes, gives it back.
func TestRepositoryThatLiesAsFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b, c := w.machine("a"), w.machine("b"), w.machine("c")
	a.spec(func(o *specOptions) { o.Replicas[0].Git = "off" })
	a.history("repo", 20)
	a.everyKind("repo")
	a.once()
	for _, m := range []*machine{b, c} {
		m.spec(nil)
		m.once()
		sameAnswers(t, a, m, "repo")
	}
	if _, err := os.Lstat(c.path(".coltec/git/repo/.git/coltec.json")); err != nil {
		t.Error(err)
	}
}

// One commit costs the same in a repository of any size: what is new, in the
// requests that a push of one file has.
func TestWhatACommitCosts(t *testing.T) {
	// Not beside others: it takes the time.
	for _, commits := range []int{200, 20_000} {
		w := newWorld(t)
		m := w.machine("a")
		m.spec(func(o *specOptions) { o.TTL, o.Renew = "600s", "250s" }) // no renewal in between
		m.history("repo", commits)
		var log strings.Builder // as if all had been made here
		for _, oid := range strings.Fields(m.git("repo", "rev-list", "--reverse", "main")) {
			fmt.Fprintf(&log, "%s %s A <a@example.org> 1700000000 +0000\tcommit: c\n", strings.Repeat("0", 40), oid)
		}
		m.write("repo/.git/logs/HEAD", log.String())
		m.write("repo/.git/logs/refs/heads/main", log.String())
		m.start()
		m.sync()
		m.write("plain", "a save without a commit, on a machine as busy as this one\n")
		began := time.Now()
		m.sync()
		plain := time.Since(began)
		m.write("repo/d1/f1", "one more\n")
		m.git("repo", "commit", "-q", "-am", "one more")
		before, stored := requested(w.proxy), w.bytes()
		began = time.Now()
		m.sync()
		took := time.Since(began)
		requests := requested(w.proxy) - before
		t.Logf("%d commits: one more took %d requests, %d bytes and %s", commits, requests, w.bytes()-stored, took.Round(time.Millisecond))
		if requests > 4 {
			t.Errorf("%d commits: one more took %d requests, of which 4 are allowed: %v", commits, requests, w.proxy.Counts())
		}
		if took > 2*time.Second+4*plain {
			t.Errorf("%d commits: one more took %s, and a save without one %s", commits, took, plain)
		}
		if out := m.must("sync"); requested(w.proxy)-before != requests {
			t.Errorf("%d commits: nothing happened, and it took requests: %s", commits, out)
		}
		m.stop()
	}
}

// bytes is how much is in the bucket.
func (w *world) bytes() (sum int64) {
	for _, n := range w.objects() {
		sum += n
	}
	return sum
}

// A repository that is removed with its folder goes on the other machine too,
// and is kept there for a while. One of which the git directory alone is removed
// stays in the bucket.
func TestRemovedRepositories(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.patient()
	for _, dir := range []string{"goes", "changes", "stays", "plain"} {
		a.history(dir, 12)
	}
	a.once()
	b.once()
	for _, dir := range []string{"goes", "changes", "stays/.git"} {
		if err := os.RemoveAll(a.path(dir)); err != nil {
			t.Fatal(err)
		}
	}
	b.git("changes", "commit", "-q", "--allow-empty", "-m", "went on")
	a.start()
	a.sync("--allow-delete")
	if said := strings.Join(a.status().Attention, "\n"); !strings.Contains(said, `"stays/.git" is not carried as it is now: its git directory is gone`) {
		t.Errorf("attention: %s", said)
	}
	a.stop()
	b.start()
	b.sync("--allow-delete")
	b.stop()
	if _, err := os.Lstat(b.path("goes")); err == nil {
		t.Error("what was removed is still there")
	}
	if kept, _ := filepath.Glob(b.path(".coltec/replaced/*/goes/.git/HEAD")); len(kept) != 1 {
		t.Errorf("it is not kept: %v", kept)
	}
	b.git("stays", "log")
	b.git("changes", "log", "-1")
	for _, m := range []*machine{a, b} {
		m.once()
	}
	if _, err := os.Lstat(a.path("goes")); err == nil {
		t.Error("what was removed came back")
	}
	sameAnswers(t, b, a, "changes")
}

// A commit is pushed soon after it was made, also one that changes no file.
func TestACommitIsPushedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine("a")
	m.spec(func(o *specOptions) { o.Replicas[0].Interval, o.Replicas[0].Watch = 24*3600, true })
	m.history("repo", 12)
	m.start()
	m.sync()
	for _, args := range [][]string{
		{"commit", "-q", "--allow-empty", "-m", "empty"}, {"branch", "new"}, {"checkout", "-q", "--detach"},
	} {
		at := m.status().Lease.Generation
		m.git("repo", args...)
		m.await("git "+args[0], func(doc status.Document) bool { return doc.Lease.Generation > at })
	}
}

// patient makes two machines whose leases do not run out on a busy host. Each
// comes back after its crash before the other goes on.
func (w *world) patient() (a, b *machine) {
	a, b = w.machine("a"), w.machine("b")
	for _, m := range []*machine{a, b} {
		m.spec(func(o *specOptions) { o.TTL, o.Renew = "600s", "100s" })
	}
	return a, b
}

// Beside a fresh clone only what is new is fetched; and the bucket gets all of
// it again when it is another one.
func TestBesideAFreshClone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b, c := w.machine("a"), w.machine("b"), w.machine("c")
	upstream := w.machine("upstream")
	upstream.history("library", 2000)
	for _, m := range []*machine{a, b} {
		m.spec(nil)
		m.git("", "clone", "-q", upstream.path("library"), "repo")
	}
	a.everyKind("repo")
	a.once()
	b.once()
	packs, indexes := b.packs(), must(filepath.Glob(b.path(".coltec/git/repo/.git/objects/pack/*.idx")))
	if len(packs) != 1 || len(indexes) != 2 {
		t.Errorf("packs %q with indexes %q are here: what the clone has was fetched", packs, indexes)
	}
	b.same(a, "stash", "list")
	b.same(a, "status", "--porcelain")
	b.same(a, "log", "--all", "--format=%H")
	b.fsck("repo")

	w.rclone("delete", "{bucket}")
	b.once()
	c.spec(nil)
	c.once()
	sameAnswers(t, b, c, "repo")
}

// packs are those of the repository's shadow at the machine.
func (m *machine) packs() []string {
	return must(filepath.Glob(m.path(".coltec/git/repo/.git/objects/pack/*.pack")))
}

func must[V any](v V, err error) V {
	if err != nil {
		panic(err)
	}
	return v
}

// same holds that git answers the same at two machines.
func (m *machine) same(as *machine, args ...string) {
	m.t.Helper()
	if want, got := as.git("repo", args...), m.git("repo", args...); want != got {
		m.t.Errorf("git %q: %s has\n%s%s has\n%s", args, as.name, want, m.name, got)
	}
}

// crashInCapture kills while a commit is on its way.
func crashInCapture(t *testing.T, at string) {
	a, b := newWorld(t).patient()
	a.history("repo", 12)
	a.once()
	a.everyKind("repo")
	a.killedAt(at)
	a.fsck("repo")
	a.git("repo", "commit", "-q", "--allow-empty", "-m", "after that")
	a.git("repo", "gc", "-q", "--prune=now")
	a.once()
	b.once()
	sameAnswers(t, a, b, "repo")
}

// crashInRepository kills while a repository is made.
func crashInRepository(t *testing.T, at string) {
	a, b := newWorld(t).patient()
	a.history("repo", 12)
	a.everyKind("repo")
	a.once()
	commit := a.git("repo", "rev-parse", "HEAD")
	b.killedAt(at)
	if at == "git:made" { // before that there is nothing
		b.git("repo", "commit", "-q", "--allow-empty", "-m", "after that")
		commit = b.git("repo", "rev-parse", "HEAD")
	}
	b.once()
	a.once()
	sameAnswers(t, b, a, "repo")
	if now := b.git("repo", "rev-parse", "HEAD"); now != commit {
		t.Errorf("HEAD is %s, and not the last commit, %s", now, commit)
	}
}

// crashInJoin kills while two sides of a repository that both went on are joined.
func crashInJoin(t *testing.T, at string) {
	a, b := newWorld(t).patient()
	a.history("repo", 12)
	a.once()
	b.once()
	var commits, stashes []string
	for _, m := range []*machine{b, a} {
		m.write("repo/both", m.name)
		m.git("repo", "add", "both")
		m.git("repo", "commit", "-q", "-m", "both: "+m.name)
		m.write("repo/stash", m.name)
		m.git("repo", "stash", "push", "-q", "-u", "-m", "of "+m.name)
		commits = append(commits, strings.TrimSpace(m.git("repo", "rev-parse", "HEAD")))
		stashes = append(stashes, strings.TrimSpace(m.git("repo", "rev-parse", "refs/stash")))
	}
	b.once()
	a.killedAt(at)
	a.fsck("repo")
	a.once()
	b.once()
	sameAnswers(t, a, b, "repo")
	for _, m := range []*machine{a, b} {
		all, stashed := m.git("repo", "log", "--all", "--format=%H"), m.git("repo", "stash", "list", "--format=%H")
		for i := range commits {
			if !strings.Contains(all, commits[i]) || !strings.Contains(stashed, stashes[i]) {
				t.Errorf("%s: commit %s or stash %s is lost:\n%s\n%s", m.name, commits[i], stashes[i], all, stashed)
			}
		}
	}
}

// With git off a person is told what stays on the machine; and where the
// repositories are carried, what cannot be.
func TestWhatStaysHere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine("a")
	m.history("library", 10)
	m.git("", "clone", "-q", "library", "repo")
	m.git("repo", "commit", "-q", "--allow-empty", "-m", "never pushed")
	m.git("repo", "checkout", "-q", "--detach")
	m.git("repo", "commit", "-q", "--allow-empty", "-m", "on no branch")
	m.write("repo/d0/f0", "stashed")
	m.git("repo", "stash")
	m.spec(func(o *specOptions) {
		o.Replicas[0].Git, o.Replicas[0].Exclude = "off", append(o.Replicas[0].Exclude, ".git/**")
	})
	m.start()
	m.sync()
	said := strings.Join(m.status().Attention, "\n")
	if want := `of the repository "repo/.git" 2 commits and 1 stash are only here`; !strings.Contains(said, want) {
		t.Errorf("no %q in attention:\n%s", want, said)
	}
	m.stop()

	m.git("", "clone", "-q", "--filter=blob:none", "--no-checkout", "file://"+m.path("library"), "partial")
	m.git("library", "config", "uploadpack.allowFilter", "true")
	m.git("", "clone", "-q", "--filter=blob:none", "--no-checkout", "file://"+m.path("library"), "partial two")
	m.git("", "init", "-q", "damaged")
	m.write("damaged/.git/refs/heads/main", "no object\n")
	m.spec(nil)
	m.start()
	m.leaves([]string{"sync"}, "partial two/.git", "partial/.git")
	said = strings.Join(m.status().Attention, "\n")
	for _, want := range []string{
		`the repository "partial two/.git" is not carried as it is now: it is a partial clone`,
		`the repository "damaged/.git" is not carried as it is now: the ref refs/heads/main is damaged`,
	} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in attention:\n%s", want, said)
		}
	}
	if strings.Contains(said, "repo/.git") {
		t.Errorf("what is carried needs no attention:\n%s", said)
	}
}

// Work in a repository on a machine that waits for the lease, while the holder works on
// another branch of it: each side's change is its own, and no older ref takes a name.
func TestWorkInARepositoryWhileWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.patient()
	a.history("repo", 20)
	a.git("repo", "branch", "gone-here")
	a.once()
	b.once()
	b.start()
	a.must("start")
	a.await("it waits", func(doc status.Document) bool { return doc.Lease.State == status.LeaseWaiting })
	a.git("repo", "commit", "-q", "--amend", "-m", "amended while waiting")
	a.git("repo", "branch", "-D", "gone-here")
	amended := a.git("repo", "rev-parse", "main")
	a.await("it is said to be only here", func(doc status.Document) bool {
		r := replicaIn(t, doc, "workspace")
		return len(r.OnlyHere) == 1 && r.OnlyHere[0].Reason == account.Waiting && slices.Contains(r.OnlyHere[0].Names, "repo/.git")
	})
	b.git("repo", "branch", "topic")
	b.sync()
	b.stop()
	a.await("it has the lease, and all is in the bucket", func(doc status.Document) bool {
		return replicaIn(t, doc, "workspace").State == status.ReplicaSynced
	})
	if got := a.git("repo", "rev-parse", "main"); got != amended {
		t.Errorf("main is %s, not the one that was amended here, %s", got, amended)
	}
	if got := a.git("repo", "for-each-ref", "--format=%(refname)"); strings.Contains(got, "gone-here") || strings.Contains(got, "refs/coltec") || !strings.Contains(got, "topic") {
		t.Errorf("the refs are\n%s", got)
	}
	a.stop()
	b.once()
	sameAnswers(t, a, b, "repo")
}
