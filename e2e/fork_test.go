package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/store"
)

// host runs coltec with a machine's environment.
func (m *machine) host(args ...string) (string, error) {
	cmd := exec.Command(coltec, args...)
	cmd.Dir = m.t.TempDir()
	cmd.Env = append(os.Environ(), "COLTEC_RCLONE="+rclonePath)
	for name, value := range m.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// trust agrees to what the machine's workspace, which was written by hand, does on its host.
func (m *machine) trust() {
	m.t.Helper()
	if out, err := m.host("trust", m.dir); err != nil {
		m.t.Fatalf("%v: %s", err, out)
	}
}

// coltec new --fork begins a workspace with the files of another one, exactly, under
// a name of its own, and leaves the other one as it was.
func TestFork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	notes := filepath.Join(a.dir, "agent-context")
	a.spec(func(o *specOptions) {
		o.Replicas = append(o.Replicas, a.replica("agent-context", notes))
	})
	a.seed()
	a.write("agent-context/memo.md", "for agents")
	a.once()
	before := w.objects()

	dir := filepath.Join(t.TempDir(), "not yet", "w")
	data := []string{"--data", "org=acme", "--data", "project=widget", "--data", "env=other", "--data", "provider=Rclone"}
	out, err := a.host(append([]string{"new", dir, "--fork", "acme/widget/dev"}, data...)...)
	if err != nil || !strings.Contains(out, "from generation 1 of acme/widget/dev") {
		t.Fatalf("%v\n%s", err, out)
	}
	got := map[string]node{}
	want, there := a.tree(), treeOf(t, dir, ".coltec", ".devcontainer")
	for name := range want { // what the template adds is its own
		if strings.Contains(name, "/.coltec") {
			delete(want, name)
		} else {
			got[name] = there[name]
		}
	}
	sameTree(t, want, got)
	for _, state := range []string{".coltec", "agent-context/.coltec"} { // would say that it was in the bucket
		if _, err := os.Lstat(filepath.Join(dir, state)); err == nil {
			t.Errorf("the fork has %s", state)
		}
	}
	spec, err := os.ReadFile(filepath.Join(dir, ".devcontainer/workspace-spec.yaml"))
	if err != nil || !strings.Contains(string(spec), `environment: "other"`) {
		t.Errorf("%v: %s", err, spec)
	}
	after := w.objects()
	if len(after) != len(before) || after[store.HeadKey("acme/widget/other")] != 0 {
		t.Errorf("the fork wrote into the bucket: %d objects, now %d", len(before), len(after))
	}

	// What cannot be, leaves nothing behind.
	parent := t.TempDir()
	refused := func(want string, args ...string) {
		t.Helper()
		out, err := a.host(append(append([]string{"new"}, args...), data...)...)
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("%v, want %q: %v\n%s", args, want, err, out)
		}
		if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
			t.Errorf("%v left %v, %v", args, left, err)
		}
	}
	refused("it already exists", dir, "--fork", "acme/widget/dev")
	refused("nothing was ever committed", filepath.Join(parent, "x"), "--fork", "acme/widget/nix")
	refused("--fork takes org/project/env", filepath.Join(parent, "x"), "--fork", "dev")
	secret := a.env["RCLONE_S3_SECRET_ACCESS_KEY"]
	delete(a.env, "RCLONE_S3_SECRET_ACCESS_KEY")
	refused("RCLONE_S3_SECRET_ACCESS_KEY is missing", filepath.Join(parent, "x"), "--fork", "acme/widget/dev")
	a.env["RCLONE_S3_SECRET_ACCESS_KEY"] = secret
	defer w.proxy.Inject(s3test.Fault{Kind: s3test.Get, Key: ".coltec/o/", Status: 403, Code: "AccessDenied"})()
	refused("cannot", filepath.Join(parent, "x"), "--fork", "acme/widget/dev")
}
