package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
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

// made is a folder on the host that names the workspace of the machine, as the template makes it.
func (m *machine) made(env string, more ...string) (dir, said string, err error) {
	m.t.Helper()
	dir = filepath.Join(m.t.TempDir(), "not yet", env)
	said, err = m.host(append([]string{"new", dir, "--data", "org=acme", "--data", "project=widget", "--data", "env=" + env, "--data", "provider=Rclone", "--data", "region=us-east-1", "--data", "agent_context=true"}, more...)...)
	return dir, said, err
}

// ofEnv is a machine of another workspace of the same replicas.
func (w *world) ofEnv(env string) *machine {
	w.t.Helper()
	m := w.machine(env)
	m.spec(func(o *specOptions) {
		o.Env = env
		o.Replicas = append(o.Replicas, m.replica("agent-context", filepath.Join(m.dir, "agent-context")))
	})
	return m
}

// carried is what of a machine's tree a fork has.
func (m *machine) carried() map[string]node {
	return treeOf(m.t, m.dir, ".coltec", ".devcontainer", "agent-context/.coltec", "code/.git", "data")
}

// copiedThere holds that the bucket copied, and that no content came by the host.
func (w *world) copiedThere() {
	w.t.Helper()
	copies := 0
	for _, r := range w.proxy.Requests() {
		switch {
		case r.Kind == s3test.Copy:
			copies++
		case strings.Contains(r.Key, ".coltec/o/") && (r.Kind == s3test.Get || r.Kind == s3test.Put || r.Kind == s3test.Multipart):
			w.t.Errorf("content came by the host: %s %s, %d bytes there and %d back", r.Kind, r.Key, r.Sent, r.Received)
		}
	}
	if copies == 0 {
		w.t.Error("nothing was copied")
	}
}

// A fork begins with the files of another workspace, exactly, under a name of its own, and
// leaves the other one as it was; the bucket copies, and nothing comes by the host.
func TestFork(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a := w.ofEnv("dev")
	a.seed()
	a.write("agent-context/memo.md", "for agents")
	a.once()
	before := w.objects()
	source, said, err := a.made("dev")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}

	w.proxy.Reset()
	dir, said, err := a.made("other", "--fork", "acme/widget/dev")
	if err != nil || !strings.Contains(said, "from generation 1 of acme/widget/dev") {
		t.Fatalf("%v\n%s", err, said)
	}
	w.copiedThere()
	w.proxy.Reset()
	if said, err := a.host("fork", source, "try", "--count", "3"); err != nil || !strings.Contains(said, "acme/widget/try-3: forked; next: coltec up") {
		t.Fatalf("%v\n%s", err, said)
	}
	w.copiedThere()
	forks := map[string]string{"other": dir}
	for _, env := range []string{"try-1", "try-2", "try-3"} {
		digests, _ := filepath.Glob(filepath.Join(w.s3.Dir, w.s3.Bucket, ".coltec/fleet/acme/widget", env, "digest/*"))
		if len(digests) != 1 {
			t.Errorf("digests of %s: %q", env, digests)
		} else if body, err := os.ReadFile(digests[0]); err != nil || string(body) != store.DigestBody {
			t.Errorf("%s: %q, %v", digests[0], body, err)
		}
		forks[env] = filepath.Join(filepath.Dir(source), env)
	}
	if said, err := a.host("fork", source, "try", "--count", "4"); err != nil || strings.Count(said, "is a fork of acme/widget/dev already, of generation 1") != 3 {
		t.Errorf("three of four are there: %v\n%s", err, said)
	}
	for env, dir := range forks {
		spec, err := os.ReadFile(filepath.Join(dir, ".devcontainer/workspace-spec.yaml"))
		if err != nil || !strings.Contains(string(spec), fmt.Sprintf(`environment: %q`, env)) {
			t.Errorf("%v: %s", err, spec)
		}
		f := w.ofEnv(env)
		f.once()
		sameTree(t, a.carried(), f.carried())
		f.write("of its own", env)
		f.once()
	}
	// What an agent writes into the answers of a workspace is agreed to by no fork of it.
	answers := filepath.Join(source, ".devcontainer/.coltec/answers.yaml")
	text, err := os.ReadFile(answers)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(answers, append(text, "  run_args: --privileged\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	if said, err := a.host("fork", source, "tampered"); err != nil || !strings.Contains(said, "is not what you agreed to: the next coltec up asks") {
		t.Errorf("%v\n%s", err, said)
	}
	for env, want := range map[string]string{"try-1": `"trusted": true`, "tampered": `"trusted": false`} {
		if said, err := a.host("trust", "--dry-run", "--json", filepath.Join(filepath.Dir(source), env)); err != nil || !strings.Contains(said, want) {
			t.Errorf("%s: %v\n%s", env, err, said)
		}
	}
	if err := os.WriteFile(answers, text, 0o644); err != nil {
		t.Fatal(err)
	}
	after := w.objects()
	for key := range after {
		if strings.Contains(key, "/dev/") && before[key] != after[key] {
			t.Errorf("%s of what was forked had %d bytes, and has %d", key, before[key], after[key])
		}
	}
	for key := range before {
		if _, there := after[key]; !there {
			t.Errorf("%s of what was forked is gone", key)
		}
	}

	// What cannot be, leaves nothing behind.
	heads := func() (n int) {
		for key := range w.objects() {
			if strings.HasSuffix(key, "/head.json") {
				n++
			}
		}
		return n
	}
	were := heads()
	refused := func(want string, args ...string) {
		t.Helper()
		said, err := a.host(args...)
		if err == nil || !strings.Contains(said, want) {
			t.Errorf("%v, want %q: %v\n%s", args, want, err, said)
		}
	}
	parent := t.TempDir()
	fresh := func(args ...string) []string {
		return append([]string{"new", filepath.Join(parent, "x"), "--data", "org=acme", "--data", "project=widget", "--data", "env=fresh", "--data", "provider=Rclone", "--data", "region=us-east-1"}, args...)
	}
	refused("it already exists", "new", dir, "--data", "org=acme", "--data", "project=widget", "--data", "env=other", "--data", "provider=Rclone", "--data", "region=us-east-1", "--fork", "acme/widget/dev")
	refused("nothing was ever committed", fresh("--fork", "acme/widget/nix")...)
	refused("--fork takes org/project/env", fresh("--fork", "dev")...)
	refused("needs another name", "fork", source, "dev")
	refused("there is a workspace of that name", "fork", source, "try-1", filepath.Join(parent, "x"))
	refused("there is no such generation", "fork", source+"@99", "fresh", filepath.Join(parent, "x"))
	secret := a.env["RCLONE_S3_SECRET_ACCESS_KEY"]
	delete(a.env, "RCLONE_S3_SECRET_ACCESS_KEY")
	refused("RCLONE_S3_SECRET_ACCESS_KEY is missing", fresh("--fork", "acme/widget/dev")...)
	a.env["RCLONE_S3_SECRET_ACCESS_KEY"] = secret
	undo := w.proxy.Inject(s3test.Fault{Kind: s3test.Copy, Status: 403, Code: "AccessDenied"})
	refused("cannot", fresh("--fork", "acme/widget/dev")...)
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 || heads() != were {
		t.Errorf("it left %v, %v, and %d heads", left, err, heads())
	}
	undo()
	if said, err := a.host(fresh("--fork", "acme/widget/dev")...); err != nil {
		t.Errorf("after it was cut off: %v\n%s", err, said)
	}

	// One that nobody used is taken for what was asked for only where it is that.
	again := []string{"fork", source, "unused", filepath.Join(parent, "unused")}
	if said, err := a.host(again...); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	a.write("later", "x")
	a.once()
	if said, err := a.host(again...); err != nil || !strings.Contains(said, "is a fork of acme/widget/dev already, of generation 1, ") {
		t.Errorf("%v\n%s", err, said)
	}
	refused("there is a fork of that name, of generation 1", "fork", source+"@2", "unused", filepath.Join(parent, "unused"))
}
