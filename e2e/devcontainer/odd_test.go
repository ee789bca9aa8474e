package devcontainer

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// oddNames are of folders that Docker, the dev container CLI, YAML or a shell might take for
// something else.
var oddNames = []string{"a,b", "x,readonly", "s p", "it's", `q"q`, "c:d", "-dash", "ü☃", "$HOME", "100%", "a#b", `back\slash`}

// In a folder with a comma in its path nothing came up, or something else was mounted.
func TestOddFolders(t *testing.T) {
	g := newGround(t)
	if out, err := g.up(g.make("odd/e=f", "odd")); err == nil || !strings.Contains(out, "has an equals sign in its path") {
		t.Errorf("a folder that the CLI cannot find: %v\n%s", err, out)
	}
	for i, name := range oddNames {
		t.Run(name, func(t *testing.T) {
			at := &ground{t: t, root: g.root, dir: g.dir, server: g.server, env: g.env}
			env := fmt.Sprint("odd-", i)
			dir := at.make("odd/"+name, env)
			if out, err := at.up(dir); err != nil {
				t.Fatalf("up: %v\n%s", err, out)
			}
			at.sh(dir, "echo saved >/workspace/file")
			if b, err := os.ReadFile(dir + "/file"); err != nil || string(b) != "saved\n" {
				t.Errorf("another folder is mounted: %q, %v", b, err)
			}
			if out := at.must("ls"); !strings.Contains(out, env) {
				t.Errorf("ls:\n%s", out)
			}
			at.must("status", dir)
			at.must("down", dir)
			if got := at.stored(env, "workspace")["file"]; got != "saved\n" {
				t.Errorf("the bucket has %q", got)
			}
		})
	}
}

// The same with a project's own dev container, which is mounted under the folder's name.
func TestOddFoldersInit(t *testing.T) {
	g := newGround(t)
	for i, name := range []string{"a,b", "s p", "it's", "ü☃"} {
		t.Run(name, func(t *testing.T) {
			at := &ground{t: t, root: g.root, dir: g.dir, server: g.server, env: g.env}
			at.write("own/"+name+"/.devcontainer/devcontainer.json", fmt.Sprintf(`{"image": %q, "remoteUser": "vscode", "runArgs": ["--network=host"]}`, os.Getenv("COLTEC_E2E_IMAGE")))
			dir, env := at.own("own/"+name), fmt.Sprint("own-", i)
			if out, err := exec.Command("chown", "-R", "1000:1000", dir).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			at.must("init", dir, "--yes", "--data", "org=acme", "--data", "project=widget", "--data", "env="+env, "--data", "provider=Other")
			at.must("up", dir)
			at.sh(dir, "echo saved >'/workspaces/"+strings.ReplaceAll(name, "'", `'\''`)+"/file'")
			at.must("down", dir)
			if got := at.stored(env, "workspace")["file"]; got != "saved\n" {
				t.Errorf("the bucket has %q", got)
			}
			at.must("init", dir, "--remove", "--yes")
		})
	}
}
