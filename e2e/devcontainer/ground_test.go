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
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/sys/unix"

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
	// The dev container CLI leaves the context of each build in its temporary files.
	if err := os.Mkdir(g.dir+"/tmp", 0o755); err != nil {
		t.Fatal(err)
	}
	g.env = append(g.env, "FNOX_AGE_KEY_FILE="+g.dir+"/key.txt", "TMPDIR="+g.dir+"/tmp", "XDG_STATE_HOME="+g.dir+"/state")
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
// the test. edits are old and new parts of its devcontainer.json, in pairs.
func (g *ground) make(folder, env string, edits ...string) string {
	g.t.Helper()
	g.write(folder+"/.devcontainer/workspace-spec.yaml", fmt.Sprintf(specText, env))
	g.write(folder+"/.devcontainer/devcontainer.json", fmt.Sprintf(configText, env, os.Getenv("COLTEC_E2E_IMAGE")))
	dir := g.own(folder)
	g.trust(dir)
	for i := 0; i < len(edits); i += 2 {
		g.edit(dir, edits[i], edits[i+1])
	}
	if out, err := exec.Command("chown", "-R", "1000:1000", dir).CombinedOutput(); err != nil {
		g.t.Fatalf("%v: %s", err, out)
	}
	return dir
}

// edit replaces a part of a workspace's devcontainer.json.
func (g *ground) edit(dir, old, text string) {
	g.t.Helper()
	path := filepath.Join(dir, ".devcontainer/devcontainer.json")
	b, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(b), old) {
		g.t.Fatalf("no %q in %s (%v): %s", old, path, err, b)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(b), old, text, 1)), 0o644); err != nil {
		g.t.Fatal(err)
	}
	g.trust(dir)
}

// trust agrees to what a workspace that was written by hand does on this host.
func (g *ground) trust(dir string) {
	g.t.Helper()
	if out, err := g.run(g.root+"/bin/coltec", "trust", dir); err != nil {
		g.t.Fatalf("%v: %s", err, out)
	}
}

// own names a folder, and removes its container and its images with the test.
func (g *ground) own(folder string) string {
	g.t.Helper()
	dir := filepath.Join(g.dir, folder)
	g.t.Cleanup(func() {
		ids, _ := exec.Command("docker", "ps", "-aq", "--filter", "label=devcontainer.local_folder="+dir).Output()
		for _, id := range strings.Fields(string(ids)) {
			image, _ := exec.Command("docker", "inspect", "--format", "{{.Config.Image}}", id).Output()
			_ = exec.Command("docker", "rm", "-f", "-v", id).Run()
			// The CLI makes two, the second with the user's uid.
			if made := strings.TrimSpace(string(image)); strings.HasPrefix(made, "vsc-") {
				_ = exec.Command("docker", "rmi", made).Run()
				_ = exec.Command("docker", "rmi", strings.TrimSuffix(made, "-uid")).Run()
			}
		}
	})
	return dir
}

// lend gives the base image another name until the test ends, and leaves an
// image that has that name as it was.
func (g *ground) lend(name string) {
	g.t.Helper()
	base := os.Getenv("COLTEC_E2E_IMAGE")
	had, err := g.run("docker", "image", "inspect", "--format", "{{.Id}}", name)
	if own, _ := g.run("docker", "image", "inspect", "--format", "{{.Id}}", base); err == nil && had == own {
		return
	}
	if out, err := g.run("docker", "tag", base, name); err != nil {
		g.t.Fatalf("%v: %s", err, out)
	}
	g.t.Cleanup(func() {
		if err == nil {
			_ = exec.Command("docker", "tag", strings.TrimSpace(had), name).Run()
		} else {
			_ = exec.Command("docker", "rmi", name).Run()
		}
	})
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
	g.t.Helper()
	var h store.Head
	g.eventually("the head of "+env+" is there", func() (ok bool) {
		h, ok = g.headNow(env)
		return ok
	})
	return h
}

// headNow is the head, unless it is being replaced just now: the server on loopback
// has neither the old one nor the new one for a moment.
func (g *ground) headNow(env string) (h store.Head, ok bool) {
	b, err := os.ReadFile(g.headFile(env))
	return h, err == nil && json.Unmarshal(b, &h) == nil
}

func (g *ground) headFile(env string) string {
	return filepath.Join(g.bucket(), store.HeadKey("acme/widget/"+env))
}

// headCame is when the head of env came to the bucket.
func (g *ground) headCame(env string) time.Time {
	g.t.Helper()
	var stat unix.Stat_t
	g.eventually("the head of "+env+" is there", func() bool { return unix.Stat(g.headFile(env), &stat) == nil })
	return time.Unix(stat.Ctim.Unix())
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

// noSecrets looks everywhere a value could be seen.
func (g *ground) noSecrets(dir string) {
	g.t.Helper()
	id := g.container(dir)
	places := map[string][]string{
		"inspect":   {"docker", "inspect", id},
		"env":       {"docker", "exec", id, "env"},
		"logs":      {"docker", "logs", id},
		"processes": {"docker", "exec", id, "sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null; true"},
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
}

// closed sees that no process of the same user can read the environment, nor the
// memory, of coltecd and its rclone, while an rclone runs that has a secret in it.
func (g *ground) closed(dir string) {
	g.t.Helper()
	out, err := g.run("docker", "exec", "-u", "vscode", g.container(dir), "sh", "-c", `
		for p in /proc/[0-9]*; do
			case $(cat $p/comm) in
			exe|coltecd|rclone) for part in environ mem maps; do
				if head -c 1 $p/$part >/dev/null 2>&1; then echo "open $(cat $p/comm) $part"; else echo "closed $(cat $p/comm) $part"; fi
			done ;;
			esac
		done; stat -c '%a %U %n' /usr/local/lib/coltec/*`)
	if err != nil {
		g.t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"closed rclone environ", "closed exe environ", // coltecd, which runs /proc/self/exe
		"711 root /usr/local/lib/coltec/coltecd", "711 root /usr/local/lib/coltec/rclone"} {
		if !strings.Contains(out, want+"\n") {
			g.t.Errorf("no %q in %q", want, out)
		}
	}
	if strings.Contains(out, "open ") {
		g.t.Errorf("another process of the user can look into coltecd or rclone: %q", out)
	}
	// It is there: the host's root sees it.
	pids, err := g.run("docker", "top", g.container(dir), "-eo", "pid,comm")
	if err != nil {
		g.t.Fatalf("%v: %s", err, pids)
	}
	has := false
	for line := range strings.Lines(pids) {
		if f := strings.Fields(line); len(f) == 2 && f[1] == "rclone" {
			b, _ := os.ReadFile("/proc/" + f[0] + "/environ")
			has = has || strings.Contains(string(b), g.server.SecretKey)
		}
	}
	if !has {
		g.t.Errorf("no rclone with the secret runs: %s", pids)
	}
}
