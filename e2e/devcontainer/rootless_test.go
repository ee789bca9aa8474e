package devcontainer

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// ordinary is the user of this machine who has a Podman and a dockerd without root; the script
// makes it.
const ordinary = "coltec-e2e"

// unprivileged is what an ordinary user of this machine has for a test.
type unprivileged struct {
	g    *ground
	dir  string
	home string
	vars []string
}

// ordinary makes the folders and programs of a user who is not root, below a folder of the test.
func (g *ground) ordinary(name string, vars ...string) *unprivileged {
	g.t.Helper()
	u, err := user.Lookup(ordinary)
	if err != nil {
		g.t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(g.dir), 0o755); err != nil { // it was made for us alone
		g.t.Fatal(err)
	}
	p := &unprivileged{g: g, dir: filepath.Join(g.dir, name), home: u.HomeDir}
	for _, dir := range []string{"bin", "run", "tmp", "state"} {
		if err := os.MkdirAll(filepath.Join(p.dir, dir), 0o755); err != nil {
			g.t.Fatal(err)
		}
	}
	p.vars = append([]string{
		"HOME=" + p.home, "USER=" + ordinary,
		"XDG_RUNTIME_DIR=" + p.dir + "/run", "XDG_STATE_HOME=" + p.dir + "/state", "TMPDIR=" + p.dir + "/tmp",
	}, vars...)
	return p
}

// argv is a command line of root's that runs a program as that user.
func (p *unprivileged) argv(name string, args ...string) []string {
	return slices.Concat([]string{"runuser", "-u", ordinary, "--", "env"}, p.vars, []string{name}, args)
}

func (p *unprivileged) as(name string, args ...string) (string, error) {
	argv := p.argv(name, args...)
	return p.g.run(argv[0], argv[1:]...)
}

// own gives all below its folder to the user, with our programs.
func (p *unprivileged) own() {
	p.g.t.Helper()
	for _, script := range []string{
		`install -m 755 "$1/bin/coltec" "$1/bin/coltecd" "$1/bin/rclone" "$2/bin/"`,
		`chown -R "$3:" "$2" && chmod 700 "$2/run"`,
	} {
		if out, err := exec.Command("sh", "-c", script, "sh", p.g.root, p.dir, ordinary).CombinedOutput(); err != nil {
			p.g.t.Fatalf("%v: %s", err, out)
		}
	}
}

// load gives the base image to a client of that user.
func (p *unprivileged) load(client string) {
	p.g.t.Helper()
	tar := p.dir + "/image.tar"
	if out, err := p.g.run("docker", "save", "-o", tar, os.Getenv("COLTEC_E2E_IMAGE")); err != nil {
		p.g.t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(tar, 0o644); err != nil {
		p.g.t.Fatal(err)
	}
	if out, err := p.as(client, "load", "-i", tar); err != nil {
		p.g.t.Fatalf("%v: %s", err, out)
	}
}

// host is a host with a workspace of that user.
func (p *unprivileged) host(name, dir string) host {
	p.g.t.Helper()
	if out, err := p.coltec("trust", dir); err != nil {
		p.g.t.Fatalf("%v: %s", err, out)
	}
	return host{
		name: name, at: "/workspace",
		up:   func() (string, error) { return p.coltec("up", dir) },
		sh:   func(script string) (string, error) { return p.coltec("exec", dir, "--", "sh", "-c", script) },
		down: func() (string, error) { return p.coltec("down", dir) },
	}
}

func (p *unprivileged) coltec(args ...string) (string, error) {
	return p.as(p.dir+"/bin/coltec", args...)
}

// rootless is a host whose user is not root, with a Podman that needs none.
func (g *ground) rootless(env string) host {
	g.t.Helper()
	p := g.ordinary("rootless", "COLTEC_DOCKER=podman", "CONTAINERS_CONF="+g.cache("containers.conf"))
	image := os.Getenv("COLTEC_E2E_IMAGE")
	dir := g.make("rootless/w", env, image, "localhost/"+image)
	p.own()
	if _, err := p.as("podman", "image", "exists", "localhost/"+image); err != nil {
		p.load("podman")
	}
	g.t.Cleanup(func() {
		ids, _ := p.as("podman", "ps", "-aq", "--filter", "label=devcontainer.local_folder="+dir)
		for _, id := range strings.Fields(ids) {
			_, _ = p.as("podman", "rm", "-f", "-v", "-t", "0", id)
		}
		made, _ := p.as("podman", "images", "--format", "{{.Repository}}")
		for _, name := range strings.Fields(made) {
			if strings.Contains(name, "vsc-") {
				_, _ = p.as("podman", "rmi", "-f", name)
			}
		}
	})
	return p.host("rootless podman", dir)
}

// rootlessDocker starts a dockerd of an ordinary user, and gives what that user runs.
func (g *ground) rootlessDocker() *unprivileged {
	g.t.Helper()
	// What is at loopback here is at 10.0.2.2 for slirp4netns.
	p := g.ordinary("d", "DOCKER_BUILDKIT=0", "DOCKER_HOST=unix://"+g.dir+"/d/run/docker.sock", "RCLONE_S3_ENDPOINT="+strings.Replace(g.server.Endpoint, "127.0.0.1", "10.0.2.2", 1))
	p.own()
	argv := p.argv("env", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin", "rootlesskit", "--net=slirp4netns", "--mtu=65520", "--copy-up=/etc", "--copy-up=/run", "--propagation=rslave", "--state-dir="+p.dir+"/kit",
		"sh", "-c", `rm -f /run/docker /run/containerd /run/xtables.lock; exec dockerd "$@"`, "dockerd",
		"--host=unix://"+p.dir+"/run/docker.sock", "--data-root="+p.dir+"/data", "--exec-root="+p.dir+"/run/docker", "--pidfile="+p.dir+"/run/docker.pid", "--log-level=warn", "--bridge=none", "--iptables=false", "--ip6tables=false")
	cmd := exec.Command(argv[0], argv[1:]...)
	var said bytes.Buffer
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = g.env, p.dir, &said, &said
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // runuser hands it on
		_ = cmd.Wait()
		if g.t.Failed() {
			g.t.Logf("dockerd said:\n%s", &said)
		}
	})
	g.eventually("the dockerd of an ordinary user answers", func() bool {
		_, err := p.as("docker", "info")
		return err == nil
	})
	p.load("docker")
	return p
}

// With a dockerd of an ordinary user the folder is root's in the container: doctor says what to
// write, and so a workspace goes there and on from there, and what it writes is the user's.
func TestRootlessDocker(t *testing.T) {
	if os.Getenv("COLTEC_HOSTS") == "" {
		t.Skip("a dockerd of its own, and an image: make soak-hosts")
	}
	g := newGround(t)
	const env = "dev-k"
	p := g.rootlessDocker()
	dir := g.make("d/w", env)
	p.own()
	other := g.plain(env)
	if out, err := p.coltec("doctor", dir); err == nil || !strings.Contains(out, "FAIL  user of the container: docker is rootless: in the container the folder is root's, and vscode cannot write it") || !strings.Contains(out, `set "remoteUser": "root"`) {
		t.Errorf("doctor: %v\n%s", err, out)
	}
	g.edit(dir, `"remoteUser": "vscode"`, `"remoteUser": "root"`)
	p.own()
	one := p.host("rootless docker", dir)
	one.user = "root"
	if out, err := one.up(); err != nil {
		t.Fatalf("up: %v\n%s", err, out)
	}
	g.hop(env, one, other, 1)
	g.hop(env, other, one, 2)
	if out, err := g.run("stat", "-c", "%U", dir+"/note"); err != nil || strings.TrimSpace(out) != ordinary {
		t.Errorf("what came is the file of %s, %v", out, err)
	}
	if out, err := one.down(); err != nil {
		t.Errorf("down: %v\n%s", err, out)
	}
}

// A Podman of an ordinary user keeps that user's id in the container: a workspace goes there
// and on from there, and what it writes in the folder is the user's.
func TestRootlessPodman(t *testing.T) {
	g := newGround(t)
	const env = "dev-r"
	one, other := g.rootless(env), g.plain(env)
	if out, err := one.up(); err != nil {
		t.Fatalf("up: %v\n%s", err, out)
	}
	g.hop(env, one, other, 1)
	g.hop(env, other, one, 2)
	if out, err := g.run("stat", "-c", "%U", fmt.Sprintf("%s/rootless/w/note", g.dir)); err != nil || strings.TrimSpace(out) != ordinary {
		t.Errorf("what came is the file of %s, %v", out, err)
	}
	if out, err := one.down(); err != nil {
		t.Errorf("down: %v\n%s", err, out)
	}
}
