package agents

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/internal/modeltest"
	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
)

// world is a bucket, a model, and two machines whose paths are the same: what runs on one has
// a mount namespace in which its directory is at live.
type world struct {
	t     *testing.T
	s3    *s3test.Server
	model *modeltest.Model
	top   string
	at    string // the machine on which things are done
	uid   int    // of all that runs there

	// Of worlds with logins.
	provider *provider
	logins   string // what becomes of them, as a spec has it
	ageKey   string
}

func newWorld(t *testing.T) *world { return newWorldOf(t, os.Getuid()) }

// newWorldOf is one whose programs are run by a user.
func newWorldOf(t *testing.T, uid int) *world {
	t.Helper()
	t.Parallel() // agents and their machines wait more than they work
	if len(agentsDirs) == 0 {
		t.Skip("needs coding agents, which make e2e-agents installs")
	}
	sample.Long(t)
	top, err := os.MkdirTemp("/tmp", "ca-") // short: a socket goes in
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, s3: s3test.Start(t), model: modeltest.Start(t), top: top, at: "a", uid: uid}
	t.Cleanup(w.end)
	err = os.Chmod(top, 0o711)
	for i := range agentsDirs {
		err = errors.Join(err, os.MkdirAll(w.tools(i), 0o755))
	}
	if err := errors.Join(err, os.Mkdir(w.live(), 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"b", "a"} {
		w.enter(name)
		for _, dir := range []string{w.home(), w.work(), w.runtime()} {
			w.mkdir(dir)
		}
		w.spec()
	}
	w.configure()
	return w
}

func (w *world) live() string    { return filepath.Join(w.top, "live") }
func (w *world) home() string    { return filepath.Join(w.live(), "home") }
func (w *world) work() string    { return filepath.Join(w.live(), "work") }
func (w *world) runtime() string { return filepath.Join(w.live(), "run") }

// tools is where programs see a directory with agents.
func (w *world) tools(i int) string { return filepath.Join(w.top, "tools", strconv.Itoa(i)) }

// enter has what is done from now on be done on a machine.
func (w *world) enter(name string) { w.at = name }

// real is where what a machine has at a path is for us.
func (w *world) real(at, path string) string {
	return filepath.Join(w.top, at, strings.TrimPrefix(path, w.live()))
}

// mkdir makes a directory of the machine, and those that it is in, for its user.
func (w *world) mkdir(path string) {
	w.t.Helper()
	for dir := w.live(); ; {
		if err := os.Mkdir(w.real(w.at, dir), 0o700); err == nil {
			err = os.Chown(w.real(w.at, dir), w.uid, w.uid)
			if err != nil {
				w.t.Fatal(err)
			}
		} else if !errors.Is(err, os.ErrExist) {
			w.t.Fatal(err)
		}
		if dir == path {
			return
		}
		next, _, _ := strings.Cut(strings.TrimPrefix(path, dir+"/"), "/")
		dir = filepath.Join(dir, next)
	}
}

// end ends what runs still, and shows the log of a test that failed.
func (w *world) end() {
	for _, at := range []string{"b", "a"} {
		w.enter(at)
		w.crash()
	}
	for _, at := range []string{"b", "a"} {
		if w.enter(at); w.t.Failed() {
			text := w.log()
			w.t.Logf("the machine %s:\n%s", w.at, text[max(0, len(text)-8<<10):])
		}
	}
	if w.t.Failed() && w.provider != nil {
		w.t.Log(w.provider.account())
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
agents: [`+names(w.logins)+`]
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
  lease: {ttl: 30s, renew: 2s}
  sync:
    - {name: workspace, path: `+w.work()+`, exclude: [/.devcontainer/**]}
`)
}

// write writes a file of the machine, for its user.
func (w *world) write(path, text string) {
	w.t.Helper()
	w.mkdir(filepath.Dir(path))
	file := w.real(w.at, path)
	if err := errors.Join(os.WriteFile(file, []byte(text), 0o600), os.Chown(file, w.uid, w.uid)); err != nil {
		w.t.Fatal(err)
	}
}

// env is the environment of all that runs on the machine.
func (w *world) env(more ...string) []string {
	path := os.Getenv("PATH")
	for i := range agentsDirs {
		path = filepath.Join(w.tools(i), "node_modules/.bin") + ":" + path
	}
	return append([]string{
		"PATH=" + path, machineVariable + "=" + w.real(w.at, w.live()),
		"HOME=" + w.home(), "TMPDIR=" + w.runtime(), "XDG_RUNTIME_DIR=" + w.runtime(), "LANG=C.UTF-8",
	}, more...)
}

// log is the log of coltecd on the machine.
func (w *world) log() string {
	b, _ := os.ReadFile(w.real(w.at, filepath.Join(w.work(), ".devcontainer/logs/coltecd.log")))
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
	cmd := w.command(ctx, append([]string{coltecd}, args...))
	cmd.Env = w.env("COLTEC_RCLONE="+rclonePath, "COLTEC_HOST="+w.at,
		"RCLONE_BUCKET="+w.s3.Bucket, "RCLONE_S3_ENDPOINT="+w.s3.Endpoint,
		"RCLONE_S3_ACCESS_KEY_ID="+w.s3.AccessKey, "RCLONE_S3_SECRET_ACCESS_KEY="+w.s3.SecretKey)
	if w.ageKey != "" {
		cmd.Env = append(cmd.Env, "COLTEC_AGE_KEY="+w.ageKey)
	}
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
	w.model.GoOn() // nobody waits for an answer
	return programs
}

// processes are those of the machine: no others have its variable.
func (w *world) processes() (pids []int) {
	environments, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environments {
		b, _ := os.ReadFile(path) // it may have ended
		if bytes.Contains(b, []byte(machineVariable+"="+w.real(w.at, w.live())+"\x00")) {
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
