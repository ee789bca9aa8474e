package devcontainer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// noded is a project whose compiler npm installs: from a folder beside, so that no registry is
// asked. What is in .npmrc keeps npm from asking one for other things.
var noded = map[string]string{
	"package.json":      `{"name": "p", "version": "1.0.0", "dependencies": {"tool": "file:tool"}}` + "\n",
	"package-lock.json": `{"name": "p", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": {"": {"name": "p", "version": "1.0.0", "dependencies": {"tool": "file:tool"}}, "node_modules/tool": {"resolved": "tool", "link": true}, "tool": {"version": "1.0.0", "bin": {"tsc": "tsc.js"}}}}` + "\n",
	"tool/package.json": `{"name": "tool", "version": "1.0.0", "bin": {"tsc": "tsc.js"}}` + "\n",
	"tool/tsc.js":       "#!/usr/bin/env node\nconsole.log('compiled')\n",
	".npmrc":            "audit=false\nfund=false\nupdate-notifier=false\noffline=true\n",
}

// node are arguments of docker run that put this machine's Node.js into a container.
func (g *ground) node() []string {
	g.t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		g.t.Fatal(err)
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		g.t.Fatal(err)
	}
	if npm, err = filepath.EvalSymlinks(npm); err != nil {
		g.t.Fatal(err)
	}
	modules := filepath.Dir(filepath.Dir(filepath.Dir(npm)))
	g.write("npm", "#!/bin/sh\nexec node /usr/local/lib/node_modules/npm/bin/npm-cli.js \"$@\"\n")
	if err := os.Chmod(filepath.Join(g.dir, "npm"), 0o755); err != nil {
		g.t.Fatal(err)
	}
	return []string{
		"--network=host", "--volume=" + node + ":/usr/local/bin/node:ro", "--volume=" + modules + ":/usr/local/lib/node_modules:ro",
		"--volume=" + g.dir + "/npm:/usr/local/bin/npm:ro",
	}
}

// early is what projects have there: it needs the files, and what is installed.
const early = `"postCreateCommand": "sh -c 'cat saved >made; node_modules/.bin/tsc >>made'"`

// On a hop postCreateCommand ran before the restore, and failed; what is excluded was never
// installed. Both with a project's own dev container, and with that of the template.
func TestInstallsOnAHop(t *testing.T) {
	for name, tt := range map[string]struct {
		place string
		bring func(g *ground, dir string)
	}{
		"init": {"/workspaces/w", func(g *ground, dir string) {
			args := `"` + strings.Join(g.node(), `", "`) + `"`
			g.write(filepath.Join(strings.TrimPrefix(dir, g.dir), ".devcontainer/devcontainer.json"),
				fmt.Sprintf("{\n  \"image\": %q,\n  \"remoteUser\": \"vscode\",\n  \"runArgs\": [%s],\n  %s\n}\n", os.Getenv("COLTEC_E2E_IMAGE"), args, early))
			g.must("init", dir, "--yes", "--data", "org=acme", "--data", "project=widget", "--data", "provider=Other")
		}},
		"template": {"/workspace", func(g *ground, dir string) {
			g.must("new", dir, "--data", "org=acme", "--data", "project=widget", "--data", "env=dev", "--data", "provider=Other", "--data", "region=us-east-1",
				"--data", "image="+os.Getenv("COLTEC_E2E_IMAGE"), "--data", "user=vscode", "--data", "installs=npm", "--data", "run_args="+strings.Join(g.node(), " "))
			g.edit(dir, `"onCreateCommand"`, early+",\n  \"onCreateCommand\"")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGround(t)
			machine := func(name string) string {
				for file, text := range noded {
					g.write(name+"/w/"+file, text)
				}
				dir := g.own(name + "/w")
				tt.bring(g, dir)
				if out, err := exec.Command("chown", "-R", "1000:1000", dir).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				return dir
			}
			a := machine("a")
			g.must("up", a)
			look := "cd " + tt.place + " && cat made"
			if got := g.sh(a, look); got != "compiled\n" {
				t.Errorf("at first: %q", got)
			}
			g.sh(a, "cd "+tt.place+" && echo kept >saved")
			g.must("down", a)
			b := machine("b")
			g.must("up", b)
			if got := g.sh(b, look); got != "kept\ncompiled\n" {
				t.Errorf("on another machine postCreateCommand made %q", got)
			}
			g.must("down", b)
			if err := os.RemoveAll(filepath.Join(a, "node_modules")); err != nil {
				t.Fatal(err)
			}
			// The container is there already: no command of a first start runs, and the hook does.
			g.must("up", a)
			if got := g.sh(a, "cd "+tt.place+" && node_modules/.bin/tsc"); got != "compiled\n" {
				t.Errorf("back on the first machine: %q", got)
			}
		})
	}
}
