package agents

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/control"
)

// world is a bucket, a model, and two machines whose paths are the same: one of them at a
// time is at live, the others are at their names beside it.
type world struct {
	t     *testing.T
	s3    *s3test.Server
	model *model
	top   string
	at    string // the machine that is at live
	left  []int  // process groups of agents that may be there still
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

// end ends what runs still, by its ids, and shows the log of a test that failed.
func (w *world) end() {
	for _, group := range w.left {
		_ = syscall.Kill(-group, syscall.SIGKILL)
	}
	if _, ok := w.instance(); ok {
		w.kill9()
	}
	if w.t.Failed() {
		b, _ := os.ReadFile(filepath.Join(w.work(), ".devcontainer/logs/coltecd.log"))
		w.t.Logf("the machine %s:\n%s", w.at, b[max(0, len(b)-8<<10):])
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
agents: [claude, codex]
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

// coltecd runs a verb that has to succeed, and returns what it said.
func (w *world) coltecd(args ...string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, coltecd, args...)
	cmd.Dir = w.work()
	cmd.Env = w.env("COLTEC_RCLONE="+rclonePath, "COLTEC_HOST="+w.at,
		"RCLONE_BUCKET="+w.s3.Bucket, "RCLONE_S3_ENDPOINT="+w.s3.Endpoint,
		"RCLONE_S3_ACCESS_KEY_ID="+w.s3.AccessKey, "RCLONE_S3_SECRET_ACCESS_KEY="+w.s3.SecretKey)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s: coltecd %q: %v\n%s", w.at, args, err, out)
	}
	return string(out)
}

func (w *world) start() { w.t.Helper(); w.coltecd("start", "--wait") }
func (w *world) stop()  { w.t.Helper(); w.coltecd("stop", "--timeout", "60s") }

// instance is the note of the coltecd that runs on the machine.
func (w *world) instance() (control.Instance, bool) {
	spec := filepath.Join(w.work(), ".devcontainer/workspace-spec.yaml")
	i, ok, err := control.Find(control.Runtime{Spec: spec, XDG: w.runtime(), Tmp: w.runtime(), UID: os.Getuid()})
	return i, ok && err == nil
}

// kill9 kills the keeper and coltecd with KILL, and waits for their end.
func (w *world) kill9() {
	w.t.Helper()
	i, ok := w.instance()
	if !ok {
		w.t.Fatalf("%s: no coltecd runs", w.at)
	}
	for _, pid := range []int{i.Keeper, i.PID} { // the keeper first: it would start another
		w.killed(pid)
	}
}

// killed kills a process with KILL, and waits for its end.
func (w *world) killed(pid int) {
	w.t.Helper()
	if pid <= 1 {
		return
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	if err != nil {
		w.t.Fatal(err)
	}
	defer unix.Close(fd)
	_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	n, err := 0, unix.EINTR
	for errors.Is(err, unix.EINTR) { // a pidfd can be read when its process has ended
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience/time.Millisecond))
	}
	if n != 1 {
		w.t.Fatalf("process %d survives KILL: %v", pid, err)
	}
}

// configure writes what somebody writes on the first machine, and what a login leaves there.
func (w *world) configure() {
	w.t.Helper()
	w.write(filepath.Join(w.home(), ".codex/config.toml"), `model = "fake"
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
}

// agent is a real program, and how a turn is done with it.
type agent struct {
	name        string
	first, next []string // the prompt comes last
}

var all = []agent{
	{"claude", []string{"claude", "-p"}, []string{"claude", "-p", "--continue"}},
	{"codex", []string{"codex", "exec", "--skip-git-repo-check"}, []string{"codex", "exec", "resume", "--skip-git-repo-check", "--last"}},
}

// running is a turn that has been started.
type running struct {
	w    *world
	a    agent
	cmd  *exec.Cmd
	out  bytes.Buffer
	talk bytes.Buffer
	stop context.CancelFunc
}

// begin starts a turn.
func (w *world) begin(a agent, argv []string, prompt string) *running {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	r := &running{w: w, a: a, stop: cancel}
	r.cmd = exec.CommandContext(ctx, filepath.Join(agentsDir, "node_modules/.bin", argv[0]), append(argv[1:len(argv):len(argv)], prompt)...)
	r.cmd.Dir = w.work()
	r.cmd.Env = w.env("ANTHROPIC_BASE_URL="+w.model.URL, "ANTHROPIC_API_KEY=of-the-fake", "FAKE_KEY=of-the-fake",
		"DISABLE_AUTOUPDATER=1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1")
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.talk
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it has children
	r.cmd.Cancel = func() error { return syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL) }
	r.cmd.WaitDelay = time.Second
	if err := r.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.left = append(w.left, r.cmd.Process.Pid)
	return r
}

// kill ends the agent and all that it started with KILL.
func (r *running) kill() {
	r.w.t.Helper()
	r.stop()
	if err := r.cmd.Wait(); err == nil {
		r.w.t.Fatalf("%s was through already: %s", r.a.name, &r.out)
	}
	r.gone()
}

// gone notes that nothing of its process group is there.
func (r *running) gone() {
	_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
	for i, group := range r.w.left {
		if group == r.cmd.Process.Pid {
			r.w.left = append(r.w.left[:i], r.w.left[i+1:]...)
			return
		}
	}
}

// turn is what a turn was: what was asked of the model, and the nonce that it said.
type turn struct {
	nonce    string
	requests []string
}

// do does a whole turn.
func (w *world) do(a agent, argv []string, prompt string) turn {
	w.t.Helper()
	from := len(w.model.requests(0))
	r := w.begin(a, argv, prompt)
	err := r.cmd.Wait()
	r.stop()
	r.gone()
	done := turn{nonceIn(r.out.String()), w.model.requests(from)}
	if err != nil || done.nonce == "" {
		w.t.Fatalf("%s on %s, %q: %v\n%s\n%s\n%s", a.name, w.at, argv, err, &r.out, &r.talk, kinds(done.requests))
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
func (d turn) holds(t *testing.T, a agent, wanted ...string) {
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
	t.Errorf("%s does not go on: the request lacks %q\n%s", a.name, missing, kinds(d.requests))
}
