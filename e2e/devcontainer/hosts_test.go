package devcontainer

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/coltec/coltec/pkg/store"
)

// host is a machine of some kind with one workspace, env, on it.
type host struct {
	name string
	up   func() (string, error) // brings it up, and waits for the restore
	sh   func(script string) (string, error)
	down func() (string, error)
	at   string // the workspace's folder there
	user string // who works there; "" is vscode
}

// cache has what scripts/e2e-devcontainer.sh has made.
func (g *ground) cache(name string) string {
	return filepath.Join(os.Getenv("COLTEC_E2E_CACHE"), name)
}

// contained is a host whose workspace is in a container, by a client with its own environment.
func (g *ground) contained(name, dir string, env ...string) host {
	coltec := func(args ...string) (string, error) { return g.with(env, g.root+"/bin/coltec", args...) }
	return host{
		name: name, at: "/workspace",
		up:   func() (string, error) { return coltec("up", dir) },
		sh:   func(script string) (string, error) { return coltec("exec", dir, "--", "sh", "-c", script) },
		down: func() (string, error) { return coltec("down", dir) },
	}
}

// with is run with variables beside those of the ground.
func (g *ground) with(env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env, cmd.Dir = append(append([]string{}, g.env...), env...), g.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// podman is a host with Podman and no Docker.
func (g *ground) podman(env string) host {
	g.t.Helper()
	dir := g.make("with-podman/w", env)
	vars := g.podmanEnv()
	g.t.Cleanup(func() {
		ids, _ := g.with(vars, "podman", "ps", "-aq", "--filter", "label=devcontainer.local_folder="+dir)
		for _, id := range strings.Fields(ids) {
			image, _ := g.with(vars, "podman", "inspect", "--format", "{{.ImageName}}", id)
			_, _ = g.with(vars, "podman", "rm", "-f", "-v", "-t", "0", id)
			if made := strings.TrimSpace(image); strings.Contains(made, "vsc-") {
				_, _ = g.with(vars, "podman", "rmi", made)
				_, _ = g.with(vars, "podman", "rmi", strings.TrimSuffix(made, "-uid"))
			}
		}
	})
	return g.contained("podman", dir, vars...)
}

func (g *ground) podmanEnv() []string {
	return []string{"COLTEC_DOCKER=podman", "CONTAINERS_CONF=" + g.cache("containers.conf")}
}

const ownConfig = `{
  "name": "a project's own",
  "image": "%s",
  "features": {"./coltec": {}},
  "remoteUser": "vscode",
  "runArgs": ["--network=host", "--stop-timeout=60"],
  "containerEnv": {"COLTEC_CONFIG": "${containerWorkspaceFolder}/.devcontainer/workspace-spec.yaml", "COLTEC_PLACE": "/workspace"},
  "postStartCommand": "coltecd start"
}
`

// ownContainer is a host whose project has its own devcontainer.json: no label of ours, and the
// folder where the CLI mounts it, which is not where the spec has it.
func (g *ground) ownContainer(env string) host {
	g.t.Helper()
	dir := g.make("with-own/w", env)
	g.write("with-own/w/.devcontainer/devcontainer.json", fmt.Sprintf(ownConfig, os.Getenv("COLTEC_E2E_IMAGE")))
	g.trust(dir)
	h := g.contained("own", dir)
	h.at = "/workspaces/w"
	return h
}

const composeText = `services:
  app:
    image: %s
    network_mode: host
    stop_grace_period: 60s
    command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait $$!; done"]
    environment: {COLTEC_CONFIG: /workspace/.devcontainer/workspace-spec.yaml, COLTEC_STOP_TIMEOUT: 50s}
    volumes: ["..:/workspace"]
  db:
    image: %s
    network_mode: host
    command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait $$!; done"]
`

const composeConfig = `{
  "name": "%s",
  "dockerComposeFile": "docker-compose.yml",
  "service": "app",
  "workspaceFolder": "/workspace",
  "overrideCommand": false,
  "features": {"./coltec": {}},
  "remoteUser": "vscode",
  "postStartCommand": "coltecd start"
}
`

// compose is a host whose project has a Compose file of two services, with a command of its
// own each, and no label of ours.
func (g *ground) compose(env string) (host, string) {
	g.t.Helper()
	g.write("with-compose/w/.devcontainer/docker-compose.yml", fmt.Sprintf(composeText, os.Getenv("COLTEC_E2E_IMAGE"), os.Getenv("COLTEC_E2E_BUSYBOX")))
	g.write("with-compose/w/.devcontainer/workspace-spec.yaml", fmt.Sprintf(specText, env))
	g.write("with-compose/w/.devcontainer/devcontainer.json", fmt.Sprintf(composeConfig, env))
	dir := g.own("with-compose/w")
	g.t.Cleanup(func() {
		for _, id := range g.project(dir, "-a") {
			_, _ = g.run("docker", "rm", "-f", "-v", id)
		}
	})
	g.trust(dir)
	if out, err := exec.Command("chown", "-R", "1000:1000", dir).CombinedOutput(); err != nil {
		g.t.Fatalf("%v: %s", err, out)
	}
	return g.contained("compose", dir), dir
}

// project are the containers of a folder's Compose file.
func (g *ground) project(dir string, args ...string) []string {
	out, _ := g.run("docker", append([]string{"ps", "-q", "--filter", "label=com.docker.compose.project.working_dir=" + dir + "/.devcontainer"}, args...)...)
	return strings.Fields(out)
}

// plainMachine is a machine without containers: a tree of its own and processes of its own, with
// no Docker and no systemd in it.
type plainMachine struct {
	g    *ground
	pid  string
	root string
}

// plain starts one, with a folder in its user's home that the spec does not name.
func (g *ground) plain(env string) host {
	g.t.Helper()
	m := g.newMachine()
	const folder = "/home/vscode/widget"
	spec := fmt.Sprintf(specText, env)
	secrets := fmt.Sprintf("RCLONE_BUCKET=%s\nRCLONE_S3_ACCESS_KEY_ID=%s\nRCLONE_S3_SECRET_ACCESS_KEY=%s\nRCLONE_S3_ENDPOINT=%s\n",
		g.server.Bucket, g.server.AccessKey, g.server.SecretKey, g.server.Endpoint)
	m.put(folder+"/.devcontainer/workspace-spec.yaml", spec)
	m.put("/home/vscode/secrets.env", secrets)
	return host{
		name: "plain", at: folder,
		up: func() (string, error) {
			return m.sh("coltecd install --secrets-file ~/secrets.env widget && cd widget && coltecd start --wait")
		},
		sh:   m.sh,
		down: func() (string, error) { return m.sh("cd widget && coltecd stop --timeout 60s") },
	}
}

func (g *ground) newMachine() *plainMachine {
	g.t.Helper()
	return g.boot(`set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount -t proc proc "$2/root/proc"
mount --rbind /dev "$2/root/dev"
install -m 755 "$3/bin/coltecd" "$3/bin/rclone" "$2/root/usr/local/bin/"
exec chroot "$2/root" /bin/sh -c 'echo ready; while :; do sleep 1 & wait $!; done'`) // which reaps
}

// boot starts a machine by a script, which gets the base image's files, a directory for the
// machine, and the repository, and prints a word once it is in its root.
func (g *ground) boot(script string) *plainMachine {
	g.t.Helper()
	m := &plainMachine{g: g, root: filepath.Join(g.dir, "plain/root")}
	for _, dir := range []string{"root", "upper", "work"} {
		if err := os.MkdirAll(filepath.Join(g.dir, "plain", dir), 0o755); err != nil {
			g.t.Fatal(err)
		}
	}
	cmd := exec.Command("unshare", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child", "sh", "-c", script, "sh", g.cache("rootfs"), filepath.Join(g.dir, "plain"), g.root)
	out, err := cmd.StdoutPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var word string
	if _, err := fmt.Fscan(out, &word); err != nil || word != "ready" {
		g.t.Fatalf("the machine does not start: %q, %v", word, err)
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
	if err != nil {
		g.t.Fatal(err)
	}
	m.pid = strings.TrimSpace(string(children))
	// It is ready a moment before it is in its root: who entered it then was on this host.
	g.eventually("the machine is in its root", func() bool {
		root, err := os.Readlink("/proc/" + m.pid + "/root")
		return err == nil && root != "/"
	})
	return m
}

// as runs a script as a user, in that user's home.
func (m *plainMachine) as(user, script string) (string, error) {
	return m.g.run("nsenter", "--target", m.pid, "--mount", "--pid", "--root", "--wd=/", "env", "-i", "su", "-", user, "-c", script)
}

func (m *plainMachine) sh(script string) (string, error) { return m.as("vscode", script) }

// put writes a file as its user.
func (m *plainMachine) put(name, text string) {
	m.g.t.Helper()
	cmd := exec.Command("nsenter", "--target", m.pid, "--mount", "--pid", "--root", "--wd=/", "su", "-", "vscode", "-c", `mkdir -p "$(dirname "$0")" && umask 077 && cat >"$0"`, name)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		m.g.t.Fatalf("%v: %s", err, out)
	}
}

// hop works on one host, stops there, and sees on the next that all is as it was left.
func (g *ground) hop(env string, from, to host, turn int) {
	g.t.Helper()
	note := fmt.Sprintf("turn %d, of %s", turn, from.name)
	work := fmt.Sprintf("cd %s && echo '%s' >note && mkdir -p deep/dir empty && echo x >'deep/dir/a b' && chmod 755 'deep/dir/a b' && ln -sfn note link && rm -f only-%d && : >only-%d", from.at, note, turn-1, turn)
	if out, err := from.sh(work); err != nil {
		g.t.Fatalf("%s: %v\n%s", from.name, err, out)
	}
	if out, err := from.down(); err != nil {
		g.t.Fatalf("%s: down: %v\n%s", from.name, err, out)
	}
	if h := g.head(env); h.State != store.Released {
		g.t.Errorf("%s is down, and the lease is %s", from.name, h.State)
	}
	if out, err := to.up(); err != nil {
		g.t.Fatalf("%s to %s: up: %v\n%s", from.name, to.name, err, out)
	}
	look := fmt.Sprintf("cd %s && cat note && readlink link && ls -d empty only-* && stat -c %%A 'deep/dir/a b' && id -un", to.at)
	want := fmt.Sprintf("%s\nnote\nempty\nonly-%d\n-rwxr-xr-x\n%s\n", note, turn, cmp.Or(to.user, "vscode"))
	if out, err := to.sh(look); err != nil || out != want {
		g.t.Fatalf("%s to %s: %v\n%s\nwant\n%s", from.name, to.name, err, out, want)
	}
}
