package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
)

// named are the answers that a person types on every machine; image and home_volume those
// that one gave on the first.
var (
	named  = []string{"--data", "org=acme", "--data", "project=widget", "--data", "env=dev"}
	chosen = []string{"--data", "image=example.com/own:1", "--data", "home_volume=true"}
)

// made is a machine whose folder is a workspace by coltec new.
func (w *world) made(name string, data ...string) (m *machine, said string) {
	w.t.Helper()
	m = w.machine(name)
	m.env["COLTEC_PLACE"] = "/workspace"
	out, err := m.host(append([]string{"new", m.dir}, data...)...)
	if err != nil {
		w.t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return m, out
}

// A second machine made the workspace without the answers of the first: its own files
// differed from those in the bucket, and the start ended in conflicts about them.
func TestNewTakesTheAnswersOfTheBucket(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a, said := w.made("a", append(named, chosen...)...)
	if !strings.Contains(said, "the bucket has nothing of acme/widget/dev yet") {
		t.Errorf("the first machine says:\n%s", said)
	}
	a.write("src/main", "package main\n")
	a.once()

	b, said := w.made("b", named...)
	for _, name := range []string{"answers.yaml", "base/.devcontainer/devcontainer.json"} {
		if name = ".devcontainer/.coltec/" + name; a.read(name) != b.read(name) {
			t.Errorf("%s is\n%s\nand on the first machine\n%s", name, b.read(name), a.read(name))
		}
	}
	if !strings.Contains(said, "what you did not answer is as there: home_volume, image") {
		t.Errorf("the second machine says:\n%s", said)
	}
	b.once()
	unlike := []string{".coltec", "agent-context", ".devcontainer/coltec", ".devcontainer/logs"} // of each machine
	sameTree(t, treeOf(t, a.dir, unlike...), treeOf(t, b.dir, unlike...))
	if aside, err := filepath.Glob(filepath.Join(b.dir, ".coltec/conflicts/*")); err != nil || len(aside) > 0 {
		t.Errorf("conflicts: %v, %v", aside, err)
	}

	// What the answers of another machine do on this one is asked about; what was typed is not.
	if out, err := b.host("trust", "--dry-run", "--json", b.dir); err != nil || !strings.Contains(out, `"trusted": false`) || !strings.Contains(missingOf(out), "example.com/own:1") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := a.host("trust", "--dry-run", "--json", a.dir); err != nil || !strings.Contains(out, `"trusted": true`) {
		t.Errorf("%v\n%s", err, out)
	}
	// Nor by a detour: an update renders them again, and agrees to nothing.
	if out, err := b.host("update", b.dir, "--data", "region=eu-1"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := b.host("trust", "--dry-run", "--json", b.dir); err != nil || !strings.Contains(missingOf(out), "example.com/own:1") {
		t.Errorf("after an update: %v\n%s", err, out)
	}
}

// missingOf is what coltec trust --json says of what is not agreed to.
func missingOf(out string) string { return out[strings.Index(out, `"missing"`):] }

// What the bucket says, or why it says nothing, each in words of its own; the workspace is
// made all the same, from what was typed.
func TestNewSaysWhatItDidNotLookAt(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a, _ := w.made("a", append(named, chosen...)...)
	a.once()
	const ours = `"image": "mcr.microsoft.com/devcontainers/base:bookworm"`
	for name, c := range map[string]struct {
		env   map[string]string
		fnox  string
		data  []string
		says  string
		image string
	}{
		"another answer": {data: []string{"--data", "image=typed"}, says: "note: image is typed, as you say; it was example.com/own:1 on the machine that had it before", image: `"image": "typed"`},
		"wrong key":      {env: map[string]string{"RCLONE_S3_SECRET_ACCESS_KEY": "quite-wrong-value"}, says: "was not looked at: ", image: ours},
		"no key":         {env: map[string]string{"RCLONE_S3_SECRET_ACCESS_KEY": ""}, says: "was not looked at: RCLONE_S3_SECRET_ACCESS_KEY is not at hand", image: ours},
		"no network":     {env: map[string]string{"RCLONE_S3_ENDPOINT": "http://127.0.0.1:9"}, says: "connection refused", image: ours},
		"no bucket":      {data: []string{"--data", "persistence_enabled=false"}, image: ours},
		"a workspace's own fnox": {
			env:  map[string]string{"RCLONE_S3_ENDPOINT": ""},
			fnox: "[providers.p]\ntype = \"plain\"\n[secrets]\nRCLONE_S3_ENDPOINT = { provider = \"p\", value = \"" + w.endpoint + "\" }\n",
			says: "was not looked at: its secrets take what you have not agreed to", image: ours,
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := w.machine("m")
			for k, v := range c.env {
				m.env[k] = v
			}
			if c.fnox != "" {
				m.write("fnox.toml", c.fnox)
			}
			out, err := m.host(append(append([]string{"new", m.dir}, named...), c.data...)...)
			if err != nil || !strings.Contains(out, c.says) || !strings.Contains(m.read(".devcontainer/devcontainer.json"), c.image) {
				t.Errorf("%v\n%s", err, out)
			}
			if strings.Contains(out, "quite-wrong-value") || strings.Contains(out, "has nothing of") || c.says == "" && strings.Contains(out, "bucket") {
				t.Errorf("it says:\n%s", out)
			}
		})
	}
}

// Answers that somebody wrote into the bucket are input: of any size and form.
func TestNewReadsAHostileBucket(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	const head = "template: base\nversion: 1.0.0\nanswers:\n"
	for name, c := range map[string]struct {
		answers string
		says    string
		has     string // what the made devcontainer.json has
	}{
		"huge":          {head + "  image: " + strings.Repeat("x", 1<<20) + "\n", "bytes, more than", "base:bookworm"},
		"unknown keys":  {head + "  image: own\nplugins: [x]\n", "was not looked at: cannot read answers.yaml", "base:bookworm"},
		"another name":  {head + "  org: evil\n  env: evil\n  image: own\n", "as there: image", `"image": "own"`},
		"no question":   {head + "  initialize: evil\n  image: own\n", "as there: image", `"image": "own"`},
		"of two lines":  {head + `  user: "a\nb"` + "\n", "user is not taken over from there", `"remoteUser": "vscode"`},
		"escape codes":  {head + `  image: "own\e[2K"` + "\n", "image is not taken over from there", "base:bookworm"},
		"a privilege":   {head + "  run_args: --privileged\n", "as there: run_args", `"--privileged"`},
		"no answers":    {"template: base\nversion: 1.0.0\n", "", "base:bookworm"},
		"no YAML":       {"{{{", "was not looked at: cannot read answers.yaml", "base:bookworm"},
		"a template":    {"template: https://example.com/evil.git\nversion: 1.0.0\nanswers: {image: own}\n", "it was made from template https://example.com/evil.git there, and here from base", `"image": "own"`},
		"a later one":   {"template: base\nversion: 9.9.9\nanswers: {image: own}\n", "version 9.9.9 of template base", `"image": "own"`},
		"not a file":    {"", "has it as a directory", ""},
		"nothing of it": {"-", "no template made it", "base:bookworm"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a, _ := w.made("a", named...)
			const file = ".devcontainer/.coltec/answers.yaml"
			switch a.remove(file); c.answers {
			case "":
				a.write(file+"/x", "")
				c.says, c.has = "it is a directory", "base:bookworm"
			case "-":
			default:
				a.write(file, c.answers)
			}
			a.once()
			b, said := w.made("b", named...)
			if !strings.Contains(said, c.says) || !strings.Contains(b.read(".devcontainer/devcontainer.json"), c.has) {
				t.Errorf("it says\n%s\nand makes\n%s", said, b.read(".devcontainer/devcontainer.json"))
			}
			if strings.Contains(said, "\x1b") || strings.Contains(b.read(".devcontainer/workspace-spec.yaml"), "evil") {
				t.Errorf("it says %q, and makes\n%s", said, b.read(".devcontainer/workspace-spec.yaml"))
			}
			out, err := b.host("trust", "--dry-run", "--json", b.dir)
			if asks := c.has != "base:bookworm" && c.has != `"remoteUser": "vscode"`; err != nil || asks == strings.Contains(out, `"trusted": true`) {
				t.Errorf("asks %v: %v\n%s", asks, err, out)
			}
		})
	}
}
