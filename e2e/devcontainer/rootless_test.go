package devcontainer

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
)

// ordinary is the user of this machine who has a Podman without root; the script makes it.
const ordinary = "coltec-e2e"

// rootless is a host whose user is not root, with a Podman that needs none.
func (g *ground) rootless(env string) host {
	g.t.Helper()
	u, err := user.Lookup(ordinary)
	if err != nil {
		g.t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(g.dir), 0o755); err != nil { // it was made for us alone
		g.t.Fatal(err)
	}
	for _, dir := range []string{"rootless/bin", "rootless/run", "rootless/tmp", "rootless/state"} {
		if err := os.MkdirAll(filepath.Join(g.dir, dir), 0o755); err != nil {
			g.t.Fatal(err)
		}
	}
	as := func(name string, args ...string) (string, error) {
		vars := []string{
			"-u", ordinary, "--", "env", "HOME=" + u.HomeDir, "USER=" + ordinary, "COLTEC_DOCKER=podman", "CONTAINERS_CONF=" + g.cache("containers.conf"),
			"XDG_RUNTIME_DIR=" + g.dir + "/rootless/run", "XDG_STATE_HOME=" + g.dir + "/rootless/state", "TMPDIR=" + g.dir + "/rootless/tmp", name,
		}
		return g.run("runuser", append(vars, args...)...)
	}
	must := func(name string, args ...string) {
		g.t.Helper()
		if out, err := as(name, args...); err != nil {
			g.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
	}
	image := os.Getenv("COLTEC_E2E_IMAGE")
	dir := g.make("rootless/w", env, image, "localhost/"+image)
	for _, script := range []string{
		`install -m 755 "$1/bin/coltec" "$1/bin/coltecd" "$1/bin/rclone" "$2/rootless/bin/"`,
		`chown -R "$3:" "$2/rootless" && chmod 700 "$2/rootless/run"`,
	} {
		if out, err := exec.Command("sh", "-c", script, "sh", g.root, g.dir, ordinary).CombinedOutput(); err != nil {
			g.t.Fatalf("%v: %s", err, out)
		}
	}
	if _, err := as("podman", "image", "exists", "localhost/"+image); err != nil {
		tar := g.dir + "/rootless/image.tar"
		if out, err := g.run("docker", "save", "-o", tar, image); err != nil {
			g.t.Fatalf("%v: %s", err, out)
		}
		if err := os.Chmod(tar, 0o644); err != nil {
			g.t.Fatal(err)
		}
		must("podman", "load", "-i", tar)
	}
	g.t.Cleanup(func() {
		ids, _ := as("podman", "ps", "-aq", "--filter", "label=devcontainer.local_folder="+dir)
		for _, id := range strings.Fields(ids) {
			_, _ = as("podman", "rm", "-f", "-v", "-t", "0", id)
		}
		made, _ := as("podman", "images", "--format", "{{.Repository}}")
		for _, name := range strings.Fields(made) {
			if strings.Contains(name, "vsc-") {
				_, _ = as("podman", "rmi", "-f", name)
			}
		}
	})
	coltec := func(args ...string) (string, error) { return as(g.dir+"/rootless/bin/coltec", args...) }
	if out, err := coltec("trust", dir); err != nil {
		g.t.Fatalf("%v: %s", err, out)
	}
	return host{
		name: "rootless podman", at: "/workspace",
		up:   func() (string, error) { return coltec("up", dir) },
		sh:   func(script string) (string, error) { return coltec("exec", dir, "--", "sh", "-c", script) },
		down: func() (string, error) { return coltec("down", dir) },
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
