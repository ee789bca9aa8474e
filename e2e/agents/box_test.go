package agents

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/agents"
)

// world is a bucket, a model, and two machines whose paths are the same: one of them at a
// time is at live, the others are at their names beside it.
type world struct {
	t     *testing.T
	s3    *s3test.Server
	model *model
	top   string
	at    string // the machine that is at live
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if agentsDir == "" {
		t.Skip("needs coding agents, which make e2e-agents installs")
	}
	sample.Long(t)
	top, err := os.MkdirTemp("/tmp", "ca-") // short: a socket goes in
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, s3: s3test.Start(t), model: newModel(t), top: top}
	t.Cleanup(w.end)
	for _, name := range []string{"a", "b"} {
		w.enter(name)
		for _, dir := range []string{w.home(), w.work(), w.runtime()} {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		w.spec()
	}
	w.enter("a")
	w.configure()
	return w
}

func (w *world) live() string    { return filepath.Join(w.top, "live") }
func (w *world) home() string    { return filepath.Join(w.live(), "home") }
func (w *world) work() string    { return filepath.Join(w.live(), "work") }
func (w *world) runtime() string { return filepath.Join(w.live(), "run") }

// enter has another machine be at live, where nothing runs any more.
func (w *world) enter(name string) {
	w.t.Helper()
	if name == w.at {
		return
	}
	if w.at != "" {
		if err := os.Rename(w.live(), filepath.Join(w.top, w.at)); err != nil {
			w.t.Fatal(err)
		}
	}
	err := os.Rename(filepath.Join(w.top, name), w.live())
	if errors.Is(err, os.ErrNotExist) {
		err = os.Mkdir(w.live(), 0o700)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.at = name
}

// end ends what runs still, and shows the log of a test that failed.
func (w *world) end() {
	w.crash()
	if w.t.Failed() {
		text := w.log()
		w.t.Logf("the machine %s:\n%s", w.at, text[max(0, len(text)-8<<10):])
	}
	_ = os.RemoveAll(w.top)
}

// spec writes the spec of the machine: of the home it says which agents there are, and
// nothing else.
func (w *world) spec() {
	w.t.Helper()
	w.write(filepath.Join(w.work(), ".devcontainer/workspace-spec.yaml"), `version: 1.0.0
name: dev
metadata: {org: acme, project: widget, environment: dev}
agents: [`+names()+`]
persistence:
  enabled: true
  default_remote: primary
  remotes:
    primary:
      type: s3
      bucket: ${RCLONE_BUCKET}
      options:
        provider: Rclone
        endpoint: ${RCLONE_S3_ENDPOINT}
        access_key_id: ${RCLONE_S3_ACCESS_KEY_ID}
        secret_access_key: ${RCLONE_S3_SECRET_ACCESS_KEY}
  lease: {ttl: 12s, renew: 2s}
  sync:
    - {name: workspace, path: `+w.work()+`, exclude: [/.devcontainer/**]}
`)
}

func (w *world) write(path, text string) {
	w.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		w.t.Fatal(err)
	}
}

// env is the environment of all that runs on the machine.
func (w *world) env(more ...string) []string {
	return append([]string{
		"PATH=" + filepath.Join(agentsDir, "node_modules/.bin") + ":" + os.Getenv("PATH"),
		"HOME=" + w.home(), "TMPDIR=" + w.runtime(), "XDG_RUNTIME_DIR=" + w.runtime(), "LANG=C.UTF-8",
	}, more...)
}

// log is the log of coltecd on the machine.
func (w *world) log() string {
	b, _ := os.ReadFile(filepath.Join(w.work(), ".devcontainer/logs/coltecd.log"))
	return string(b)
}

// until asks again until it is so: what is waited for is in other processes, which send no
// events.
func (w *world) until(what string, so func() bool) {
	w.t.Helper()
	tick, deadline := time.NewTicker(20*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("%s: not in %s: %s", w.at, patience, what)
		}
	}
}

// coltecd runs a verb that has to succeed, and returns what it said.
func (w *world) coltecd(args ...string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := w.verb(ctx, args...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s: coltecd %q: %v\n%s", w.at, args, err, out)
	}
	return string(out)
}

func (w *world) verb(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, coltecd, args...)
	cmd.Dir = w.work()
	cmd.Env = w.env("COLTEC_RCLONE="+rclonePath, "COLTEC_HOST="+w.at,
		"RCLONE_BUCKET="+w.s3.Bucket, "RCLONE_S3_ENDPOINT="+w.s3.Endpoint,
		"RCLONE_S3_ACCESS_KEY_ID="+w.s3.AccessKey, "RCLONE_S3_SECRET_ACCESS_KEY="+w.s3.SecretKey)
	cmd.WaitDelay = time.Second
	return cmd
}

// stopInBackground stops coltecd, and returns when the stop has begun. What it returns waits
// for the end, and reports whether the stop let the agents end their turns.
func (w *world) stopInBackground() (ended func() bool) {
	w.t.Helper()
	before := len(w.log())
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	w.t.Cleanup(cancel)
	stop := w.verb(ctx, "stop", "--timeout", "60s")
	if err := stop.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.until("the stop begins", func() bool { return strings.Contains(w.log()[before:], "msg=stopping") })
	return func() bool {
		w.t.Helper()
		if err := stop.Wait(); err != nil {
			w.t.Fatal(err)
		}
		return strings.Contains(w.log()[before:], "agents have ended their turn")
	}
}

func (w *world) start() { w.t.Helper(); w.coltecd("start", "--wait") }
func (w *world) stop()  { w.t.Helper(); w.coltecd("stop", "--timeout", "60s") }

// crash kills all that runs on the machine with KILL, as a loss of power does, and tells the
// names of the programs.
func (w *world) crash() (programs []string) {
	w.t.Helper()
	for again := true; again; { // until none has started another
		again = false
		for _, pid := range w.processes() {
			program, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
			if w.killed(pid) {
				programs, again = append(programs, filepath.Base(program)), true
			}
		}
	}
	w.model.goOn() // nobody waits for an answer
	return programs
}

// processes are those of the machine: no others have its runtime directory.
func (w *world) processes() (pids []int) {
	environments, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environments {
		b, _ := os.ReadFile(path) // it may have ended
		if bytes.Contains(b, []byte("XDG_RUNTIME_DIR="+w.runtime()+"\x00")) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// killed kills a process with KILL, waits for its end, and reports whether it was there.
func (w *world) killed(pid int) bool {
	w.t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return false
	}
	if err != nil {
		w.t.Fatal(err)
	}
	defer unix.Close(fd)
	if errors.Is(unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0), unix.ESRCH) {
		return false
	}
	n, err := 0, error(unix.EINTR)
	for errors.Is(err, unix.EINTR) { // a pidfd can be read when its process has ended
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience/time.Millisecond))
	}
	if n != 1 {
		w.t.Errorf("process %d survives KILL: %v", pid, err)
	}
	return n == 1
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
	w.inHome(".codex/config.toml", `model = "fake"
model_provider = "fake"
check_for_update_on_startup = false
[model_providers.fake]
name = "fake"
base_url = "`+w.model.URL+`/v1"
env_key = "FAKE_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
`)
	w.inHome(".config/opencode/AGENTS.md", wish)
	w.inHome(".gemini/GEMINI.md", wish)
	w.inHome(".config/opencode/opencode.json", `{"model": "fake/fake", "small_model": "fake/fake", "autoupdate": false, "share": "disabled",
"provider": {"fake": {"npm": "@ai-sdk/openai-compatible", "name": "fake", "options": {"baseURL": "`+w.model.URL+`/v1", "apiKey": "{env:FAKE_KEY}"},
"models": {"fake": {"name": "fake"}}}}}`)
	w.inHome(".gemini/settings.json", `{"security": {"auth": {"selectedType": "gemini-api-key"}}, "general": {"disableAutoUpdate": true},
"privacy": {"usageStatisticsEnabled": false}, "telemetry": {"enabled": false}, "model": {"name": "gemini-2.5-flash"}}`)
	for path, text := range secrets {
		w.inHome(path, text)
	}
}

// secrets are files of the first machine that stay there.
var secrets = map[string]string{
	".claude/.credentials.json": `{"claudeAiOauth": {"accessToken": "sk-ant-oat01-` + secret + `", "refreshToken": "sk-ant-ort01-` + secret +
		`", "expiresAt": 4102444800000, "scopes": ["user:inference"], "subscriptionType": "pro"}}`,
	".codex/auth.json": `{"OPENAI_API_KEY": "` + secret + `", "tokens": null, "last_refresh": null}`,
	".ssh/id_ed25519":  secret,
	".netrc":           "machine example.org password " + secret,
}

func (w *world) inHome(path, text string) {
	w.t.Helper()
	w.write(filepath.Join(w.home(), path), text)
}

// keepsSecrets holds that no object has a secret, unpacked neither, though all of them are
// there on the first machine, and that what travels is found in the same way.
func (w *world) keepsSecrets() {
	w.t.Helper()
	if found := w.s3.Grep(w.t, secret); len(found) > 0 {
		w.t.Errorf("a secret can be read in %q", found)
	}
	for _, carried := range []string{wish, "nonce-0001-of-the-model"} {
		if len(w.s3.Grep(w.t, carried)) == 0 {
			w.t.Errorf("%q is not found in the bucket either", carried)
		}
	}
	here := filepath.Join(w.top, "a", "home")
	if w.at == "a" {
		here = w.home()
	}
	for path := range secrets {
		if b, err := os.ReadFile(filepath.Join(here, path)); err != nil || !strings.Contains(string(b), secret) {
			w.t.Errorf("~/%s of the first machine has no secret: %q, %v", path, b, err)
		}
	}
}

// agent is a real program, and how a turn is done with it.
type agent struct {
	name        string
	first, next []string // the prompt comes last
}

// all are the agents that are run: the usual ones, or more of them.
var all = usual

var usual = []agent{
	{"claude", []string{"claude", "-p"}, []string{"claude", "-p", "--continue"}},
	{"codex", []string{"codex", "exec", "--skip-git-repo-check"}, []string{"codex", "exec", "resume", "--skip-git-repo-check", "--last"}},
}

var more = []agent{
	{"opencode", []string{"opencode", "run"}, []string{"opencode", "run", "--continue"}},
	{"gemini", []string{"gemini", "-p"}, []string{"gemini", "--resume", "latest", "-p"}},
}

// names are those of the agents that are run, as a spec has them.
func names() string {
	var names []string
	for _, a := range all {
		names = append(names, a.name)
	}
	return strings.Join(names, ", ")
}

// running is a turn that has been started.
type running struct {
	w    *world
	a    agent
	cmd  *exec.Cmd
	from int // how many requests there were before
	out  bytes.Buffer
	talk bytes.Buffer
	stop context.CancelFunc
}

// begin starts a turn.
func (w *world) begin(a agent, argv []string, prompt string) *running {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	r := &running{w: w, a: a, from: len(w.model.requests(0)), stop: cancel}
	r.cmd = exec.CommandContext(ctx, filepath.Join(agentsDir, "node_modules/.bin", argv[0]), append(argv[1:len(argv):len(argv)], prompt)...)
	r.cmd.Dir = w.work()
	r.cmd.Env = w.env("ANTHROPIC_BASE_URL="+w.model.URL, "ANTHROPIC_API_KEY="+secret, "FAKE_KEY="+secret, "GEMINI_API_KEY="+secret, "GOOGLE_GEMINI_BASE_URL="+w.model.URL, "GEMINI_CLI_TRUST_WORKSPACE=true",
		"DISABLE_AUTOUPDATER=1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1")
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.talk
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it has children
	r.cmd.Cancel = func() error { return syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL) }
	r.cmd.WaitDelay = time.Second
	if err := r.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	return r
}

// beginHeld starts a turn of which the answer is held back, until its question is written.
func (w *world) beginHeld(a agent, prompt string) *running {
	w.t.Helper()
	reached := w.model.holdBack(prompt)
	r := w.begin(a, a.next, prompt)
	w.t.Cleanup(func() { r.stop(); _ = r.cmd.Wait() })
	select {
	case <-reached:
	case <-time.After(patience):
		w.t.Fatalf("%s asks nothing in %s: %s", a.name, patience, kinds(w.model.requests(r.from)))
	}
	r.hasWritten(prompt)
	return r
}

// hasWritten waits until what the agent keeps of its conversations has that.
func (r *running) hasWritten(text string) {
	r.w.t.Helper()
	known, _ := agents.Find(r.a.name)
	r.w.until(fmt.Sprintf("%s has written %q", r.a.name, text), func() bool {
		for _, pattern := range known.Talks {
			paths, _ := filepath.Glob(filepath.Join(r.w.home(), pattern))
			for _, path := range paths {
				if b, _ := os.ReadFile(path); strings.Contains(string(b), text) {
					return true
				}
			}
		}
		return false
	})
}

// turn is what a turn was: what was asked of the model, and the nonce that it said.
type turn struct {
	of       agent
	nonce    string
	requests []string
}

// do does a whole turn.
func (w *world) do(a agent, argv []string, prompt string) turn {
	w.t.Helper()
	return w.begin(a, argv, prompt).wait()
}

// wait waits for the end of a turn, which has to be an answer.
func (r *running) wait() turn {
	r.w.t.Helper()
	err := r.cmd.Wait()
	r.stop()
	done := turn{r.a, nonceIn(r.out.String()), r.w.model.requests(r.from)}
	if err != nil || done.nonce == "" {
		r.w.t.Fatalf("%s on %s, %q: %v\n%s\n%s\n%s", r.a.name, r.w.at, r.cmd.Args, err, &r.out, &r.talk, kinds(done.requests))
	}
	return done
}

// kinds says in short what was asked.
func kinds(requests []string) string {
	var b strings.Builder
	for _, body := range requests {
		var top map[string]json.RawMessage
		_ = json.Unmarshal([]byte(body), &top)
		b.WriteString("a request of ")
		b.Write(top["model"])
		b.WriteString(": ")
		b.WriteString(body[max(0, len(body)-300):])
		b.WriteByte('\n')
	}
	return b.String()
}

// holds holds that the model was told all of that in one request.
func (d turn) holds(t *testing.T, wanted ...string) {
	t.Helper()
	var missing []string
	for _, body := range d.requests {
		missing = nil
		for _, word := range wanted {
			if !strings.Contains(body, word) {
				missing = append(missing, word)
			}
		}
		if missing == nil {
			return
		}
	}
	t.Errorf("%s does not go on: the request lacks %q\n%s", d.of.name, missing, kinds(d.requests))
}
