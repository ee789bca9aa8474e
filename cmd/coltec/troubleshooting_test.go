package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/rclone"
)

// trouble is something that a newcomer meets: a call, in a folder with the workspace w.
type trouble struct {
	title  string // as a person would say it
	why    string
	args   string
	docker string // what a docker there does, a script; "": there is none
	spec   string // of w; "": one that keeps nothing in a bucket
	also   map[string]string
	env    []string
}

const (
	plainSpec  = "version: 1.0.0\nname: dev-a\nmetadata: {org: acme, project: widget, environment: dev-a}\n"
	bucketSpec = plainSpec + `secrets: [{name: RCLONE_BUCKET, required: true}]
persistence:
  enabled: true
  default_remote: primary
  remotes: {primary: {type: s3, bucket: "${RCLONE_BUCKET}", options: {provider: Other, endpoint: "http://127.0.0.1:9"}}}
  sync: [{name: workspace, path: /workspace, remote_path: "workspaces/{org}/{project}/{env}"}]
`
	noDaemon  = "echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?' >&2; exit 1"
	noRights  = "echo 'permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock' >&2; exit 1"
	noneThere = "exit 0"
	container = `case $1 in
ps) echo c0ffee ;;
inspect) echo '{"ID":"c0ffee","Running":%s,"Labels":{"devcontainer.local_folder":"'"$HOME"'/w"}}' ;;
exec) case "$*" in %s esac ;;
esac`
)

// devcontainerCLI is a dev container CLI that finds the container as it is.
var devcontainerCLI = map[string]string{"bin/devcontainer": "#!/bin/sh\necho '{\"outcome\": \"success\", \"containerId\": \"c0ffee\"}'\n"}

func containerThat(running, does string) string { return fmt.Sprintf(container, running, does) }

var troubles = []trouble{
	{title: "There is no Docker", why: "Verbs that bring a container up, stop it or look into it need it. Those that make and check a workspace, and those that read its bucket (`history`, `compare`, `export`, `fork`), do without; `ls` shows what the folders and the bucket say, and that containers could not be asked.", args: "status w"},
	{title: "Docker is there, and does not answer", why: "Its daemon does not run.", args: "status w", docker: noDaemon},
	{title: "Docker says “permission denied”", why: "Your user may not speak with its daemon.", args: "status w", docker: noRights},
	{title: "`up` cannot find `devcontainer`", why: "Containers are made by the dev container CLI, which editors have in them, but not on PATH.", args: "up w", docker: noneThere},
	{title: "It is not found what you named", why: "A workspace is named by its folder, a folder in it, `org/project/env`, or a part of that.", args: "status nowhere", docker: noneThere},
	{title: "A name with a mistake in it", why: "Nothing is done by a guess; the nearest name is said.", args: "down dev-aa", docker: noneThere},
	{title: "A name that several have", why: "Nothing is done by a guess.", args: "down widget", docker: noneThere, also: map[string]string{"b/" + specName: strings.ReplaceAll(plainSpec, "dev-a", "dev-b")}},
	{title: "The workspace has no container", why: "It was never brought up here, or its container was removed; nothing is lost by that.", args: "status w", docker: noneThere},
	{title: "Its container does not run", why: "It was stopped, by `coltec down` or by Docker.", args: "exec w -- ls", docker: containerThat("false", "")},
	{title: "There is a workspace already", why: "`new` writes over nothing.", args: "new w --data org=acme --data project=widget --data env=dev-a"},
	{title: "A template is not found", why: "", args: "new v --template bsae --defaults"},
	{title: "The spec is not valid", why: "Each mistake is said with its line.", args: "check w", spec: plainSpec + "servces: []\n"},
	{title: "The project is mounted elsewhere than the spec says", why: "Nothing of it would be saved.", args: "check w", spec: bucketSpec},
	{title: "Secrets are missing", why: "The bucket's keys are looked for in the environment and in `fnox.toml`.", args: "secrets export w -o -", spec: bucketSpec},
	{title: "It says that you have not agreed", why: "Who can write into a workspace, an agent for one, could else have your keys sent anywhere.", args: "secrets export w -o -", spec: bucketSpec, env: []string{"RCLONE_BUCKET=b"}},
	{title: "This host has no rclone", why: "Verbs that speak with the bucket from this host need the one that comes with Coltec.", args: "doctor w", docker: noneThere},
	{title: "There is no coltecd in the container", why: "Its image was made without the Feature.", args: "up w", docker: containerThat("true", "*start*) exit 127 ;;"), also: devcontainerCLI},
	{title: "Another machine has the workspace", why: "One machine at a time writes.", args: "up w", also: devcontainerCLI,
		docker: containerThat("true", `*status*) echo '{"state": "degraded", "lease": {"state": "waiting", "holder": {"host": "laptop"}}}' ;;`)},
	{title: "`down` says that the container is still running", why: "coltecd did not end in order, so what is not pushed would be lost by a kill.", args: "down w", docker: containerThat("true", "*stop*) exit 1 ;;")},
	{title: "A verb that is not there", why: "", args: "open w"},
	{title: "A flag that is not there", why: "", args: "ls --jsno"},
}

// TestTroubleshootingDoc holds docs/troubleshooting.md to what the program says. Run it with
// -update to write the page anew.
func TestTroubleshootingDoc(t *testing.T) {
	const path = "../../docs/troubleshooting.md"
	var b strings.Builder
	b.WriteString(`# Troubleshooting

<!-- Generated from what the programs say: go test ./cmd/coltec -run TroubleshootingDoc -update -->

First: ` + "`coltec doctor DIR`" + ` looks at Docker, the dev container CLI, paths, secrets, the bucket, its rights, region, clock and
certificate one by one, each with its fix. ` + "`coltec logs DIR`" + ` has what coltecd said.

## On this host
`)
	for _, x := range troubles {
		var said string
		t.Run(x.title, func(t *testing.T) { said = x.meet(t) })
		if !strings.Contains(said, "hint: ") && !strings.Contains(said, "fix: ") && !strings.Contains(said, "take it over") {
			t.Errorf("%s: no next step:\n%s", x.title, said)
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s    $ coltec %s\n", x.title, strings.TrimPrefix(x.why+"\n\n", "\n\n"), x.args)
		for line := range strings.Lines(said) {
			b.WriteString("    " + line)
		}
	}
	b.WriteString("\n## The bucket\n\nBy what an error says; where the store's own words make a difference, they are named. `status` and `doctor`\nshow them.\n")
	last := ""
	for _, x := range rclone.Symptoms() {
		if x.Says != last {
			last = x.Says
			fmt.Fprintf(&b, "\n### “%s”\n\n", x.Says)
		}
		sign := ""
		if x.Sign != "" {
			sign = "**" + x.Sign + "**: "
		}
		fmt.Fprintf(&b, "- %s%s\n", sign, x.Step)
	}
	b.WriteString("\n## Exit codes\n\n[docs/cli-coltec.md](cli-coltec.md#exit-codes) and [docs/cli.md](cli.md#exit-codes).\n")
	want := b.String()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/troubleshooting.md is not what the programs say; run: make generate\n%s", diff)
	}
}

// saidLine are the lines of an answer that are about what went wrong.
var saidLine = regexp.MustCompile(`^(error: |hint: |FAIL |\s+fix: |dev-a: .* has the lease)`)

// meet makes the call, and gives what it says of the trouble, without what differs from one
// machine to the next.
func (x trouble) meet(t *testing.T) string {
	t.Helper()
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"w/" + specName: x.spec, "w/" + configName: "{}", "bin/keep": "", "none/keep": ""}
	if x.spec == "" {
		files["w/"+specName] = plainSpec
	}
	if x.docker != "" {
		files["bin/docker"] = "#!/bin/sh\n" + x.docker + "\n"
	}
	for name, text := range x.also {
		files[name] = text
	}
	for name, text := range files {
		file := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(home)
	var out, errs bytes.Buffer
	environ := append([]string{"PATH=" + filepath.Join(home, "bin"), "HOME=" + home, "COLTEC_BIN=" + filepath.Join(home, "none")}, x.env...)
	if code := run(t.Context(), append([]string{"coltec"}, strings.Fields(x.args)...), stdio{strings.NewReader(""), &out, &errs}, environ); code == 0 {
		t.Errorf("%s: it is none:\n%s%s", x.title, out.String(), errs.String())
	}
	var b strings.Builder
	for line := range strings.Lines(out.String() + errs.String()) {
		if saidLine.MatchString(line) {
			b.WriteString(strings.ReplaceAll(line, home, "/home/you"))
		}
	}
	return b.String()
}
