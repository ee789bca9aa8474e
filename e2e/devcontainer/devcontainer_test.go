// Package devcontainer tests coltec with real Docker, the real dev container CLI
// and a real S3 server. scripts/e2e-devcontainer.sh sets the ground up.
package devcontainer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

const patience = 60 * time.Second

const specText = `version: 1.0.0
name: %[1]s
metadata: {org: acme, project: widget, environment: %[1]s}
secrets: [{name: RCLONE_BUCKET, required: true}, {name: RCLONE_S3_ACCESS_KEY_ID, required: true}, {name: RCLONE_S3_SECRET_ACCESS_KEY, required: true}, {name: RCLONE_S3_ENDPOINT, required: true}]
persistence:
  enabled: true
  default_remote: primary
  remotes:
    primary:
      type: s3
      bucket: ${RCLONE_BUCKET}
      options: {provider: Other, access_key_id: "${RCLONE_S3_ACCESS_KEY_ID}", secret_access_key: "${RCLONE_S3_SECRET_ACCESS_KEY}", endpoint: "${RCLONE_S3_ENDPOINT}"}
  lease: {ttl: 60s, renew: 20s}
  sync:
    - {name: workspace, path: /workspace, remote_path: "workspaces/{org}/{project}/{env}/workspace", interval: 10, exclude: ["/.devcontainer/**"]}
`

const configText = `{
  "name": "%[1]s",
  "image": "%[2]s",
  "features": {"./coltec": {}},
  "remoteUser": "vscode",
  "workspaceFolder": "/workspace",
  "workspaceMount": "source=${localWorkspaceFolder},target=/workspace,type=bind",
  "runArgs": ["--network=host", "--stop-timeout=60", "--label=coltec.org=acme", "--label=coltec.project=widget", "--label=coltec.env=%[1]s"],
  "containerEnv": {"COLTEC_CONFIG": "${containerWorkspaceFolder}/.devcontainer/workspace-spec.yaml", "COLTEC_STOP_TIMEOUT": "50s"},
  "postStartCommand": "coltecd start",
  "postAttachCommand": "coltecd start"
}
`

// ground is one host with its workspaces, and a bucket.
type ground struct {
	t      *testing.T
	root   string // of this repository
	dir    string
	server *s3test.Server
	env    []string
}

func newGround(t *testing.T) *ground {
	if os.Getenv("COLTEC_E2E_IMAGE") == "" {
		// make test runs all packages; .ci/run runs this one by its script.
		t.Skip("needs Docker and the dev container CLI: make e2e-devcontainer")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	g := &ground{t: t, root: root, dir: t.TempDir(), server: s3test.Start(t)}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	g.write("key.txt", id.String()+"\n")
	toml := "root = true\n[providers.age]\ntype = \"age\"\nrecipients = [\"" + id.Recipient().String() + "\"]\n[secrets]\n"
	for name, value := range map[string]string{
		"RCLONE_BUCKET": g.server.Bucket, "RCLONE_S3_ACCESS_KEY_ID": g.server.AccessKey,
		"RCLONE_S3_SECRET_ACCESS_KEY": g.server.SecretKey, "RCLONE_S3_ENDPOINT": g.server.Endpoint,
		"NOT_DECLARED": "not for the container",
	} {
		var b bytes.Buffer
		w, err := age.Encrypt(&b, id.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(w, value)
		w.Close()
		toml += fmt.Sprintf("%s = { provider = \"age\", value = %q }\n", name, base64.StdEncoding.EncodeToString(b.Bytes()))
	}
	g.write("fnox.toml", toml)
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "RCLONE_") && !strings.HasPrefix(kv, "COLTEC_") {
			g.env = append(g.env, kv)
		}
	}
	g.env = append(g.env, "FNOX_AGE_KEY_FILE="+g.dir+"/key.txt")
	return g
}

func (g *ground) write(name, text string) {
	g.t.Helper()
	path := filepath.Join(g.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		g.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		g.t.Fatal(err)
	}
}

// make makes a workspace in a folder of its own, and ends its container with
// the test.
func (g *ground) make(folder, env string) string {
	g.t.Helper()
	g.write(folder+"/.devcontainer/workspace-spec.yaml", fmt.Sprintf(specText, env))
	g.write(folder+"/.devcontainer/devcontainer.json", fmt.Sprintf(configText, env, os.Getenv("COLTEC_E2E_IMAGE")))
	dir := g.own(folder)
	if out, err := exec.Command("chown", "-R", "1000:1000", dir).CombinedOutput(); err != nil {
		g.t.Fatalf("%v: %s", err, out)
	}
	return dir
}

// own names a folder, and ends its container with the test.
func (g *ground) own(folder string) string {
	g.t.Helper()
	dir := filepath.Join(g.dir, folder)
	g.t.Cleanup(func() {
		ids, _ := exec.Command("docker", "ps", "-aq", "--filter", "label=devcontainer.local_folder="+dir).Output()
		for _, id := range strings.Fields(string(ids)) {
			_ = exec.Command("docker", "rm", "-f", id).Run()
		}
	})
	return dir
}

func (g *ground) run(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env, cmd.Dir = g.env, g.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// must runs coltec, which must do its work.
func (g *ground) must(args ...string) string {
	g.t.Helper()
	out, err := g.run(g.root+"/bin/coltec", args...)
	if err != nil {
		g.t.Fatalf("coltec %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (g *ground) up(dir string) (string, error) {
	return g.run(g.root+"/scripts/dc-up.sh", "--workspace-folder", dir)
}

func (g *ground) sh(dir, script string) string {
	g.t.Helper()
	return g.must("exec", dir, "--", "sh", "-c", script)
}

func (g *ground) status(dir string) status.Document {
	g.t.Helper()
	out, _ := g.run(g.root+"/bin/coltec", "status", dir, "--json") // exit 1: needs attention
	var doc status.Document
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		g.t.Fatalf("%v: %s", err, out)
	}
	return doc
}

func (g *ground) container(dir string) string {
	g.t.Helper()
	out, err := g.run("docker", "ps", "-aq", "--filter", "label=devcontainer.local_folder="+dir)
	if ids := strings.Fields(out); err != nil || len(ids) != 1 {
		g.t.Fatalf("containers of %s: %q, %v", dir, out, err)
	}
	return strings.TrimSpace(out)
}

func (g *ground) head(env string) store.Head {
	var h store.Head
	b, err := os.ReadFile(filepath.Join(g.server.Dir, g.server.Bucket, store.HeadKey("acme/widget/"+env)))
	if err == nil {
		err = json.Unmarshal(b, &h)
	}
	if err != nil {
		g.t.Errorf("head of %s: %v", env, err)
	}
	return h
}

// eventually waits until ok says yes.
func (g *ground) eventually(what string, ok func() bool) {
	g.t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			g.t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// Five workspaces at once with their secrets from an age-encrypted fnox.toml; no
// value of a secret anywhere it can be seen; a hop to another folder.
func TestFiveAtOnceAndHop(t *testing.T) {
	g := newGround(t)
	envs := []string{"dev-a", "dev-b", "dev-c", "dev-d", "dev-e"}
	dirs := map[string]string{}
	for _, env := range envs {
		dirs[env] = g.make("widget "+env, env) // a space in it
	}
	began := time.Now()
	var wg sync.WaitGroup
	for _, env := range envs {
		wg.Go(func() {
			if out, err := g.up(dirs[env]); err != nil {
				t.Errorf("%s: %v\n%s", env, err, out)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	t.Logf("five up in %.1f s", time.Since(began).Seconds())
	for _, env := range envs {
		g.sh(dirs[env], "cd /workspace; mkdir -p empty src; echo of "+env+" > src/main; chmod 755 src/main; ln -s main src/link")
		saved := time.Now()
		g.sh(dirs[env], "coltecd sync")
		t.Logf("%s: in the bucket after %.1f s", env, time.Since(saved).Seconds())
		if h := g.head(env); h.Replicas["workspace"].Files != 2 {
			t.Errorf("%s: head has %+v", env, h.Replicas)
		}
		if doc := g.status(dirs[env]); doc.State != status.Running || doc.Lease.State != status.LeaseHeld {
			t.Errorf("%s is not healthy: %+v", env, doc)
		}
	}
	entries, err := os.ReadDir(filepath.Join(g.server.Dir, g.server.Bucket, "workspaces/acme/widget"))
	if err != nil || len(entries) != len(envs) {
		t.Errorf("prefixes: %v, %v", entries, err)
	}
	g.noSecrets(dirs["dev-a"])

	// The hop: down here, up in a fresh folder of another machine.
	began = time.Now()
	g.must("down", dirs["dev-a"])
	if h := g.head("dev-a"); h.State != store.Released {
		t.Errorf("after down the lease is %s", h.State)
	}
	other := g.make("machine b/dev-a", "dev-a")
	if out, err := g.up(other); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("hop in %.1f s", time.Since(began).Seconds())
	got := g.sh(other, "cd /workspace; cat src/main; stat -c %a src/main; readlink src/link; ls -d empty; ls -A .coltec/conflicts 2>/dev/null | wc -l")
	if want := "of dev-a\n755\nmain\nempty\n0\n"; got != want {
		t.Errorf("on the other machine: %q, want %q", got, want)
	}
}

// noSecrets looks everywhere a value could be seen.
func (g *ground) noSecrets(dir string) {
	g.t.Helper()
	id := g.container(dir)
	places := map[string][]string{
		"inspect":   {"docker", "inspect", id},
		"env":       {"docker", "exec", id, "env"},
		"logs":      {"docker", "logs", id},
		"processes": {"docker", "exec", id, "sh", "-c", "cat /proc/[0-9]*/cmdline"},
		"environ":   {"docker", "exec", "-u", "vscode", id, "sh", "-c", "cat /proc/[0-9]*/environ 2>/dev/null; true"},
		"files":     {"sh", "-c", "cat \"$1\"/.devcontainer/logs/* ", "sh", dir},
		"status":    {g.root + "/bin/coltec", "status", dir, "--json"},
		"bucket":    {"sh", "-c", "find \"$1\" -type f -exec cat {} +", "sh", filepath.Join(g.server.Dir, g.server.Bucket, ".coltec")},
	}
	for name, argv := range places {
		out, err := g.run(argv[0], argv[1:]...)
		if err != nil || out == "" && name != "logs" {
			g.t.Errorf("%s: %v: %s", name, err, out)
		}
		for _, value := range []string{g.server.SecretKey, g.server.AccessKey, "not for the container"} {
			if strings.Contains(out, value) {
				g.t.Errorf("%s shows a secret", name)
			}
		}
	}
	// The look at environ can fail: coltecd's is there, and is closed.
	out := g.sh(dir, "for p in /proc/[0-9]*; do case $(cat $p/comm) in coltecd|exe|rclone) cat $p/environ >/dev/null 2>&1 && echo open || echo closed;; esac; done")
	if !strings.Contains(out, "closed") || strings.Contains(out, "open") {
		g.t.Errorf("environments of coltecd and rclone: %q", out)
	}
}

// docker restart runs no hook and brings no secrets: coltecd runs again and says
// what is blocked, and the next up pushes what was edited meanwhile. docker stop
// right after a save loses nothing.
func TestRestartAndStop(t *testing.T) {
	g := newGround(t)
	dir := g.make("w", "dev-r")
	if out, err := g.up(dir); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	id := g.container(dir)
	if out, err := g.run("docker", "restart", id); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	g.eventually("coltecd runs again, blocked by name", func() bool {
		doc := g.status(dir)
		return doc.State == status.Degraded && len(doc.Replicas) == 1 &&
			doc.Replicas[0].State == status.ReplicaBlocked && strings.Contains(doc.Replicas[0].LastError, "RCLONE_BUCKET")
	})
	g.sh(dir, "echo meanwhile > /workspace/note")
	if out, err := g.up(dir); err != nil {
		t.Fatalf("the next up: %v\n%s", err, out)
	}
	g.sh(dir, "coltecd sync; echo last > /workspace/last")
	if out, err := g.run("docker", "stop", id); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if h := g.head("dev-r"); h.State != store.Released || h.Replicas["workspace"].Files != 2 {
		t.Errorf("after docker stop: %s, %+v", h.State, h.Replicas)
	}
}

// Without its secrets nothing starts, and the error names them.
func TestMissingSecrets(t *testing.T) {
	g := newGround(t)
	dir := g.make("w", "dev-m")
	g.write("fnox.toml", "root = true\n")
	out, err := g.up(dir)
	if err == nil || !strings.Contains(out, "RCLONE_BUCKET") || !strings.Contains(out, "looked in the environment, fnox.toml") {
		t.Errorf("%v: %s", err, out)
	}
}

// A second machine is refused with the name of the first, takes over when asked
// to, and fences it. Two ups at once make one container.
func TestTwoMachines(t *testing.T) {
	g := newGround(t)
	a, b := g.make("a", "dev-t"), g.make("machine b/b", "dev-t")
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if out, err := g.run(g.root+"/bin/coltec", "up", a, "--remote-env", "COLTEC_HOST=machine-a"); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	wg.Wait()
	g.container(a) // is one
	g.sh(a, "echo of a > /workspace/note; coltecd sync")
	out, err := g.run(g.root+"/bin/coltec", "up", b, "--remote-env", "COLTEC_HOST=machine-b")
	if err == nil || !strings.Contains(out, "machine-a holds this workspace") {
		t.Fatalf("while a is up: %v\n%s", err, out)
	}
	g.must("exec", b, "--", "coltecd", "takeover")
	g.eventually("b has what a saved", func() bool {
		got, err := g.run(g.root+"/bin/coltec", "exec", b, "--", "cat", "/workspace/note")
		return err == nil && got == "of a\n"
	})
	g.eventually("a is no holder any more", func() bool {
		state := g.status(a).Lease.State
		return state == status.LeaseFenced || state == status.LeaseWaiting
	})
	if h := g.head("dev-t"); h.Holder.Host != "machine-b" {
		t.Errorf("held by %s", h.Holder.Host)
	}
}

// What coltec new makes comes up as it is, and what is saved in it is there in
// the same workspace made on another machine.
func TestNewWorkspace(t *testing.T) {
	g := newGround(t)
	made := func(folder string) string {
		dir := g.own(folder)
		g.must("new", dir, "--data", "org=acme", "--data", "project=widget", "--data", "env=dev-n", "--data", "project_type=go",
			"--data", "image="+os.Getenv("COLTEC_E2E_IMAGE"), "--data", "user=vscode", "--data", "run_args=--network=host")
		if out, err := exec.Command("chown", "-R", "1000:1000", dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return dir
	}
	a := made("machine a/w")
	g.must("up", a)
	g.sh(a, "echo of a > /workspace/note; echo for agents > /workspace/agent-context/memo; coltecd sync")
	g.must("down", a)
	b := made("machine b/w")
	g.must("up", b)
	if got := g.sh(b, "cat /workspace/note /workspace/agent-context/memo"); got != "of a\nfor agents\n" {
		t.Errorf("on the other machine: %q", got)
	}
	if got := g.sh(b, "coltecd conflicts"); strings.Contains(got, "devcontainer") {
		t.Errorf("a workspace made anew conflicts with itself: %s", got)
	}
}

// With wrong credentials, or disabled, the container works; up says what is wrong
// by its exit code.
func TestWrongAndDisabled(t *testing.T) {
	g := newGround(t)
	dir := g.make("w", "dev-w")
	out, err := g.run(g.root+"/bin/coltec", "up", dir, "--timeout", "1s", "--remote-env", "RCLONE_S3_SECRET_ACCESS_KEY=quite-wrong-value")
	if err == nil || strings.Contains(out, "quite-wrong-value") {
		t.Errorf("wrong credentials: %v\n%s", err, out)
	}
	if got := g.sh(dir, "echo works"); got != "works\n" {
		t.Errorf("the container: %q", got)
	}
	if out, err := g.up(dir); err != nil { // the right ones, to the running one
		t.Errorf("%v\n%s", err, out)
	}
	off := g.make("off", "dev-off")
	out, err = g.run(g.root+"/bin/coltec", "up", off, "--remote-env", "COLTEC_DISABLED=true")
	if err != nil || !strings.Contains(out, "dev-off: disabled") {
		t.Errorf("disabled: %v\n%s", err, out)
	}
}

// A home volume of another uid made the dev container CLI skip every hook, and a
// failing hook made it skip the rest: coltecd runs all the same. After a docker
// kill the next start goes on, and what was saved is pushed.
func TestAwkwardContainers(t *testing.T) {
	g := newGround(t)
	dir := g.make("w", "dev-x")
	config := filepath.Join(dir, ".devcontainer/devcontainer.json")
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(g.dir, "home")
	if err := os.Mkdir(home, 0o755); err != nil { // root's
		t.Fatal(err)
	}
	text := strings.Replace(string(b), `"--network=host",`, `"--network=host", "--volume=`+home+`:/home/vscode",`, 1)
	text = strings.Replace(text, `"postStartCommand": "coltecd start"`, `"postStartCommand": "exit 7"`, 1)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := g.up(dir); err == nil || !strings.Contains(out, "dev-x: running") {
		t.Fatalf("a failing hook: %v\n%s", err, out)
	}
	g.sh(dir, "echo kept > /workspace/note; coltecd sync; echo later > /workspace/later")
	id := g.container(dir)
	if out, err := g.run("docker", "kill", id); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, _ := g.up(dir) // the hook fails again
	if !strings.Contains(out, "dev-x: ") {
		t.Fatalf("after docker kill:\n%s", out)
	}
	g.eventually("what was saved before the kill is in the bucket", func() bool {
		_, err := g.run(g.root+"/bin/coltec", "exec", dir, "--", "coltecd", "sync")
		return err == nil && g.head("dev-x").Replicas["workspace"].Files == 2
	})
}
