package e2e

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/status"
)

const (
	claudeLogin = ".claude/.credentials.json"
	codexLogin  = ".codex/auth.json"
	canary      = "canary-token-"
)

// home has the tree of a machine be a home, too.
func (m *machine) home() *machine {
	m.env["HOME"] = m.dir
	return m
}

// login writes a login as its program does: a new file takes the place of the old one.
func (m *machine) login(path, text string) {
	m.t.Helper()
	m.write(path+".tmp", text)
	file := filepath.Join(m.dir, path)
	if err := os.Rename(file+".tmp", file); err != nil {
		m.t.Fatal(err)
	}
}

func travelling(agents ...any) func(*specOptions) {
	return func(o *specOptions) { o.More = map[string]any{"agents": agents} }
}

func travels(name string) map[string]any { return map[string]any{"name": name, "logins": "travel"} }

func newAgeKey(t *testing.T) string {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id.String()
}

// unread holds that no object has a login in a form that can be read, and that one would be
// found: what is carried beside it is.
func (w *world) unread(beside string) {
	w.t.Helper()
	if found := w.s3.Grep(w.t, canary); len(found) > 0 {
		w.t.Errorf("a login can be read in %q", found)
	}
	if beside != "" && len(w.s3.Grep(w.t, beside)) == 0 {
		w.t.Error("what is carried is not found either")
	}
}

// hears waits until attention has a sentence with the words, once, be the rest well or not.
func (m *machine) hears(words string) {
	m.t.Helper()
	m.await("status says "+words, func(doc status.Document) bool {
		return strings.Count(strings.Join(doc.Attention, "\n"), words) == 1
	})
}

// hasLogin holds what a login file has.
func (m *machine) hasLogin(path, want string) {
	m.t.Helper()
	if got := m.read(path); got != want {
		m.t.Fatalf("%s: %s is %q, want %q", m.name, path, got, want)
	}
}

// object is what the bucket has at a key; "": nothing.
func (w *world) object(key string) string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.s3.Dir, w.s3.Bucket, key))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	return string(b)
}

// becomes waits until the object of a key is another one.
func (w *world) becomes(key, before string) {
	w.t.Helper()
	eventually(w.t, key+" is another one", func() error {
		if now := w.object(key); now == "" || now == before { // while it is replaced the server has neither
			return errors.New("it is as it was")
		}
		return nil
	})
}

// By default a login stays on its machine, also where its folder is carried; status says so once.
func TestLoginsStay(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	w := newWorld(t)
	a, b := w.machine("a").home(), w.machine("b").home()
	for _, m := range []*machine{a, b} {
		m.spec(travelling("claude"))
	}
	for _, path := range []string{claudeLogin, codexLogin, ".gemini/oauth_creds.json"} {
		a.login(path, canary+path)
		a.write(path+".tmp.1", canary+"on its way")
	}
	a.write(".claude/projects/p/talk.jsonl", "a talk that is carried\n")
	a.start()
	a.sync()
	a.hears("the logins of claude, codex, gemini stay on this machine")
	a.stop()
	b.start()
	if !b.missing(claudeLogin) || b.missing(".claude/projects/p/talk.jsonl") {
		t.Errorf("on the next machine: %v", b.tree())
	}
	w.unread("a talk that is carried")
}

// onHost runs coltec as the host's user, whose home is not in the workspace.
func (m *machine) onHost(args ...string) {
	m.t.Helper()
	m.env["HOME"] = filepath.Dir(m.dir)
	defer m.home()
	m.trust()
	if out, err := m.host(args...); err != nil {
		m.t.Fatalf("coltec %q: %v\n%s", args, err, out)
	}
}

// exports holds that an export brings a file of a name, and no login.
func (m *machine) exports(name string) {
	m.t.Helper()
	found := false
	dir := filepath.Join(m.t.TempDir(), "out")
	m.onHost("export", m.dir, dir)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			found = found || e.Name() == name
			b, err := os.ReadFile(path)
			if err != nil || strings.Contains(string(b), canary) {
				m.t.Errorf("%s: it has a login, %v", path, err)
			}
		}
		return err
	})
	if err != nil || !found {
		m.t.Fatalf("the export has no %s: %v", name, err)
	}
}

// A replica of the home that includes a login by its name has it no more than any other.
func TestLoginsIncluded(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	w := newWorld(t)
	a := w.machine("a")
	a.env["HOME"] = t.TempDir()
	a.spec(func(o *specOptions) {
		home := a.replica("home", "~")
		home.Include = []string{".claude", claudeLogin, "/" + codexLogin}
		o.Replicas = append(o.Replicas, home)
	})
	for path, text := range map[string]string{
		claudeLogin: canary + "1", codexLogin: canary + "2", ".claude/projects/talk.jsonl": "a talk that is carried\n",
	} {
		file := filepath.Join(a.env["HOME"], path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	a.start()
	a.sync()
	a.hears("the logins of claude, codex stay on this machine")
	a.stop()
	w.unread("a talk that is carried")
}

// Where the home is a link, or a directory in it leads into a replica, its logins stay, too.
func TestLoginsBehindLinks(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	for _, what := range []string{"home", "directory", "file", "directory that is made later"} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			a := w.machine("a")
			a.spec(nil)
			a.env["HOME"] = filepath.Join(t.TempDir(), "home")
			links := map[string]string{a.env["HOME"]: a.dir}
			switch what {
			case "directory":
				links = map[string]string{a.env["HOME"] + "/.claude": a.path(".claude")}
			case "file":
				links = map[string]string{a.env["HOME"] + "/" + claudeLogin: a.path(claudeLogin)}
			}
			for link, to := range links {
				if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink(to, link)); err != nil {
					t.Fatal(err)
				}
			}
			a.write("talk.jsonl", "a talk that is carried\n")
			if what == "directory that is made later" {
				a.start()
			}
			a.login(claudeLogin, canary+"1")
			if what != "directory that is made later" {
				a.start()
			}
			a.sync()
			a.stop()
			w.unread("a talk that is carried")
		})
	}
}

// What travels is in the bucket soon after it changed, in one request, in no generation,
// history, fork or export, and comes to the next machine, after a crash too; a logout ends it.
func TestLoginsTravel(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	w := newWorld(t)
	a, b := w.machine("a").home(), w.machine("b").home()
	key := newAgeKey(t)
	for _, m := range []*machine{a, b} {
		m.spec(func(o *specOptions) { seldom(o); travelling(travels("claude"), travels("codex"))(o) })
		m.env["COLTEC_AGE_KEY"] = key
	}
	object := func(agent string) string { return ".coltec/fleet/acme/widget/dev/logins/" + agent + ".age" }
	a.login(claudeLogin, canary+"1")
	a.login(codexLogin, canary+"c1")
	a.write("talk.jsonl", "a talk that is carried\n")
	a.start()
	a.sync()
	w.becomes(object("claude"), "")
	w.becomes(object("codex"), "")

	w.proxy.Reset()
	before, began := w.object(object("claude")), time.Now()
	a.login(claudeLogin, canary+"2")
	w.becomes(object("claude"), before)
	t.Logf("in the bucket after %s", time.Since(began).Round(10*time.Millisecond))
	if n := requested(w.proxy); n != 1 {
		t.Errorf("%d requests: %q", n, requestsOf(w.proxy))
	}
	a.kill9()
	b.must("start")
	b.must("takeover", "--force")
	b.await("the restore", func(doc status.Document) bool {
		return doc.Lease.State == status.LeaseHeld && doc.Replicas[0].State == status.ReplicaSynced
	})
	b.hasLogin(claudeLogin, canary+"2")
	b.hasLogin(codexLogin, canary+"c1")
	if info, err := os.Stat(filepath.Join(b.dir, claudeLogin)); err != nil || info.Mode() != fs.FileMode(0o600) {
		t.Errorf("the login: %v, %v", info.Mode(), err)
	}
	b.login(claudeLogin, canary+"3")
	b.stop()
	a.start()
	a.hasLogin(claudeLogin, canary+"3")

	w.unread("a talk that is carried")
	for _, out := range []string{a.must("history"), a.must("history", "ls", ".claude"), a.must("verify", "--deep")} {
		if strings.Contains(out, "credentials") || strings.Contains(out, canary) {
			t.Errorf("the history has it: %s", out)
		}
	}
	a.exports("talk.jsonl")
	a.onHost("agents", "logout", "--agent", "codex", a.dir)
	if w.object(object("codex")) != "" || w.object(object("claude")) == "" {
		t.Errorf("after the logout of codex: %v", w.objects())
	}
	a.login(codexLogin, canary+"c2")
	before = w.object(object("claude"))
	a.login(claudeLogin, canary+"4")
	w.becomes(object("claude"), before)
	if w.object(object("codex")) != "" {
		t.Error("a login that was removed was pushed again")
	}
	a.hears("login of codex: it was removed from the bucket")
	a.must("agents", "logout", "--local")
	if !a.missing(claudeLogin) || !a.missing(codexLogin) || w.object(object("claude")) != "" {
		t.Errorf("after the logout: %v", a.tree())
	}
	a.stop()
	w.unread("")
}

// Without a key, or with another one, the rest goes on and a sentence says why.
func TestLoginsKeys(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	w := newWorld(t)
	a, b := w.machine("a").home(), w.machine("b").home()
	for _, m := range []*machine{a, b} {
		m.spec(travelling(travels("claude")))
	}
	a.login(claudeLogin, canary+"1")
	a.start()
	a.hears("logins do not travel: COLTEC_AGE_KEY is not set")
	a.stop()
	a.env["COLTEC_AGE_KEY"], b.env["COLTEC_AGE_KEY"] = newAgeKey(t), newAgeKey(t)
	a.start()
	a.stop()
	b.login(claudeLogin, canary+"b")
	b.start()
	b.hears("it is encrypted to another key than the one in COLTEC_AGE_KEY")
	b.hasLogin(claudeLogin, canary+"b")
	b.stop()
	a.start()
	a.hasLogin(claudeLogin, canary+"1")
	a.stop()
	w.unread("")
}

// A generation that was made before has a login: newer ones have it no more, and status says so.
func TestLoginInAnOlderGeneration(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	w := newWorld(t)
	a := w.machine("a")
	a.spec(nil)
	a.login(claudeLogin, canary+"1")
	a.write("file", "one")
	a.start()
	a.sync()
	a.stop()
	if len(w.s3.Grep(t, canary)) == 0 {
		t.Fatal("the login is not in the bucket")
	}
	a.home()
	a.start()
	a.write("file", "two")
	a.sync()
	a.hears(claudeLogin + " is a login, and in generations before this one")
	if out := a.must("history", "ls", claudeLogin); !strings.Contains(out, "gone") {
		t.Errorf("the newest generation has it: %s", out)
	}
	if a.read(claudeLogin) != canary+"1" {
		t.Error("the login here is gone")
	}
	a.stop()
}
