package devcontainer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/porttest"
	"github.com/coltec/coltec/pkg/store"
)

// remote is a host whose Docker is on another machine: a dockerd of its own behind a real
// sshd, by DOCKER_HOST=ssh://. What is in the folder here is not there.
func (g *ground) remote(env string) (host, string) {
	g.t.Helper()
	dir := g.make("with-remote/w", env)
	dockerd := g.dockerd()
	vars := g.sshTo("DOCKER_HOST=" + dockerd)
	g.t.Cleanup(func() {
		for _, id := range strings.Fields(g.there(dockerd, "ps", "-aq")) {
			g.there(dockerd, "rm", "-f", "-v", id)
		}
		for _, name := range strings.Fields(g.there(dockerd, "volume", "ls", "-q")) {
			g.there(dockerd, "volume", "rm", name)
		}
		for _, name := range strings.Fields(g.there(dockerd, "images", "--format", "{{.Repository}}")) {
			if strings.HasPrefix(name, "vsc-") {
				g.there(dockerd, "rmi", name)
			}
		}
	})
	return g.contained("remote", dir, vars...), dir
}

// there asks the dockerd of the other machine directly.
func (g *ground) there(dockerd string, args ...string) string {
	out, _ := g.run("docker", append([]string{"--host", dockerd}, args...)...)
	return out
}

// dockerd starts one beside the machine's own, with the base image, and gives its endpoint.
func (g *ground) dockerd() string {
	g.t.Helper()
	dir, err := os.MkdirTemp("", "coltec-dockerd-") // short: a socket's path is
	if err != nil {
		g.t.Fatal(err)
	}
	endpoint := "unix://" + dir + "/docker.sock"
	// A bridge of its own: with --bridge=none it would remove that of the machine's dockerd.
	const bridge = "coltec-e2e"
	if out, err := g.run("sh", "-c", "ip link show "+bridge+" >/dev/null 2>&1 || ip link add "+bridge+" type bridge && ip addr replace 172.31.77.1/24 dev "+bridge); err != nil {
		g.t.Fatalf("%v: %s", err, out)
	}
	g.t.Cleanup(func() { _, _ = g.run("ip", "link", "delete", bridge) })
	cmd := exec.Command("dockerd", "--host", endpoint, "--data-root", g.cache("dockerd"), "--exec-root", dir+"/exec", "--pidfile", dir+"/pid",
		"--bridge", bridge, "--iptables=false", "--ip6tables=false", "--ip-masq=false")
	log, err := os.Create(filepath.Join(g.dir, "dockerd.log"))
	if err != nil {
		g.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		log.Close()
		_ = os.RemoveAll(dir)
	})
	g.eventually("the other dockerd answers", func() bool {
		_, err := g.run("docker", "--host", endpoint, "info")
		return err == nil
	})
	image := os.Getenv("COLTEC_E2E_IMAGE")
	if _, err := g.run("docker", "--host", endpoint, "image", "inspect", image); err != nil {
		if out, err := g.run("sh", "-c", `docker save "$1" | docker --host "$2" load`, "sh", image, endpoint); err != nil {
			g.t.Fatalf("%v: %s", err, out)
		}
	}
	return endpoint
}

// sshTo starts an sshd on loopback whose sessions have a variable, and gives the environment
// in which Docker's client goes there.
func (g *ground) sshTo(variable string) []string {
	g.t.Helper()
	address := porttest.Free(g.t)
	dir := filepath.Join(g.dir, "ssh")
	if out, err := g.run("sh", "-c", `mkdir -p "$1" /run/sshd && cd "$1" && ssh-keygen -q -t ed25519 -N "" -f host && ssh-keygen -q -t ed25519 -N "" -f user && cp user.pub authorized && chmod 600 authorized`, "sh", dir); err != nil {
		g.t.Fatalf("%v: %s", err, out)
	}
	g.write("ssh/sshd_config", fmt.Sprintf("ListenAddress %s\nHostKey %[2]s/host\nAuthorizedKeysFile %[2]s/authorized\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\nSetEnv %[3]s\n", address, dir, variable))
	g.write("ssh/config", fmt.Sprintf("Host *\n  IdentityFile %[1]s/user\n  IdentitiesOnly yes\n  UserKnownHostsFile %[1]s/known\n  StrictHostKeyChecking accept-new\n", dir))
	sshd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", dir+"/sshd_config")
	log, err := os.Create(dir + "/log")
	if err != nil {
		g.t.Fatal(err)
	}
	sshd.Stdout, sshd.Stderr = log, log
	if err := sshd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = sshd.Process.Kill(); _ = sshd.Wait(); log.Close() })
	real, err := exec.LookPath("ssh")
	if err != nil {
		g.t.Fatal(err)
	}
	g.write("ssh/bin/ssh", fmt.Sprintf("#!/bin/sh\nexec %s -F '%s/config' \"$@\"\n", real, dir))
	if err := os.Chmod(dir+"/bin/ssh", 0o755); err != nil {
		g.t.Fatal(err)
	}
	vars := []string{"DOCKER_HOST=ssh://root@" + address, "PATH=" + dir + "/bin:" + os.Getenv("PATH")}
	g.eventually("docker answers by ssh", func() bool {
		_, err := g.with(vars, "docker", "version")
		return err == nil
	})
	return vars
}

// A workspace goes once round all kinds of hosts: each is once where it was left, and once
// where it is found as it was.
func TestRingOfHosts(t *testing.T) {
	g := newGround(t)
	const env = "dev-h"
	hosts := g.hosts(env)
	if out, err := hosts[0].up(); err != nil {
		t.Fatalf("%s: %v\n%s", hosts[0].name, err, out)
	}
	for i, from := range hosts {
		to := hosts[(i+1)%len(hosts)]
		began := time.Now()
		g.hop(env, from, to, i)
		t.Logf("%s to %s: %.1f s", from.name, to.name, time.Since(began).Seconds())
	}
}

// hosts are one of each kind.
func (g *ground) hosts(env string) []host {
	template := g.contained("template", g.make("with-template/w", env))
	compose, _ := g.compose(env)
	remote, _ := g.remote(env)
	return []host{template, g.podman(env), compose, g.plain(env), g.ownContainer(env), remote}
}

// All ordered pairs of hosts: make soak-hosts.
func TestMatrixOfHosts(t *testing.T) {
	if os.Getenv("COLTEC_HOSTS") == "" {
		t.Skip("all pairs of hosts: make soak-hosts")
	}
	g := newGround(t)
	const env = "dev-i"
	hosts := g.hosts(env)
	if out, err := hosts[0].up(); err != nil {
		t.Fatalf("%s: %v\n%s", hosts[0].name, err, out)
	}
	left := map[[2]int]bool{}
	for i := range hosts {
		for j := range hosts {
			left[[2]int{i, j}] = i != j
		}
	}
	// next is where to go from a host: by a pair that is left, or to a host that has one.
	next := func(at int) int {
		for _, other := range []bool{false, true} {
			for to := range hosts {
				if !other && left[[2]int{at, to}] {
					return to
				}
				for end := range hosts {
					if other && to != at && left[[2]int{to, end}] {
						return to
					}
				}
			}
		}
		return at
	}
	at, turn := 0, 0
	for to := next(at); to != at; to = next(at) {
		g.hop(env, hosts[at], hosts[to], turn)
		t.Logf("%s to %s", hosts[at].name, hosts[to].name)
		left[[2]int{at, to}] = false
		at, turn = to, turn+1
	}
}

// docker-compose stop pushes what was saved last, though the service has a command of its
// own. coltec down stops the database beside it, too; ls shows the workspace, which has no
// label of ours.
func TestCompose(t *testing.T) {
	g := newGround(t)
	const env = "dev-c"
	h, dir := g.compose(env)
	if out, err := h.up(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := len(g.project(dir)); n != 2 {
		t.Fatalf("%d services run, want 2", n)
	}
	if out := g.must("ls", "--local"); !strings.Contains(out, "acme/widget/"+env) || !strings.Contains(out, "running") {
		t.Errorf("ls: %s", out)
	}
	g.sh(dir, "echo last > /workspace/last")
	files := []string{"-f", dir + "/.devcontainer/docker-compose.yml", "-p", g.composeProject(dir)}
	if out, err := g.run("docker-compose", append(files, "stop")...); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if h := g.head(env); h.State != store.Released || g.stored(env, "workspace")["last"] != "last\n" {
		t.Errorf("after docker-compose stop: %s, %+v", h.State, h.Replicas)
	}
	if out, err := h.up(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	g.must("down", dir)
	if left := g.project(dir); len(left) != 0 {
		t.Errorf("%d containers of the project run after down", len(left))
	}
}

// composeProject is the name of a folder's Compose project.
func (g *ground) composeProject(dir string) string {
	out, err := g.run("docker", "inspect", "--format", `{{index .Config.Labels "com.docker.compose.project"}}`, g.project(dir, "-a")[0])
	if err != nil {
		g.t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(out)
}

// Docker on another machine: what is in the folder here is not there, and up says what it
// does instead. Nothing of the folder is changed.
func TestRemoteDocker(t *testing.T) {
	g := newGround(t)
	h, dir := g.remote("dev-q")
	g.write("with-remote/w/only-here", "x")
	out, err := h.up()
	if err != nil || !strings.Contains(out, "the container is at ssh://root@127.0.0.1:") || !strings.Contains(out, "the volume coltec-workspace-acme-widget-dev-q-") {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := h.sh("ls -A /workspace; stat -c %U /workspace"); err != nil || strings.Contains(out, "only-here") || !strings.HasSuffix(out, "vscode\n") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := h.sh("echo there > /workspace/note && coltecd sync"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := os.Stat(dir + "/note"); !os.IsNotExist(err) {
		t.Errorf("what is saved there came into the folder here: %v", err)
	}
	if got := g.stored("dev-q", "workspace"); got["note"] != "there\n" {
		t.Errorf("the bucket has %v", got)
	}
	if out, err := h.down(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
