package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
)

// hopTo has a machine take acme/widget/dev to its folder as far as it gets without Docker: the
// folder is made, and nothing is moved.
func (m *machine) hopTo(more ...string) string {
	m.t.Helper()
	out, err := m.host(append([]string{"hop", "acme/widget/dev", m.dir, "--prepare"}, more...)...)
	if err == nil {
		m.t.Errorf("%s has no Docker:\n%s", m.name, out)
	}
	return out
}

// withoutDocker hides the machine's Docker.
func (m *machine) withoutDocker() *machine {
	m.env["COLTEC_DOCKER"] = "/nowhere/docker"
	return m
}

// coltec hop makes the folder as the bucket has it: with the answers of another machine, what was
// edited there, and the texts of its template, so that the start finds no conflict.
func TestHopMakesTheFolder(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a, _ := w.made("a", append(named, chosen...)...)
	const config, answers = ".devcontainer/devcontainer.json", ".devcontainer/.coltec/answers.yaml"
	a.write(config, strings.Replace(a.read(config), `"features"`, `"initializeCommand": "evil", "features"`, 1))
	a.write(answers, strings.Replace(a.read(answers), "version: 1.0.0", "version: 9.9.9", 1)) // by a later coltec
	a.write("src/main", "package main\n")
	a.once()

	b := w.machine("b").withoutDocker()
	b.env["COLTEC_PLACE"] = "/workspace"
	said := b.hopTo()
	for _, name := range []string{config, answers, ".devcontainer/.coltec/base/" + config, ".devcontainer/start.sh", ".devcontainer/workspace-spec.yaml"} {
		if a.read(name) != b.read(name) {
			t.Errorf("%s is\n%s\nand on the first machine\n%s", name, b.read(name), a.read(name))
		}
	}
	if !strings.Contains(said, "acme/widget/dev: generation 1, of ") {
		t.Errorf("it says:\n%s", said)
	}
	if _, err := os.Lstat(b.path("src")); err == nil {
		t.Error("more than .devcontainer came")
	}
	out, err := b.host("trust", "--dry-run", "--json", b.dir)
	if err != nil || !strings.Contains(missingOf(out), "evil") || !strings.Contains(missingOf(out), "example.com/own:1") {
		t.Errorf("%v\n%s", err, out)
	}
	b.once()
	unlike := []string{".coltec", "agent-context", ".devcontainer/coltec", ".devcontainer/logs"}
	sameTree(t, treeOf(t, a.dir, unlike...), treeOf(t, b.dir, unlike...))

	// What is there is not written over, and another workspace's spec is not taken.
	c := w.machine("c").withoutDocker()
	c.write("mine", "x")
	if out := c.hopTo(); !strings.Contains(out, "cannot make acme/widget/dev in ") || c.read("mine") != "x" {
		t.Errorf("into a folder with files:\n%s", out)
	}
	const spec = ".devcontainer/workspace-spec.yaml"
	const own = ".devcontainer/own.yaml"
	a.write(own, a.read(spec))
	a.write(spec, strings.Replace(a.read(spec), `environment: "dev"`, `environment: "evil"`, 1))
	a.must("run", "--once", "--config", a.path(own))
	d := w.machine("d").withoutDocker()
	if out := d.hopTo(); !strings.Contains(out, "its spec is of acme/widget/evil") {
		t.Errorf("the spec of another workspace:\n%s", out)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(d.dir), ".coltec-hop-*")); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

// Ctrl-C while the folder is made leaves none, and nothing beside it.
func TestHopIsCutOffWhileTheFolderIsMade(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a, _ := w.made("a", named...)
	a.once()
	b := w.machine("b").withoutDocker()
	if err := os.Remove(b.dir); err != nil {
		t.Fatal(err)
	}
	arrived, goOn := make(chan struct{}, 1), make(chan struct{})
	w.proxy.Inject(s3test.Fault{Kind: s3test.Get, Key: "workspaces/", Nth: 2, Before: func(s3test.Request) { // after the manifest
		arrived <- struct{}{}
		<-goOn
	}})
	cmd := exec.CommandContext(t.Context(), coltec, "hop", "acme/widget/dev", b.dir)
	cmd.Env = append(os.Environ(), "COLTEC_RCLONE="+rclonePath)
	for name, value := range b.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := cmd.CombinedOutput()
		ended <- err
	}()
	select {
	case <-arrived:
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Error(err)
		}
	case err := <-ended:
		t.Fatalf("it ended before: %v", err)
	}
	err := <-ended
	close(goOn)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != cmdline.CodeInterrupted {
		t.Errorf("%v", err)
	}
	if _, err := os.Lstat(b.dir); err == nil {
		t.Error("there is a folder")
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(b.dir), ".coltec-hop-*")); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
	// The same again goes on.
	if out := b.hopTo(); !strings.Contains(out, "generation 1, of ") {
		t.Errorf("again:\n%s", out)
	}
}
