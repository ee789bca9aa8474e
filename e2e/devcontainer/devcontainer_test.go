package devcontainer

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// docker stop right after a save loses nothing, with Docker's own grace of 10 s
// too. docker kill takes what was saved in the last moment out of the bucket
// only: the next start says so, and pushes it.
func TestStopAndKill(t *testing.T) {
	g := newGround(t)
	dir := g.make("w", "dev-r", ` "--stop-timeout=60",`, ` "--stop-timeout=10",`, `, "COLTEC_STOP_TIMEOUT": "50s"`, "")
	if out, err := g.up(dir); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	id := g.container(dir)
	g.followersEnd(dir, id)
	g.sh(dir, "echo last > /workspace/last")
	began := time.Now()
	if out, err := g.run("docker", "stop", id); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("docker stop took %.1f s", time.Since(began).Seconds())
	if h := g.head("dev-r"); h.State != store.Released || g.stored("dev-r", "workspace")["last"] != "last\n" {
		t.Errorf("after docker stop: %s, %+v", h.State, h.Replicas)
	}

	if out, err := g.up(dir); err != nil {
		t.Fatalf("%v\n%s", err, out)
	} else if strings.Contains(out, "was killed") {
		t.Errorf("a stop in order is told as a kill:\n%s", out)
	}
	g.sh(dir, "echo kept > /workspace/kept")
	g.eventually("a save is in the bucket", func() bool { return g.stored("dev-r", "workspace")["kept"] == "kept\n" })
	g.sh(dir, "echo late > /workspace/late")
	if out, err := g.run("docker", "kill", id); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := g.stored("dev-r", "workspace"); got["kept"] != "kept\n" || got["last"] != "last\n" {
		t.Errorf("after docker kill the bucket has %v", got)
	}
	out, err := g.up(dir)
	if err != nil || !strings.Contains(out, "the last coltecd here was killed") {
		t.Errorf("after docker kill: %v\n%s", err, out)
	}
	g.eventually("what was saved in the last moment is in the bucket", func() bool {
		return g.stored("dev-r", "workspace")["late"] == "late\n"
	})
	g.eventually("status counts it", func() bool {
		return strings.Contains(strings.Join(g.status(dir).Attention, "\n"), "1 change that it had not pushed is in the bucket now")
	})
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
	if err == nil || !strings.Contains(out, "machine-a has held the lease since") {
		t.Fatalf("while a is up: %v\n%s", err, out)
	}
	// What is edited there meanwhile is not in the bucket after a down, which says so.
	g.sh(b, "echo of b > /workspace/mine")
	var ended *exec.ExitError
	out, err = g.run(g.root+"/bin/coltec", "down", b)
	if !errors.As(err, &ended) || ended.ExitCode() != cmdline.CodeOnlyHere || !strings.Contains(out, "the changes named above exist only in "+b) || !strings.Contains(out, `"mine"`) {
		t.Errorf("down while a holds it: %v\n%s", err, out)
	}
	if running, err := g.run("docker", "ps", "-q", "--filter", "label=devcontainer.local_folder="+b); err != nil || running != "" {
		t.Errorf("the container is still running: %q, %v", running, err)
	}
	if out, err := g.run(g.root+"/bin/coltec", "up", b, "--remote-env", "COLTEC_HOST=machine-b"); err == nil {
		t.Errorf("while a is up: %s", out)
	}
	g.must("exec", b, "--", "coltecd", "takeover")
	g.eventually("b has what a saved", func() bool {
		got, err := g.run(g.root+"/bin/coltec", "exec", b, "--", "cat", "/workspace/note")
		return err == nil && got == "of a\n"
	})
	g.eventually("what b had edited is in the bucket", func() bool { return g.stored("dev-t", "workspace")["mine"] == "of b\n" })
	g.eventually("a is no holder any more", func() bool {
		state := g.status(a).Lease.State
		return state == status.LeaseFenced || state == status.LeaseWaiting
	})
	if h := g.head("dev-t"); h.Holder.Host != "machine-b" {
		t.Errorf("held by %s", h.Holder.Host)
	}
}

// Without credentials and with wrong ones the container works, status says exactly
// what is missing, and up says by its exit code that all is not well. Once the right
// ones are there, what was edited meanwhile is pushed. Disabled is as somebody
// wanted it.
func TestCredentials(t *testing.T) {
	g := newGround(t)
	dir := g.make("w", "dev-w")
	works := func(file string) {
		t.Helper()
		if got := g.sh(dir, "echo works > /workspace/"+file+"; cat /workspace/"+file); got != "works\n" {
			t.Errorf("the container: %q", got)
		}
	}
	says := func(words ...string) {
		t.Helper()
		g.eventually("status says "+strings.Join(words, ", "), func() bool {
			out, err := g.run(g.root+"/bin/coltec", "status", dir)
			return err != nil && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(out, w) })
		})
	}

	// None: up starts nothing and names them; the CLI by itself starts a container.
	fnox, err := os.ReadFile(filepath.Join(g.dir, "fnox.toml"))
	if err != nil {
		t.Fatal(err)
	}
	g.write("fnox.toml", "root = true\n")
	out, err := g.up(dir)
	if err == nil || !strings.Contains(out, "RCLONE_BUCKET") || !strings.Contains(out, "looked in the environment, fnox.toml") {
		t.Errorf("no credentials: %v\n%s", err, out)
	}
	if out, err := g.run("devcontainer", "up", "--workspace-folder", dir); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	works("none")
	says("RCLONE_BUCKET is not set", "RCLONE_S3_ACCESS_KEY_ID is not set", "RCLONE_S3_SECRET_ACCESS_KEY is not set", "RCLONE_S3_ENDPOINT is not set", "blocked")
	g.write("fnox.toml", string(fnox))

	out, err = g.run(g.root+"/bin/coltec", "up", dir, "--timeout", "1s", "--remote-env", "RCLONE_S3_SECRET_ACCESS_KEY=quite-wrong-value")
	if err == nil || strings.Contains(out, "quite-wrong-value") {
		t.Errorf("wrong credentials: %v\n%s", err, out)
	}
	works("wrong")
	says("blocked", "SignatureDoesNotMatch")

	// The right ones, to the running one, by a proxy that can hold a request.
	proxy := g.server.Proxy(t)
	if out, err := g.run(g.root+"/bin/coltec", "up", dir, "--remote-env", "RCLONE_S3_ENDPOINT="+proxy.Endpoint); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	g.eventually("what was edited meanwhile is in the bucket", func() bool {
		return contains(g.stored("dev-w", "workspace"), map[string]string{"none": "works\n", "wrong": "works\n"})
	})
	g.eventually("status is well again", func() bool { return g.status(dir).State == status.Running })

	arrived, looked := make(chan struct{}), make(chan struct{})
	var once sync.Once
	proxy.Inject(s3test.Fault{Kind: s3test.Put, Before: func(s3test.Request) {
		once.Do(func() { close(arrived) })
		<-looked
	}})
	g.sh(dir, "echo while it is sent > /workspace/sent")
	select {
	case <-arrived:
		g.closed(dir)
		g.noSecrets(dir)
	case <-time.After(patience):
		t.Error("nothing is sent")
	}
	close(looked)
	g.eventually("it is sent", func() bool { return g.stored("dev-w", "workspace")["sent"] == "while it is sent\n" })

	g.must("down", dir)
	g.edit(dir, `"COLTEC_STOP_TIMEOUT": "50s"`, `"COLTEC_STOP_TIMEOUT": "50s", "COLTEC_DISABLED": "true"`)
	out, err = g.run(g.root+"/bin/coltec", "up", dir, "--", "--remove-existing-container")
	if err != nil || !strings.Contains(out, "dev-w: disabled") {
		t.Errorf("disabled: %v\n%s", err, out)
	}
	works("disabled")
	says("disabled", "disabled by COLTEC_DISABLED")
	if h := g.head("dev-w"); h.State != store.Released {
		t.Errorf("while it is disabled the lease is %s", h.State)
	}
}

// A home volume of another uid made the dev container CLI skip every hook, and a
// failing hook made it skip the rest: coltecd runs all the same, and up says what
// failed.
func TestAwkwardContainers(t *testing.T) {
	g := newGround(t)
	home := filepath.Join(g.dir, "home")
	if err := os.Mkdir(home, 0o755); err != nil { // root's
		t.Fatal(err)
	}
	dir := g.make("w", "dev-x",
		`"--network=host",`, `"--network=host", "--volume=`+home+`:/home/vscode",`,
		`"postStartCommand": "coltecd start"`, `"postStartCommand": "exit 7"`)
	out, err := g.up(dir)
	if err == nil || !strings.Contains(out, "dev-x: running") || !strings.Contains(out, "postStartCommand") {
		t.Fatalf("a failing hook: %v\n%s", err, out)
	}
	g.sh(dir, "echo kept > /workspace/note")
	g.eventually("a save is in the bucket", func() bool { return g.stored("dev-x", "workspace")["note"] == "kept\n" })
}

// The spec says /workspace, and nothing says so to the dev container CLI, which mounts the
// folder at /workspaces/NAME: an empty /workspace was made in the container's layer,
// called synced, and nothing of the project was ever saved.
func TestProjectMountedElsewhere(t *testing.T) {
	g := newGround(t)
	dir := g.make("w", "dev-m",
		`"workspaceFolder": "/workspace",`, "",
		`"workspaceMount": "source=${localWorkspaceFolder},target=/workspace,type=bind",`, "",
		`"remoteUser": "vscode"`, `"remoteUser": "root"`)
	if out, err := g.run(g.root+"/bin/coltec", "check", dir); err == nil || !strings.Contains(out, "the folder is at /workspaces/w in the container") {
		t.Errorf("check: %v\n%s", err, out)
	}
	out, err := g.up(dir)
	if err == nil || !strings.Contains(out, `"/workspace" is not there, and the workspace's own folder is "/workspaces/w"`) || !strings.Contains(out, "workspace blocked") {
		t.Errorf("up: %v\n%s", err, out)
	}
	g.sh(dir, "[ ! -e /workspace ]")
	g.edit(dir, `"runArgs"`, `"workspaceFolder": "/workspace", "workspaceMount": "source=${localWorkspaceFolder},target=/workspace,type=bind", "runArgs"`)
	out, err = g.run(g.root+"/bin/coltec", "up", dir, "--", "--remove-existing-container")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	g.sh(dir, "echo kept > /workspace/note")
	g.eventually("a save is in the bucket", func() bool { return g.stored("dev-m", "workspace")["note"] == "kept\n" })
}
