package devcontainer

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// shapes are what public projects have: their files, where the project is in its container,
// and what else init is told.
var shapes = map[string]struct {
	files map[string]string
	place string
}{
	"image": {map[string]string{".devcontainer/devcontainer.json": "// see https://aka.ms/devcontainer.json\n{\n\t\"name\": \"Node\",\n\t\"image\": \"IMAGE\", // pinned\n\t\"runArgs\": [\"--network=host\"],\n\t\"postCreateCommand\": \"echo made > made\",\n\t\"remoteUser\": \"vscode\"\n}\n"}, "/workspaces/p"},
	"dockerfile": {map[string]string{
		".devcontainer/devcontainer.json": "{\n  \"build\": {\"dockerfile\": \"Dockerfile\", \"context\": \"..\",},\n  \"runArgs\": [\"--network=host\"],\n  \"postStartCommand\": [\"true\"],\n}\n",
		".devcontainer/Dockerfile":        "FROM IMAGE\nRUN mkdir -p /app\nUSER vscode\n",
	}, "/workspaces/p"},
	"named volume": {map[string]string{".devcontainer/devcontainer.json": `{"image": "IMAGE", "remoteUser": "vscode", "runArgs": ["--network=host"], "workspaceFolder": "/code", "workspaceMount": "source=${localWorkspaceFolder},target=/code,type=bind", "mounts": ["source=${localWorkspaceFolderBasename}-node_modules,target=/code/node_modules,type=volume"]}`}, "/code"},
	"compose": {map[string]string{
		".devcontainer/devcontainer.json":  "{\n  \"dockerComposeFile\": \"docker-compose.yml\",\n  \"service\": \"app\",\n  \"workspaceFolder\": \"/workspaces/${localWorkspaceFolderBasename}\",\n  \"remoteUser\": \"vscode\" // of the image\n}\n",
		".devcontainer/docker-compose.yml": "version: \"3.8\"\nservices:\n  app:\n    image: IMAGE\n    command: sleep infinity\n    network_mode: host\n    volumes:\n      - ../..:/workspaces:cached\n  db:\n    image: IMAGE\n    command: sleep infinity\n",
	}, "/workspaces/p"},
	"root": {map[string]string{".devcontainer.json": "{\n    \"image\": \"IMAGE\",\n    \"remoteUser\": \"vscode\", \"runArgs\": [\"--network=host\"]\n}\n"}, "/workspaces/p"},
}

// TestInit brings Coltec into projects as they are, with two commands on each machine: what is
// saved on one is there on the other, and --remove gives the project back.
func TestInit(t *testing.T) {
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			g := newGround(t)
			project := func(machine string) string {
				for file, text := range shape.files {
					g.write(machine+"/p/"+file, strings.ReplaceAll(text, "IMAGE", os.Getenv("COLTEC_E2E_IMAGE")))
				}
				dir := g.own(machine + "/p")
				if out, err := exec.Command("chown", "-R", "1000:1000", dir).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				return dir
			}
			bring := func(dir string) {
				t.Helper()
				if out, err := g.run(g.root+"/bin/coltec", "init", dir, "--yes", "--data", "org=acme", "--data", "project=widget", "--data", "provider=Other"); err != nil {
					t.Fatalf("init: %v\n%s", err, out)
				}
				if out, err := g.run(g.root+"/bin/coltec", "up", dir); err != nil {
					t.Fatalf("up: %v\n%s", err, out)
				} else {
					t.Log(out)
				}
			}
			a := project("a")
			bring(a)
			g.sh(a, "cd "+shape.place+" && mkdir -p src && echo saved > src/file")
			g.must("down", a)
			// Compose calls what it makes by the folder's name: another machine does not have it.
			if out, err := g.run("docker", "rm", "-f", "-v", g.container(a)); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if err := os.RemoveAll(a); err != nil {
				t.Fatal(err)
			}
			b := project("b")
			bring(b)
			if got := g.sh(b, "cat "+shape.place+"/src/file"); got != "saved\n" {
				t.Errorf("on another machine: %q", got)
			}
			if out, err := g.run("find", b, "-path", "*/.coltec/conflicts/*", "-type", "f"); err != nil || out != "" {
				t.Errorf("conflicts: %s, %v", out, err)
			}
			g.must("down", b)
			g.must("init", b, "--remove", "--yes")
			for file, text := range shape.files {
				got, err := os.ReadFile(filepath.Join(b, file))
				if err != nil || string(got) != strings.ReplaceAll(text, "IMAGE", os.Getenv("COLTEC_E2E_IMAGE")) {
					t.Errorf("after --remove %s is %q, %v", file, got, err)
				}
			}
		})
	}
}

// A changed configuration was passed over in silence, and what made the container anew ended
// the running one like a kill. On a host of root, the folder is not the container's user's.
func TestRecreate(t *testing.T) {
	g := newGround(t)
	dir := g.make("w", "dev-n")
	if out, err := exec.Command("chown", "-R", "0:0", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := g.up(dir)
	if err == nil || !strings.Contains(out, "/workspace cannot be written by user 1000") || !strings.Contains(out, "coltec up --chown "+dir) {
		t.Fatalf("a folder of root: %v\n%s", err, out)
	}
	if out, err := g.run(g.root+"/bin/coltec", "doctor", dir); err == nil || !strings.Contains(out, "FAIL  the container and the spec: /workspace cannot be written by user 1000") {
		t.Errorf("doctor: %v\n%s", err, out)
	}
	g.must("up", dir, "--chown")
	first := g.container(dir)
	if out := g.must("up", dir); strings.Contains(out, "was made before a change") {
		t.Errorf("nothing changed:\n%s", out)
	}
	g.edit(dir, `"--network=host",`, `"--network=host", "--env=ADDED=1",`)
	out, err = g.up(dir)
	if err != nil || !strings.Contains(out, "its container was made before a change of runArgs") || !strings.Contains(out, "hint: make it anew: coltec up --recreate "+dir) {
		t.Errorf("changed: %v\n%s", err, out)
	}
	if g.container(dir) != first {
		t.Error("it was made anew without a word from the user")
	}
	g.sh(dir, "echo last > /workspace/last")
	out, err = g.run(g.root+"/bin/coltec", "up", dir, "--recreate")
	if err != nil || strings.Contains(out, "was killed") {
		t.Fatalf("anew: %v\n%s", err, out)
	}
	if g.container(dir) == first || g.sh(dir, "echo $ADDED") != "1\n" {
		t.Error("it is the container of before")
	}
	if got := g.stored("dev-n", "workspace")["last"]; got != "last\n" {
		t.Errorf("the bucket has %q", got)
	}
	second := g.container(dir)
	out, err = g.run(g.root+"/bin/coltec", "up", dir, "--", "--remove-existing-container")
	if err != nil || strings.Contains(out, "was killed") || g.container(dir) == second {
		t.Errorf("by the CLI's own argument: %v\n%s", err, out)
	}
}
