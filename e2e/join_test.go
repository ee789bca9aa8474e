package e2e

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/status"
)

// forked makes forks of the machine's workspace on the host, and machines that have them.
func (m *machine) forked(envs ...string) (list []*machine) {
	m.t.Helper()
	source, said, err := m.made("dev")
	if err != nil {
		m.t.Fatalf("%v\n%s", err, said)
	}
	for _, env := range envs {
		if said, err := m.host("fork", source, env); err != nil {
			m.t.Fatalf("%v\n%s", err, said)
		}
		f := m.world.ofEnv(env)
		f.once()
		list = append(list, f)
	}
	return list
}

// what a join does at a path; "" for nothing.
func what(j control.Joined, path string) string {
	for _, x := range j.Paths {
		if x.Path == path {
			return x.What
		}
	}
	return ""
}

// Two forks that both worked are joined: nothing of any side is lost, what both changed is
// named before anything is done, and a join of the same fork brings only what is new since.
func TestJoin(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a := w.ofEnv("dev")
	a.seed()
	a.write("both.txt", "as it was")
	a.history("code", 3)
	a.ledger("data/app.db", "wal", 20)
	a.once()
	forks := a.forked("try-1", "try-2")
	one, two := forks[0], forks[1]

	one.write("new-1.txt", "of one")
	one.write("both.txt", "as one has it")
	one.remove("gone.txt")
	one.write("code/one.txt", "of one")
	one.git("code", "add", "-A")
	one.git("code", "commit", "-q", "-m", "one")
	of1 := strings.TrimSpace(one.git("code", "rev-parse", "HEAD"))
	one.ledgerShell("data/app.db", "CREATE TABLE told(x)", "INSERT INTO told VALUES('by one')").kill()
	two.write("both.txt", "as two has it")
	two.write("agent-context/memo.md", "of two")
	two.write("code/two.txt", "of two")
	two.git("code", "add", "-A")
	two.git("code", "commit", "-q", "-m", "two")
	of2 := strings.TrimSpace(two.git("code", "rev-parse", "HEAD"))
	one.once()
	two.once()

	a.start()
	a.write("mine.txt", "of dev")
	before := a.carried()
	told := answer[control.Joined](a, "join", "acme/widget/try-1", "--dry-run")
	for path, want := range map[string]string{
		"new-1.txt": "new", "both.txt": "changed", "gone.txt": "deleted", "code/one.txt": "new", "code/.git": "whole", "data/app.db": "whole", "mine.txt": "",
	} {
		if got := what(told, path); got != want {
			t.Errorf("told of %s: %q, want %q", path, got, want)
		}
	}
	sameTree(t, before, a.carried())
	if list := answer[[]control.Checkpoint](a, "checkpoints"); len(list) != 0 {
		t.Errorf("a dry run made %+v", list)
	}
	done := answer[control.Joined](a, "join", "acme/widget/try-1")
	if len(done.Conflicts)+len(done.Left) > 0 || done.Checkpoint == "" {
		t.Errorf("%+v", done)
	}
	for path, want := range map[string]string{"new-1.txt": "of one", "both.txt": "as one has it", "mine.txt": "of dev", "code/one.txt": "of one"} {
		if got := a.read(path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if !a.missing("gone.txt") {
		t.Error("gone.txt is there")
	}
	if got := strings.TrimSpace(a.git("code", "rev-parse", "HEAD")); got != of1 {
		t.Errorf("code is at %s, want %s", got, of1)
	}
	a.tells("data/app.db", "SELECT x FROM told", "by one")

	told = answer[control.Joined](a, "join", "acme/widget/try-2", "--dry-run")
	for path, want := range map[string]string{"both.txt": "conflict", "code/.git": "merged", "code/two.txt": "new", "memo.md": "new", "data/app.db": ""} {
		if got := what(told, path); got != want {
			t.Errorf("told of %s: %q, want %q", path, got, want)
		}
	}
	done = answer[control.Joined](a, "join", "acme/widget/try-2")
	if !slices.Equal(done.Conflicts, []string{"both.txt"}) || len(done.Left) > 0 {
		t.Errorf("%+v", done)
	}
	if got := kept(t, a.dir, "conflicts")["both.txt"]; a.read("both.txt") != "as two has it" || got != "as one has it" {
		t.Errorf("both.txt is %q, and %q is kept", a.read("both.txt"), got)
	}
	if got := a.read("agent-context/memo.md"); got != "of two" {
		t.Errorf("the memo is %q", got)
	}
	refs := a.git("code", "for-each-ref", "--format=%(objectname)")
	if !strings.Contains(refs, of1) || !strings.Contains(refs, of2) {
		t.Errorf("not both commits are kept: %s and %s in\n%s", of1, of2, refs)
	}
	a.fsck("code")
	a.tells("data/app.db", "SELECT x FROM told", "by one")
	a.tells("data/app.db", "PRAGMA integrity_check", "ok")

	// Again: nothing. Later: what is new, and nothing that was taken away here since.
	if again := answer[control.Joined](a, "join", "acme/widget/try-1"); again.From != again.To || again.Checkpoint != "" {
		t.Errorf("again: %+v", again)
	}
	a.remove("new-1.txt")
	one.write("more.txt", "later")
	one.once()
	done = answer[control.Joined](a, "join", "acme/widget/try-1")
	if len(done.Conflicts) > 0 || what(done, "more.txt") != "new" || len(done.Paths) != 1 || !a.missing("new-1.txt") {
		t.Errorf("later: %+v", done)
	}
	if all := answer[control.Joined](a, "join", "acme/widget/try-1", "--all"); all.From != 1 || what(all, "new-1.txt") != "new" || a.read("new-1.txt") != "of one" {
		t.Errorf("all of it: %+v", all)
	}
	joined := a.carried()
	a.refused(1, "there is no such workspace", "join", "acme/widget/none")
	a.refused(1, "is another workspace", "join", "acme/widget/dev")
	a.refused(1, "is another workspace", "join", "../../x")
	a.stop()

	// All of it is in the bucket: another machine has it.
	b := w.ofEnv("dev")
	b.once()
	sameTree(t, joined, b.carried())
	b.fsck("code")
	b.tells("data/app.db", "SELECT x FROM told", "by one")
	b.start()
	b.must("history", "restore", "--at", done.Checkpoint, "--to", filepath.Join(t.TempDir(), "before"))

	source, said, err := a.made("dev")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	one.write("not joined.txt", "yet")
	one.once()
	if said, err := a.host("compare", "acme/widget/try-1", source); err != nil || !strings.Contains(said, "not joined.txt") || !strings.Contains(said, "both.txt") {
		t.Errorf("compare: %v\n%s", err, said)
	}
}

// tells holds that a database answers.
func (m *machine) tells(at, question, want string) {
	m.t.Helper()
	p := m.ledgerShell(at)
	defer p.kill()
	if said := p.ask(question); !strings.Contains(said, want) {
		m.t.Errorf("%s says %q to %s, want %q", at, said, question, want)
	}
}

// crashInFork kills coltec at a step of a fork: the next one goes on.
func crashInFork(t *testing.T, at string) {
	w := newWorld(t)
	a := w.ofEnv("dev")
	a.seed()
	a.once()
	source, said, err := a.made("dev")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	a.env[killpoint.Variable] = at
	if said, err := a.host("fork", source, "try"); err == nil {
		t.Errorf("it was not killed: %s", said)
	}
	delete(a.env, killpoint.Variable)
	if _, err := os.Stat(filepath.Join(filepath.Dir(source), "try")); err == nil {
		t.Error("there is a folder of a fork that was cut off")
	}
	a.write("later.txt", "since")
	if at != "fork:made" { // else it is what it was
		a.once()
	}
	if said, err := a.host("fork", source, "try"); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	f := w.ofEnv("try")
	f.once()
	if at == "fork:made" {
		a.remove("later.txt")
	}
	sameTree(t, a.carried(), f.carried())
}

// crashInJoinOfAFork kills coltecd at a step of a join: nothing of either side is lost, and the
// next join goes on.
func crashInJoinOfAFork(t *testing.T, at string) {
	w := newWorld(t)
	a := w.ofEnv("dev")
	a.seed()
	a.write("both.txt", "as it was")
	a.once()
	one := a.forked("try")[0]
	one.change()
	one.write("both.txt", "there")
	one.once()
	a.write("both.txt", "here")
	a.write("mine.txt", "of dev")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := a.command(ctx, "run")
	cmd.Env = append(cmd.Env, killpoint.Variable+"="+at)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a.await("it has the lease", func(doc status.Document) bool { return doc.Lease.State == status.LeaseHeld })
	if _, talk, code := a.run("join", "acme/widget/try"); code == 0 {
		t.Errorf("it was not killed: %s", talk)
	}
	_ = cmd.Wait()
	a.start()
	done := answer[control.Joined](a, "join", "acme/widget/try")
	if len(done.Left) > 0 {
		t.Errorf("%+v", done)
	}
	if got := kept(t, a.dir, "conflicts")["both.txt"]; a.read("both.txt") != "there" || got != "here" || a.read("mine.txt") != "of dev" {
		t.Errorf("both.txt is %q, %q is kept, and mine.txt is %q", a.read("both.txt"), got, a.read("mine.txt"))
	}
	want := one.carried()
	want[`"mine.txt"`] = a.carried()[`"mine.txt"`]
	got := a.carried()
	sameTree(t, want, got)
	a.stop()
	b := w.ofEnv("dev")
	b.once()
	sameTree(t, want, b.carried())
}
