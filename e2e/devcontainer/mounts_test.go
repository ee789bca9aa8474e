package devcontainer

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// What of a real container is in no layer, Docker says: volumes with names and without, folders of
// the host, what is in memory, and a volume in a volume's place below a kept path. Up and doctor
// name each that nothing keeps. Once the spec has a replica for one, that is in the bucket, and
// what the spec calls unkept is not named.
func TestMountsThatNothingKeeps(t *testing.T) {
	g := newGround(t)
	const data, below = "coltec-e2e-mounts-data", "coltec-e2e-mounts-below"
	image := os.Getenv("COLTEC_E2E_IMAGE")
	g.write("outside/file", "of the host\n")
	g.write("w/.devcontainer/Dockerfile", "FROM "+image+"\nRUN mkdir /anonymous\nVOLUME /anonymous\n")
	t.Cleanup(func() { _ = exec.Command("docker", "volume", "rm", "-f", data, below).Run() }) // after the container
	dir := g.make("w", "dev-v",
		`"image": "`+image+`",`, `"build": {"dockerfile": "Dockerfile"},
  "mounts": ["source=`+data+`,target=/data,type=volume", "source=`+g.dir+`/outside,target=/outside,type=bind", "source=`+below+`,target=/workspace/below,type=volume", "type=tmpfs,target=/fast"],`,
		`"--network=host",`, `"--network=host", "--tmpfs=/faster",`)
	out := g.must("up", dir, "--chown")
	doctor, err := g.doctor(dir)
	if err == nil {
		t.Errorf("doctor finds nothing:\n%s", doctor)
	}
	inspected, err := g.run("docker", "inspect", "--format", `{{range .Mounts}}{{println .Destination}}{{end}}{{range $at, $o := .HostConfig.Tmpfs}}{{println $at}}{{end}}`, g.container(dir))
	if err != nil {
		t.Fatalf("%v: %s", err, inspected)
	}
	places := strings.Fields(inspected)
	if len(places) != 7 {
		t.Errorf("Docker has mounts at %q", places)
	}
	for _, at := range places {
		named := !strings.HasPrefix(at, "/workspace")
		if got := strings.Contains(out, "note: "+at+" is "); got != named {
			t.Errorf("up names %s: %t\n%s", at, got, out)
		}
		if got := strings.Contains(doctor, "FAIL  volumes and mounts: "+at+" is "); got != named {
			t.Errorf("doctor names %s: %t\n%s", at, got, doctor)
		}
	}
	for _, want := range []string{"/data is a volume that nothing keeps: " + data + " stays on this host", "/anonymous is a volume without a name", "/outside is " + g.dir + "/outside of this host", "/fast is in memory", "/faster is in memory"} {
		if !strings.Contains(out, want) {
			t.Errorf("up does not say %q\n%s", want, out)
		}
	}
	spec := strings.Replace(fmt.Sprintf(specText, "dev-v"), "  sync:\n", "  unkept: [/anonymous, /outside, /fast, /faster]\n  sync:\n    - {name: data, path: /data, remote_path: \"workspaces/{org}/{project}/{env}/data\", interval: 10}\n", 1)
	g.write("w/.devcontainer/workspace-spec.yaml", spec)
	if out := g.must("up", dir, "--chown"); strings.Contains(out, "note: ") {
		t.Errorf("all is kept, or meant so:\n%s", out)
	}
	g.sh(dir, "echo a > /data/row && sudo chown vscode /workspace/below && echo b > /workspace/below/row && coltecd sync")
	if a, b := g.stored("dev-v", "data")["row"], g.stored("dev-v", "workspace")["below/row"]; a != "a\n" || b != "b\n" {
		t.Errorf("the bucket has %q and %q", a, b)
	}
}
