package agents

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/coltec/coltec/internal/modeltest"
)

// agent is a real program, and how a turn is done with it.
type agent struct {
	name        string
	first, next []string // the prompt comes last
	process     string   // the name of the file that runs
	oneFile     bool     // all conversations are in one
}

// all are the agents that are run: the usual ones, or every one of them.
var all = usual

var usual = []agent{
	{"claude", []string{"claude", "-p"}, []string{"claude", "-p", "--continue"}, "claude.exe", false},
	{"codex", []string{"codex", "exec", "--skip-git-repo-check"}, []string{"codex", "exec", "resume", "--skip-git-repo-check", "--last"}, "codex", false},
}

var more = []agent{
	{"opencode", []string{"opencode", "run"}, []string{"opencode", "run", "--continue"}, "opencode.exe", true},
	{"gemini", []string{"gemini", "-p"}, []string{"gemini", "--resume", "latest", "-p"}, "node", false},
	{"copilot", []string{"copilot", "-p"}, []string{"copilot", "--continue", "-p"}, "copilot", false},
}

// names are those of the agents that are run, as a spec has them, with what becomes of their
// logins where that is said.
func names(logins string) string {
	var names []string
	for _, a := range all {
		name := a.name
		if logins != "" {
			name = fmt.Sprintf("{name: %s, logins: %s}", a.name, logins)
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// pick is the agent of a name, of those that are run.
func pick(name string) (a agent, ok bool) {
	for _, a := range all {
		if a.name == name {
			return a, true
		}
	}
	return agent{}, false
}

// find is which of the directories with agents has the program of one.
func (a agent) find() (dir int, err error) {
	var errs []error
	for i, dir := range agentsDirs {
		_, err := exec.LookPath(filepath.Join(dir, "node_modules/.bin", a.first[0]))
		if err == nil {
			return i, nil
		}
		errs = append(errs, err)
	}
	return 0, fmt.Errorf("%s is not installed: %w", a.name, errors.Join(errs...))
}

// What is not to be in the bucket, and what is, in files of the home.
const (
	secret = "sk-canary-of-no-machine-but-one"
	wish   = "a wish that is true on all machines"
)

// configure writes what somebody writes on the first machine, and what is there of a login.
func (w *world) configure() {
	w.t.Helper()
	w.inHome(".claude/CLAUDE.md", wish+"\n")
	w.inHome(".codex/AGENTS.md", wish+"\n")
	w.inHome(".codex/config.toml", w.model.CodexConfig())
	w.inHome(".config/opencode/AGENTS.md", wish)
	w.inHome(".config/opencode/opencode.json", w.model.OpencodeConfig())
	w.inHome(".gemini/GEMINI.md", wish)
	w.inHome(".gemini/settings.json", modeltest.GeminiSettings)
	w.inHome(".copilot/copilot-instructions.md", wish)
	for path, text := range secrets {
		w.inHome(path, text)
	}
}

// agentEnv is the environment of an agent: where its model is, and its key or its proxy.
func (w *world) agentEnv() []string {
	env := w.env("DISABLE_AUTOUPDATER=1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "GEMINI_CLI_TRUST_WORKSPACE=true", "COPILOT_AUTO_UPDATE=false", "OPENCODE_DISABLE_MODELS_FETCH=true")
	if w.provider != nil {
		ca := filepath.Join(w.top, "ca.pem")
		return append(env, "HTTPS_PROXY="+w.provider.URL, "https_proxy="+w.provider.URL, "NO_PROXY=127.0.0.1,localhost",
			"NODE_EXTRA_CA_CERTS="+ca, "SSL_CERT_FILE="+ca, "CODEX_CA_CERTIFICATE="+ca)
	}
	for name, value := range w.model.Variables(secret) {
		env = append(env, name+"="+value)
	}
	return env
}

// configureLogins is configure for agents that ask their makers.
func (w *world) configureLogins() {
	w.t.Helper()
	w.inHome(".codex/config.toml", `model = "gpt-5"
model_provider = "ours"
check_for_update_on_startup = false
[features]
apps = false
[model_providers.ours]
name = "ours"
base_url = "https://api.openai.com/v1"
requires_openai_auth = true
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
`)
	w.inHome(".config/opencode/opencode.json", `{"model": "openai/gpt-5.5", "small_model": "openai/gpt-5.5", "autoupdate": false, "share": "disabled"}`)
	w.inHome(".gemini/settings.json", `{"security": {"auth": {"selectedType": "oauth-personal"}}, "general": {"disableAutoUpdate": true},
"privacy": {"usageStatisticsEnabled": false}, "telemetry": {"enabled": false}, "model": {"name": "gemini-2.5-flash"}}`)
}

// agentsDirs are the directories with agents, as who starts the tests names them.
var agentsDirs = filepath.SplitList(os.Getenv("COLTEC_AGENTS_DIR"))
