package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a shell is offered, by the spec and the status file. No coltecd runs, and the bucket
// is nowhere.
func TestCompletion(t *testing.T) {
	dir := t.TempDir()
	const text = `version: 1.0.0
name: dev-a
metadata: {org: acme, project: widget, environment: dev-a}
agents: [codex]
services: [{name: web, command: ["true"]}, {name: worker, command: ["true"]}]
persistence:
  enabled: true
  default_remote: primary
  remotes: {primary: {type: s3, bucket: b, options: {provider: Other, endpoint: "http://127.0.0.1:9"}}}
  sync: [{name: workspace, path: /workspace, remote_path: "workspaces/{org}/{project}/{env}/code"}]
`
	write := func(name, text string) {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(".devcontainer/workspace-spec.yaml", text)
	t.Chdir(dir)
	var environ []string
	hold := func(line, want string) {
		t.Helper()
		var out bytes.Buffer
		words := strings.Split(line, " ")
		if code := run(t.Context(), append([]string{"coltecd", "__complete"}, words...), stdio{out: &out, err: &out}, environ); code != 0 {
			t.Errorf("%s: exit %d", line, code)
		}
		var got []string
		for l := range strings.Lines(out.String()) {
			word, _, _ := strings.Cut(strings.TrimSpace(l), "\t")
			got = append(got, word)
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %q, want %q", line, s, want)
		}
	}
	write(".devcontainer/workspace-spec.yaml", strings.Replace(text, "path: /workspace", "path: "+dir, 1))
	write("a b", "of another machine")
	write(".coltec/conflicts/20300102T030405.000Z-desk/a b", "kept")
	hold("conflicts take ", "words 20300102T030405.000Z-desk/a b")
	hold("conflicts drop 2030", "words 20300102T030405.000Z-desk/a b")
	hold("conflicts show a", "words")
	above, base := filepath.Split(dir)
	for path, variable := range map[string]string{"~": "HOME=" + dir, "~/" + base: "HOME=" + above, "/elsewhere": "COLTEC_PLACE=/elsewhere"} {
		write(".devcontainer/workspace-spec.yaml", strings.NewReplacer("path: /workspace", "path: "+path, "agents: [codex]", "").Replace(text))
		environ = []string{variable}
		hold("conflicts take ", "words 20300102T030405.000Z-desk/a b")
	}
	environ = nil
	write(".devcontainer/workspace-spec.yaml", text)
	hold("st", "words start stop status")
	hold("restart w", "words web worker workspace")
	hold("sync ", "words home workspace")
	hold("verify w", "words workspace")
	hold("logs ", "words web worker coltecd")
	hold("history ", "words ls show restore")
	hold("rewind x --path ", "files")
	hold("history restore x --at ", "words 1h 1d")
	hold("history --replica w", "words workspace")
	hold("history --replica=w", "words --replica=workspace")
	hold("history --replica=", "words --replica=home --replica=workspace")
	hold("history --json=", "words")
	hold("logs -fn 5 c", "words coltecd")
	hold("logs -fn5 c", "words coltecd")
	hold("agents cl", "words claude")
	hold("agents ch", "words check")
	hold("agents logout --agent=", "words --agent=codex")
	hold("agents resume ", "words codex")
	hold("agents report w", "words waits working")
	hold("run --only=work", "words --only=worker --only=workspace")
	hold("wait r", "words restored ready")
	hold("install ", "folders")
	hold("verify --config=", "files")
	hold("checkpoint ", "words")
	hold("history ls ", "files")
	hold("validate ", "files")
	hold("history restore x --to ", "folders")
	hold("--con", "words --config")
	hold("status --w", "words --wide --watch")
	hold("guard", "words")
	hold("nothing x", "words")
	hold("logs -- w", "words web worker")
	write(".devcontainer/logs/status.json", `{"state":"stopped","lease":{"generation":2,"checkpoints":["old","before-lunch"]},"units":[{"name":"hook:x","kind":"hook","state":"exited"}]}`)
	hold("history show ", "words before-lunch old 2 1 1h 1d")
	hold("history restore --at b", "words before-lunch")
	hold("rewind ", "words before-lunch old 2 1 1h 1d")
	hold("compare before-lunch o", "words old")
	hold("checkpoint --remove o", "words old")
	hold("checkpoint o", "words")
	hold("logs h", "words hook:x")
	write(".devcontainer/workspace-spec.yaml", "broken: [")
	hold("sync ", "words")
}
