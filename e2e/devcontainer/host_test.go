package devcontainer

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/fleet"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// upWith brings a workspace up with variables beside its secrets.
func (g *ground) upWith(dir string, env ...string) (string, error) {
	args := []string{"up", dir}
	for _, kv := range env {
		args = append(args, "--remote-env", kv)
	}
	return g.run(g.root+"/bin/coltec", args...)
}

// deaf is an endpoint on loopback that drops packets: its queue of connections
// is full, and nobody takes one.
func deaf(t *testing.T) string {
	t.Helper()
	socket := func() int {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	fd := socket()
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_ = unix.Connect(socket(), at) // EINPROGRESS: it goes on by itself
	}
	return fmt.Sprintf("http://127.0.0.1:%d", at.(*unix.SockaddrInet4).Port)
}

// up once waited for all of its ten minutes for a bucket that cannot be reached.
// The container works meanwhile, and the next up with what is right goes on in the
// coltecd that runs; so does one after the keys were changed.
func TestOfflineAndRotation(t *testing.T) {
	g := newGround(t)
	dir := g.make("w", "dev-o")
	offline := func(endpoint, why string) {
		t.Helper()
		began := time.Now()
		out, err := g.upWith(dir, "RCLONE_S3_ENDPOINT="+endpoint)
		took := time.Since(began)
		t.Logf("up with %s: %.1f s\n%s", endpoint, took.Seconds(), out)
		if err == nil || took > 4*time.Minute {
			t.Errorf("%v after %s", err, took)
		}
		for _, want := range []string{"attention: the lease: s3:" + g.server.Bucket, "the store cannot be reached", why, "check the network and the remote's endpoint"} {
			if !strings.Contains(out, want) {
				t.Errorf("it does not say %q", want)
			}
		}
	}
	offline("http://127.0.0.1:9", "connection refused")
	pid := g.status(dir).PID
	online := func(what string, env ...string) {
		t.Helper()
		g.sh(dir, "echo "+what+" > /workspace/"+what)
		if out, err := g.upWith(dir, env...); err != nil {
			t.Fatalf("%s: %v\n%s", what, err, out)
		}
		g.sh(dir, "coltecd sync")
		if doc := g.status(dir); doc.State != status.Running || doc.PID != pid || doc.Replicas[0].Pending != 0 {
			t.Errorf("%s: pid %d was %d: %+v", what, doc.PID, pid, doc)
		}
	}
	online("offline")

	second, err := s3test.Serve(context.Background(), s3test.Options{Dir: g.server.Dir})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	online("rotated", "RCLONE_S3_ENDPOINT="+second.Endpoint, "RCLONE_S3_ACCESS_KEY_ID="+second.AccessKey, "RCLONE_S3_SECRET_ACCESS_KEY="+second.SecretKey)
	g.server.Close() // what the old keys opened is gone
	g.sh(dir, "echo after > /workspace/after; coltecd sync")
	if files := g.head("dev-o").Replicas["workspace"].Files; files != 3 {
		t.Errorf("the bucket has %d files, want 3", files)
	}
	g.noValue(dir, second.SecretKey)

	offline(deaf(t), "i/o timeout")
}

// noValue looks for a value where a second up could have left it.
func (g *ground) noValue(dir, value string) {
	g.t.Helper()
	for _, argv := range [][]string{
		{"docker", "inspect", g.container(dir)},
		{"docker", "exec", g.container(dir), "sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null; true"},
		{"sh", "-c", `cat "$1"/.devcontainer/logs/*`, "sh", dir},
		{g.root + "/bin/coltec", "status", dir, "--json"},
	} {
		if out, err := g.run(argv[0], argv[1:]...); err != nil || out == "" || strings.Contains(out, value) {
			g.t.Errorf("%s: %v, or it shows the secret", argv[0], err)
		}
	}
}

// counted puts a program before the real one that notes each of its runs.
func (g *ground) counted(name, real string) (dir string, runs func() int) {
	g.t.Helper()
	dir = g.t.TempDir()
	log := filepath.Join(dir, "runs")
	script := fmt.Sprintf("#!/bin/sh\necho >>'%s'\nexec '%s' \"$@\"\n", log, real)
	if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
		g.t.Fatal(err)
	}
	return dir, func() int {
		b, err := os.ReadFile(log)
		if err != nil && !os.IsNotExist(err) {
			g.t.Fatal(err)
		}
		_ = os.Remove(log)
		return strings.Count(string(b), "\n")
	}
}

// Fifty workspaces with a container here, fifty in the bucket: ls asks Docker twice
// and the bucket by two runs of rclone, however many there are, and does not wait
// for a bucket that says nothing. What is counted are processes: a busy machine
// takes its time for each.
func TestLsOfFifty(t *testing.T) {
	const n = 50
	g := newGround(t)
	docker, err := exec.LookPath("docker")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	t.Cleanup(func() { _ = exec.Command(docker, append([]string{"rm", "-f"}, ids...)...).Run() })
	doc, err := json.Marshal(status.Document{State: status.Stopped, Replicas: []status.Replica{{Name: "workspace", Pending: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		env := fmt.Sprintf("dev-%d", i)
		dir := filepath.Join(g.dir, "here", env)
		g.write("here/"+env+"/.devcontainer/workspace-spec.yaml", fmt.Sprintf(specText, env))
		g.write("here/"+env+"/.devcontainer/logs/status.json", string(doc))
		g.trust(dir)
		out, err := g.run("docker", "create", "--network=none", "--label=devcontainer.local_folder="+dir, "--label=coltec.org=acme",
			"--label=coltec.project=widget", "--label=coltec.env="+env, os.Getenv("COLTEC_E2E_IMAGE"), "true")
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		ids = append(ids, strings.TrimSpace(out))
		name := fmt.Sprintf("acme/widget/far-%d", i)
		head, err := json.Marshal(store.Head{Format: 1, Workspace: name, State: store.Held, TTL: 180, Holder: store.Holder{Host: "laptop", Since: time.Now()}})
		if err != nil {
			t.Fatal(err)
		}
		object := filepath.Join(g.server.Dir, g.server.Bucket, store.HeadKey(name))
		if err := os.MkdirAll(filepath.Dir(object), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(object, head, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	rclones, rcloneRuns := g.counted("rclone", g.root+"/bin/rclone")
	dockers, dockerRuns := g.counted("docker", docker)
	g.env = append(g.env, "COLTEC_RCLONE="+rclones+"/rclone", "PATH="+dockers+":"+os.Getenv("PATH"))
	ls := func(args ...string) (rows map[string]fleet.Row, took time.Duration) {
		t.Helper()
		cmd := exec.Command(g.root+"/bin/coltec", append([]string{"ls", "--json", filepath.Join(g.dir, "here/dev-0")}, args...)...)
		cmd.Env = g.env
		began := time.Now()
		out, err := cmd.Output()
		took = time.Since(began)
		var list []fleet.Row
		if err == nil {
			err = json.Unmarshal(out, &list)
		}
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		rows = map[string]fleet.Row{}
		for _, r := range list {
			if filepath.Dir(r.Folder) == filepath.Join(g.dir, "here") || r.Folder == "" {
				rows[r.Workspace] = r
			}
		}
		return rows, took
	}
	rows, took := ls("--wait", "30s")
	t.Logf("ls of %d here and %d in the bucket: %.2f s", n, n, took.Seconds())
	here, far := rows["acme/widget/dev-7"], rows["acme/widget/far-7"]
	if len(rows) != 2*n || here.State != fleet.Down || len(here.Attention) != 1 || far.State != fleet.Elsewhere || far.Where != "laptop" || far.Since == nil || far.LastSeen == nil {
		t.Errorf("%d rows: %+v, %+v", len(rows), here, far)
	}
	// rclone: its version, the listing, the heads.
	if r, d := rcloneRuns(), dockerRuns(); r != 3 || d != 2 {
		t.Errorf("rclone ran %d times and docker %d times", r, d)
	}
	g.env = append(g.env, "RCLONE_S3_ENDPOINT="+deaf(t))
	rows, took = ls()
	t.Logf("ls while the bucket drops packets: %.2f s", took.Seconds())
	if r := rcloneRuns(); len(rows) != n || r != 2 {
		t.Errorf("%d rows, and rclone ran %d times", len(rows), r)
	}
}

// doctor runs coltec doctor with variables beside the others.
func (g *ground) doctor(dir string, env ...string) (string, error) {
	cmd := exec.Command(g.root+"/bin/coltec", "doctor", dir)
	cmd.Env, cmd.Dir = append(g.env, env...), g.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// doctor on a host that has everything, and with a Docker that does not answer or
// not to this user.
func TestDoctor(t *testing.T) {
	g := newGround(t)
	dir := g.make("w", "dev-h")
	out, err := g.doctor(dir)
	if err != nil || strings.Count(out, "ok ") != 19 || strings.Contains(out, "skip") {
		t.Errorf("%v\n%s", err, out)
	}
	// As where root made the folder.
	if err := os.Chown(dir, 0, 0); err != nil {
		t.Fatal(err)
	}
	out, err = g.doctor(dir, g.podmanEnv()...)
	if err == nil || !strings.Contains(out, "ok    podman\n") || !strings.Contains(out, "FAIL  user of the container: the folder is root's, and the container's user is vscode") {
		t.Errorf("a folder of root's, with Podman: %v\n%s", err, out)
	}
	if err := os.Chown(dir, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	out, err = g.doctor(dir, "DOCKER_HOST=unix://"+g.dir+"/nobody.sock")
	if err == nil || !strings.Contains(out, "FAIL  docker: docker ps: ") || !strings.Contains(out, "fix: start it: systemctl start docker") {
		t.Errorf("without a daemon: %v\n%s", err, out)
	}
	l, err := net.Listen("unix", filepath.Join(g.dir, "root.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Chmod(filepath.Join(g.dir, "root.sock"), 0o600); err != nil {
		t.Fatal(err)
	}
	docker, err := exec.LookPath("docker")
	if err != nil {
		t.Fatal(err)
	}
	nobody := filepath.Join(t.TempDir(), "docker") // docker as a user who may not
	if err := os.WriteFile(nobody, []byte("#!/bin/sh\nexec setpriv --reuid=65534 --clear-groups '"+docker+"' \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for d := g.dir; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	out, err = g.doctor(dir, "PATH="+filepath.Dir(nobody)+":"+os.Getenv("PATH"), "DOCKER_HOST=unix://"+g.dir+"/root.sock")
	if err == nil || !strings.Contains(out, "FAIL  docker: ") || !strings.Contains(out, "fix: let this user speak with it: sudo usermod -aG docker") {
		t.Errorf("without the right: %v\n%s", err, out)
	}
}
