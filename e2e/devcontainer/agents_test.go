package devcontainer

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/modeltest"
)

// The parts of a key that is no agent's business to carry: they are put together here, so that
// no file of ours looks as if it had one.
const (
	keyBegin = "sk-ant-api03-"
	keyRest  = "Zq8vT2mWx7LpRk4NcYb9HsJd6GfUe3Aa5VtQnMo1XyKzEw0PiBrCuShDlOjF-IgNq7Tm2Wv8Lx4R"
)

// agents are where the real programs of coding agents are on this host.
func (g *ground) agents() (claude, codex string) {
	g.t.Helper()
	dir := filepath.Join(append(filepath.SplitList(os.Getenv("COLTEC_AGENTS_DIR")), "")[0], "node_modules")
	claude = filepath.Join(dir, "@anthropic-ai/claude-code-linux-x64/claude")
	codex = filepath.Join(dir, "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex")
	for _, program := range []string{claude, codex} {
		if info, err := os.Stat(program); err != nil || info.Mode()&0o111 == 0 {
			g.t.Fatalf("no agent in COLTEC_AGENTS_DIR, which scripts/install-agents.sh prints: %v", err)
		}
	}
	return claude, codex
}

// withAgents has the container of a workspace have the real programs, as its image would, and
// ask a model of ours on loopback.
func (g *ground) withAgents(dir string, model *modeltest.Model) {
	g.t.Helper()
	claude, codex := g.agents()
	g.withMounts(dir, model, "--volume="+claude+":/usr/local/bin/claude:ro", "--volume="+codex+":/usr/local/bin/codex:ro")
}

// withMounts has the container have some volumes, and its programs ask the model.
func (g *ground) withMounts(dir string, model *modeltest.Model, volumes ...string) {
	g.t.Helper()
	mounts, err := json.Marshal(volumes)
	if err != nil {
		g.t.Fatal(err)
	}
	env, err := json.Marshal(model.Variables(keyBegin + keyRest))
	if err != nil {
		g.t.Fatal(err)
	}
	g.edit(dir, `"--network=host",`, `"--network=host", `+strings.Trim(string(mounts), "[]")+",")
	g.edit(dir, `"containerEnv": {`, `"containerEnv": {`+strings.Trim(string(env), "{}")+",")
}

// turn has an agent do a turn in the container of a workspace, and gives what the model said.
// The model was told all of that in one request.
func (g *ground) turn(model *modeltest.Model, dir string, told []string, argv ...string) (nonce string) {
	g.t.Helper()
	from := len(model.Asked(0))
	out := g.must(append([]string{"exec", dir, "--"}, argv...)...)
	if nonce = modeltest.Nonce(out); nonce == "" {
		g.t.Fatalf("%q has no answer: %s", argv, out)
	}
	if told = append([]string{argv[len(argv)-1]}, told...); !model.Knew(from, told...) {
		g.t.Errorf("%q: no request has all of %q:\n%s", argv, told, strings.Join(model.Asked(from), "\n"))
	}
	return nonce
}

// The real agents, in dev containers, as the container's user: what was said on one machine
// they know on the other, their logins stay, and what is carried is searched for keys.
func TestAgentsHop(t *testing.T) {
	g := newGround(t)
	model := modeltest.Start(t)
	made := `coltec new ./w --data org=acme --data project=widget --data env=dev-a --data agents=claude,codex`
	a, b := g.machine("a"), g.machine("b")
	a.bash(made)
	dir := a.fit("w")
	g.withAgents(dir, model)
	g.must("up", dir)
	if who := g.sh(dir, "whoami; echo $HOME"); who != "vscode\n/home/vscode\n" {
		t.Fatalf("the agents run as %q", who)
	}
	g.inHome(dir, ".codex/config.toml", model.CodexConfig())
	const login = "canary-of-a-login"
	g.inHome(dir, ".claude/.credentials.json", `{"claudeAiOauth": {"accessToken": "`+login+`"}}`)
	claude, codex := []string{"the first question of Claude Code"}, []string{"the first question of Codex"}
	claude = append(claude, g.turn(model, dir, nil, "claude", "-p", claude[0]))
	codex = append(codex, g.turn(model, dir, nil, "codex", "exec", "--skip-git-repo-check", codex[0]))

	if out := g.must("agents", "check", dir); !strings.Contains(out, "nothing") {
		t.Errorf("agents check: %s", out)
	}
	g.inHome(dir, ".claude/CLAUDE.md", "the key is "+keyBegin+keyRest+"\n")
	out, err := g.run(g.root+"/bin/coltec", "agents", "check", dir)
	if err == nil || !strings.Contains(out, ".claude/CLAUDE.md") || strings.Contains(out, keyRest) {
		t.Errorf("agents check of a home with a key: %v\n%s", err, out)
	}
	g.sh(dir, "rm ~/.claude/CLAUDE.md")
	g.must("down", dir)

	b.bash(made)
	other := b.fit("w")
	g.withAgents(other, model)
	out = g.must("up", other)
	for _, want := range []string{"claude: 1 conversation, last turn ", ": claude --continue", "codex: 1 conversation, last turn ", ": codex resume --last"} {
		if !strings.Contains(out, want) {
			t.Errorf("up does not say %q:\n%s", want, out)
		}
	}
	g.turn(model, other, claude, "claude", "-p", "--continue", "the second question of Claude Code")
	g.turn(model, other, codex, "codex", "exec", "resume", "--skip-git-repo-check", "--last", "the second question of Codex")
	if out := g.sh(other, "ls ~/.claude/.credentials.json 2>&1; find ~ -not -user vscode; cd ~/.claude/projects/-workspace && cat *.jsonl | wc -l"); !strings.Contains(out, "No such file") || strings.Contains(out, "/home/vscode\n") {
		t.Errorf("the home on the other machine: %s", out)
	}
	g.must("down", other)
	if found := g.server.Grep(t, login); len(found) > 0 {
		t.Errorf("the login is in %q", found)
	}
	if len(g.server.Grep(t, claude[1])) == 0 {
		t.Errorf("nothing of the conversation is found in the bucket either")
	}
}

// The other agents in the same way: what was said on one machine they know on the other.
func TestMoreAgentsHop(t *testing.T) {
	dirs := filepath.SplitList(os.Getenv("COLTEC_AGENTS_DIR"))
	if len(dirs) < 2 {
		t.Skip("800 MB of agents: make e2e-agents-more")
	}
	g := newGround(t)
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal(err)
	}
	model := modeltest.Start(t)
	made := `coltec new ./w --data org=acme --data project=widget --data env=dev-a --data agents=opencode,gemini,copilot`
	a, b := g.machine("a"), g.machine("b")
	a.bash(made)
	dir := a.fit("w")
	with := func(dir string) {
		g.withMounts(dir, model, "--volume="+dirs[1]+":/opt/agents:ro", "--volume="+node+":/usr/local/bin/node:ro")
	}
	with(dir)
	g.must("up", dir)
	g.inHome(dir, ".config/opencode/opencode.json", model.OpencodeConfig())
	g.inHome(dir, ".gemini/settings.json", modeltest.GeminiSettings)
	const bin = "/opt/agents/node_modules/.bin/"
	agents := []struct {
		name        string
		first, next []string
		known       string // what up says of it, but for the time
		resume      string
	}{
		{"opencode", []string{bin + "opencode", "run"}, []string{bin + "opencode", "run", "--continue"}, "opencode: last turn ", ": opencode --continue"},
		{"gemini", []string{bin + "gemini", "-p"}, []string{bin + "gemini", "--resume", "latest", "-p"}, "gemini: 1 conversation, last turn ", ": gemini --resume latest"},
		{"copilot", []string{bin + "copilot", "-p"}, []string{bin + "copilot", "--continue", "-p"}, "copilot: 1 conversation, last turn ", ": copilot --continue"},
	}
	said := map[string][]string{}
	for _, x := range agents {
		prompt := "the first question of " + x.name
		said[x.name] = []string{prompt, g.turn(model, dir, nil, append(x.first, prompt)...)}
	}
	g.must("down", dir)

	b.bash(made)
	other := b.fit("w")
	with(other)
	out := g.must("up", other)
	for _, x := range agents {
		if !strings.Contains(out, x.known) || !strings.Contains(out, x.resume) || strings.Contains(out, "working") {
			t.Errorf("up does not say how %s goes on:\n%s", x.name, out)
		}
		g.turn(model, other, said[x.name], append(x.next, "the second question of "+x.name)...)
	}
	g.must("down", other)
}

// inHome writes a file of the home of the container's user.
func (g *ground) inHome(dir, path, text string) {
	g.t.Helper()
	g.must("exec", dir, "--", "sh", "-c", `mkdir -p "$(dirname ~/"$1")" && printf %s "$2" >~/"$1"`, "sh", path, text)
}
