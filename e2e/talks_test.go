package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/status"
)

// talker is a machine with agents in its spec, and a home of its own.
func (w *world) talker(name string) *machine {
	w.t.Helper()
	return w.housed(name, func(o *specOptions) { o.More = map[string]any{"agents": []any{"claude", "opencode"}} })
}

const (
	bothTalk = ".claude/projects/-w/3b3f8f4e-5f6a-4c1e-9d54-0a3a7c1f9e21.jsonl"
	ownTalk  = ".claude/projects/-w/77aa2c1d-0b0e-4d8a-8f00-5e9f3d2b1c34.jsonl"
	talkBase = ".local/share/opencode/opencode.db"
)

// Two machines went on with one conversation: both versions are whole, none has lines of the
// other, and conflicts says of which agent and which conversation they are. A database of
// conversations is kept by its own rule.
func TestConflictsNameTheConversation(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a, b := w.talker("a"), w.talker("b")
	begin := a.turnLine("user", "") + a.turnLine("assistant", "end_turn")
	a.atHome(bothTalk, begin)
	a.talk(talkBase, "both", 3)
	a.once()
	b.once()
	b.has(bothTalk, begin)

	ofA, ofB := begin+a.turnLine("user", "of a"), begin+b.turnLine("user", "of b")+b.turnLine("assistant", "end_turn")
	a.atHome(bothTalk, ofA)
	a.atHome(".claude/settings.json", "{\"of\":\"a\"}\n")
	a.talk(talkBase, "a", 40)
	a.once()
	b.atHome(bothTalk, ofB)
	b.atHome(ownTalk, begin)
	b.atHome(".claude/settings.json", "{\"of\":\"b\"}\n")
	b.talk(talkBase, "b", 60)
	b.start()
	b.has(bothTalk, ofA)
	b.has(ownTalk, begin)

	var list []control.Conflict
	out, said, _ := b.run("conflicts", "--json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("%v: %s%s", err, out, said)
	}
	found := map[string]string{}
	for _, k := range list {
		found[k.Path] = strings.TrimSpace(k.Agent + " " + k.Talk)
	}
	for path, want := range map[string]string{bothTalk: "claude 3b3f8f4e-5f6a-4c1e-9d54-0a3a7c1f9e21", ".claude/settings.json": "claude", talkBase: "opencode"} {
		if found[path] != want {
			t.Errorf("the conflict of %s is of %q, want %q", path, found[path], want)
		}
	}
	if said := b.must("conflicts", "--wide"); !strings.Contains(said, "AGENT") || !strings.Contains(said, "claude 3b3f8f4e-5f6a-4c1e-9d54-0a3a7c1f9e21") {
		t.Errorf("the table does not name it:\n%s", said)
	}
	if _, said, _ := b.run("conflicts", "show", bothTalk); !strings.Contains(said, "claude's conversation 3b3f8f4e-5f6a-4c1e-9d54-0a3a7c1f9e21, as it went on on "+b.name) {
		t.Errorf("show says %q", said)
	}
	b.holdsTalks("a 40, both 3", "b 60, both 3")

	b.must("conflicts", "take", bothTalk)
	b.has(bothTalk, ofB)
	replaced, err := filepath.Glob(filepath.Join(b.env["HOME"], ".coltec/replaced/*", bothTalk))
	if err != nil || len(replaced) != 1 {
		t.Fatalf("%q, %v", replaced, err)
	}
	if text, err := os.ReadFile(replaced[0]); err != nil || string(text) != ofA {
		t.Errorf("what it replaced is %q, %v", text, err)
	}
	b.stop()
}

// holdsTalks holds that the databases of a home, with those that are kept aside, have these
// turns: each whole, and none of two.
func (m *machine) holdsTalks(want ...string) {
	m.t.Helper()
	var found []string
	err := filepath.WalkDir(m.env["HOME"], func(p string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && filepath.Base(talkBase) == d.Name() {
			found = append(found, talked(m.t, p))
		}
		return err
	})
	slices.Sort(found)
	if found = slices.Compact(found); err != nil || !slices.Equal(found, want) { // what was replaced is kept, too
		m.t.Errorf("the databases have %q, want %q: %v", found, want, err)
	}
}

// An agent that is started before its home is restored has no conversation to go on with. A new
// shell says that, a shell of a script does not; what the agent writes meanwhile and what was
// before are both there afterwards.
func TestAShellTellsOfARestore(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a, b := w.talker("a"), w.talker("b")
	before := b.turnLine("user", "") + b.turnLine("assistant", "end_turn") // of b's folder, which is elsewhere here
	a.atHome(bothTalk, before)
	a.once()

	asked, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.proxy.Inject(s3test.Fault{Kind: s3test.Get, Key: "/home/", Before: func(s3test.Request) {
		once.Do(func() { close(asked) })
		<-goOn
	}})
	release := sync.OnceFunc(func() { close(goOn) })
	t.Cleanup(release)
	b.must("start")
	<-asked // or the test is over
	b.await("the home is being restored", func(d status.Document) bool {
		return d.RestoreOf(replicaIn(t, d, "home")) == status.RestoreUnderway
	})
	const told = "what is carried of your home is still being restored: coltecd wait agents"
	if said := b.newShell("-ic"); strings.Count(said, told) != 1 {
		t.Errorf("a new shell says %q", said)
	}
	if said := b.newShell("-c"); said != "" {
		t.Errorf("the shell of a script says %q", said)
	}
	meanwhile := b.turnLine("user", "before the restore")
	b.atHome(ownTalk, meanwhile)
	release()
	b.must("wait", "agents")
	for _, is := range b.status().Agents {
		if is.Name == "claude" && is.Talks != 2 {
			t.Errorf("status tells of %d conversations of claude, want 2", is.Talks)
		}
	}
	b.has(bothTalk, before)
	b.has(ownTalk, meanwhile)
	if said := b.newShell("-ic"); strings.Contains(said, told) {
		t.Errorf("a new shell after the restore says %q", said)
	}
	b.stop()
	a.start()
	a.has(ownTalk, meanwhile)
	a.stop()
}

// newShell is what a shell on a terminal says at its start, with the line that the Feature
// writes into each user's files.
func (m *machine) newShell(how string) string {
	m.t.Helper()
	text, err := os.ReadFile("../features/coltec/profile.sh")
	if err != nil {
		m.t.Fatal(err)
	}
	profile := filepath.Join(m.t.TempDir(), "profile.sh")
	if err := os.WriteFile(profile, []byte(strings.ReplaceAll(string(text), "/usr/local/bin/coltecd", coltecd)), 0o600); err != nil {
		m.t.Fatal(err)
	}
	cmd := exec.CommandContext(m.t.Context(), "script", "-qec", "sh "+how+" '. "+profile+"'", "/dev/null")
	cmd.Env = m.command(m.t.Context(), "status").Env
	cmd.Dir = m.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.t.Fatalf("a new shell: %v: %s", err, out)
	}
	return string(out)
}
