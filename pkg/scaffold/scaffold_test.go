package scaffold

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/extensions"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/agents"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/templates"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestMain is also the child that an update is killed in.
func TestMain(m *testing.M) {
	if folder := os.Getenv("SCAFFOLD_UPDATE"); folder != "" {
		if err := change2(folder); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var carried = Store{templates.FS(), extensions.FS()}

func render(t *testing.T, name string, given map[string]string) Tree {
	t.Helper()
	tm, err := carried.Open(name, ".")
	if err != nil {
		t.Fatal(err)
	}
	answers, err := tm.Answer(given, nil)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := tm.Render(answers)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// TestGolden renders every combination of template, project_type and persistence;
// Render has parsed the spec and the JSON.
func TestGolden(t *testing.T) {
	for _, name := range []string{"base", "coltec-network"} {
		for _, kind := range []string{"python", "node", "rust", "go", "monorepo", "other"} {
			for _, keep := range []string{"true", "false"} {
				id := name + "-" + kind + "-" + keep
				t.Run(id, func(t *testing.T) {
					tree := render(t, name, map[string]string{"org": "acme", "project": "widget", "env": "dev-a", "project_type": kind, "persistence_enabled": keep})
					var b strings.Builder
					for _, path := range slices.Sorted(maps.Keys(tree)) {
						if path != schemaName {
							fmt.Fprintf(&b, "-- %s %o --\n%s", path, tree[path].Mode, tree[path].Data)
						}
					}
					golden := filepath.Join("testdata", "golden", id+".txt")
					if *update {
						if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
							t.Fatal(err)
						}
						if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
							t.Fatal(err)
						}
					}
					want, err := os.ReadFile(golden)
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(string(want), b.String()); diff != "" {
						t.Errorf("run go test ./pkg/scaffold -update when this is meant (-want +got):\n%s", diff)
					}
					sp, err := spec.Parse("spec", tree[specName].Data)
					if err != nil {
						t.Fatal(err)
					}
					if sp.Networking.Enabled != (name == "coltec-network") || sp.Persistence.Enabled != (keep == "true") {
						t.Errorf("networking %v, persistence %v", sp.Networking.Enabled, sp.Persistence.Enabled)
					}
				})
			}
		}
	}
}

func TestBadAnswers(t *testing.T) {
	good := map[string]string{"org": "acme", "project": "widget", "env": "dev-a"}
	for name, c := range map[string]struct{ key, value, want string }{
		"capital":  {"org", "Acme", "small letters"},
		"empty":    {"env", "", "small letters"},
		"path":     {"project", "../x", "small letters"},
		"choice":   {"project_type", "cobol", "one of python, node"},
		"bool":     {"persistence_enabled", "maybe", "true or false"},
		"newline":  {"run_args", "a\nb", "one line"},
		"image":    {"image", `x"y`, "must fit"},
		"unknown":  {"colour", "red", "no such question"},
		"dash":     {"env", "-a", "not - first"},
		"too long": {"env", strings.Repeat("a", 21), "1 to 20"},
		"near":     {"project_type", "pyton", "did you mean python?"},
		"an agent": {"agents", "codex,cluade", `"cluade" is none of claude, codex, copilot, gemini, opencode (did you mean claude?)`},
		"agents":   {"agents", "codex claude,codex", "codex is in it twice"},
		"no agent": {"agents", "codex;claude", `"codex;claude" is none of`},
	} {
		t.Run(name, func(t *testing.T) {
			tm, err := carried.Open("base", ".")
			if err != nil {
				t.Fatal(err)
			}
			given := maps.Clone(good)
			given[c.key] = c.value
			if _, err := tm.Answer(given, nil); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.key) {
				t.Errorf("%s=%q: %v, want %q", c.key, c.value, err, c.want)
			}
		})
	}
}

// TestAgents: each template for workspaces asks for the agents that are known, and its spec has
// those that are answered.
func TestAgents(t *testing.T) {
	for _, name := range []string{"base", "coltec-network", "project"} {
		for answer, want := range map[string][]string{"": nil, "claude": {"claude"}, "claude,codex": {"claude", "codex"}, " opencode, gemini": {"opencode", "gemini"}} {
			for _, keep := range []string{"true", "false"} {
				t.Run(name+" "+answer+" "+keep, func(t *testing.T) {
					given := map[string]string{"org": "acme", "project": "widget", "env": "dev-a", "agents": answer, "persistence_enabled": keep}
					if name == "project" {
						given["folder"] = "/workspaces/widget"
					}
					text := render(t, name, given)[specName].Data
					sp, err := spec.Parse("spec", text)
					if err != nil {
						t.Fatal(err)
					}
					want := want
					if keep == "false" { // nothing travels
						want = nil
					}
					var got []string
					for _, a := range sp.Agents {
						got = append(got, a.Name)
					}
					home := slices.ContainsFunc(sp.Replicas(), func(y spec.Sync) bool { return y.Name == spec.HomeReplica })
					if !slices.Equal(got, want) || home != (want != nil) {
						t.Errorf("agents %q, and a replica of the home: %v\n%s", got, home, text)
					}
					if want == nil && strings.Contains(string(text), "agents") {
						t.Errorf("a workspace without agents is told of them:\n%s", text)
					}
				})
			}
		}
		tm, err := carried.Open(name, ".")
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(tm.Questions(), func(q Question) bool { return q.Name == "agents" })
		if got := tm.Questions()[i].Choices; !slices.Equal(got, agents.Names()) {
			t.Errorf("%s asks for %q, and known are %q", name, got, agents.Names())
		}
	}
}

// TestBefore: a question with an answer for workspaces that were made before it was there gives
// new ones its default, old ones that answer, and asks nobody.
func TestBefore(t *testing.T) {
	tm, err := carried.Open("coltec-network", ".")
	if err != nil {
		t.Fatal(err)
	}
	made := func(given map[string]string) Record {
		t.Helper()
		answers, err := tm.Answer(given, func(q Question, def *string) (string, error) {
			if q.Before != nil {
				t.Errorf("%s is asked for", q.Name)
			}
			return *def, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return NewRecord("coltec-network", tm, answers)
	}
	fresh := map[string]string{"org": "acme", "project": "widget", "env": "dev-a"}
	now := made(fresh)
	if now.Answers["agent_context"] != "false" || now.For(tm)["agent_context"] != "false" {
		t.Errorf("a new one: %q", now.Answers)
	}
	old := Record{Answers: maps.Clone(fresh)}
	old.Answers["gone"] = "asked no longer"
	given := old.For(tm)
	if given["agent_context"] != "true" || given["gone"] != "" {
		t.Errorf("an old one: %q", given)
	}
	if again := made(given); again.Answers["agent_context"] != "true" {
		t.Errorf("an old one after an update: %q", again.Answers)
	}
}

// TestMaliciousTemplates: each is refused before anything is written.
func TestMaliciousTemplates(t *testing.T) {
	yaml := "name: evil\nversion: 1\n"
	for name, files := range map[string]map[string]string{
		"rule climbs":   {"template.yaml": yaml + "files: [{path: ../x, executable: true}]\n"},
		"rule absolute": {"template.yaml": yaml + "files: [{path: /etc/x}]\n"},
		"git hook":      {"template.yaml": yaml, "files/.git/hooks/pre-commit": "x"},
		"state":         {"template.yaml": yaml, "files/.devcontainer/.coltec/answers.yaml": "x"},
		"backslash":     {"template.yaml": yaml, `files/..\x`: "x"},
		"dots":          {"template.yaml": yaml, "files/...tmpl": "x"},
		"only dots":     {"template.yaml": yaml, "files/a/...tmpl": "x"},
		"bad action":    {"template.yaml": yaml, "files/x.tmpl": "{{.secret}}"},
		"itself":        {"template.yaml": "name: evil\nversion: 1\nextends: ./\n"},
		"no merge":      {"template.yaml": yaml + "unknown: 1\n"},
		"before alone":  {"template.yaml": yaml + "questions: [{name: a, type: text, before: b}]\n"},
		"bad type":      {"template.yaml": yaml + "questions: [{name: a, type: secret}]\n"},
		"not json":      {"template.yaml": yaml, "files/a.json.tmpl": "{"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for path, text := range files {
				path = filepath.Join(dir, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			tm, err := carried.Open(dir, ".")
			if err == nil {
				_, err = tm.Render(Answers{})
			}
			if err == nil {
				t.Error("accepted")
			}
		})
	}
	t.Run("link", func(t *testing.T) {
		dir := t.TempDir()
		if err := errors.Join(os.WriteFile(filepath.Join(dir, "template.yaml"), []byte(yaml), 0o644), os.Mkdir(filepath.Join(dir, "files"), 0o755),
			os.Symlink("/etc/passwd", filepath.Join(dir, "files", "x"))); err != nil {
			t.Fatal(err)
		}
		if _, err := carried.Open(dir, "."); err == nil {
			t.Error("a link is accepted")
		}
	})
	// The workspace itself may hold a link that leads out.
	t.Run("link in the workspace", func(t *testing.T) {
		dir, out := t.TempDir(), t.TempDir()
		if err := os.Symlink(out, filepath.Join(dir, "sub")); err != nil {
			t.Fatal(err)
		}
		tree := Tree{"sub/x": {[]byte("x"), 0o644}}
		p, err := PlanNew(dir, tree, Record{})
		if err == nil {
			err = p.Write(dir)
		}
		if list, _ := os.ReadDir(out); err == nil || len(list) > 0 {
			t.Errorf("err %v, outside: %v", err, list)
		}
	})
}

// Two versions of a template for the drills.
func first() Tree {
	return Tree{
		"a.txt":     {[]byte("1\n2\n3\n4\n5\n6\n7\n"), 0o644},
		"gone.txt":  {[]byte("old\n"), 0o644},
		"kept.txt":  {[]byte("old\n"), 0o644},
		"run.sh":    {[]byte("echo\n"), 0o644},
		"data.bin":  {[]byte("\x00one"), 0o644},
		"del.txt":   {[]byte("x\n"), 0o644},
		"conf.json": {[]byte("{\n\"a\": 1,\n\n\n\"b\": 2\n}\n"), 0o644},
		"both.txt":  {[]byte("x\n"), 0o644},
	}
}

func second() Tree {
	return Tree{
		"a.txt":     {[]byte("1\n2\n3\n4\n5\n6\nseven\n"), 0o644},
		"new.txt":   {[]byte("new\n"), 0o644},
		"run.sh":    {[]byte("echo\n"), 0o755},
		"data.bin":  {[]byte("\x00two"), 0o644},
		"del.txt":   {[]byte("y\n"), 0o644},
		"conf.json": {[]byte("{\n\"a\": 1\n,\"c\":3\n\n\n\"b\": 2\n}\n"), 0o644},
		"both.txt":  {[]byte("template\n"), 0o644},
	}
}

func made(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "w s")
	p, err := PlanNew(dir, first(), Record{Template: "x", Version: "1"})
	if err == nil {
		err = p.Write(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"a.txt": "one\n2\n3\n4\n5\n6\n7\n", "kept.txt": "mine\n", "data.bin": "\x00mine", "both.txt": "mine\n", "own.txt": "own\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "del.txt")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func change2(dir string) error {
	p, err := PlanUpdate(dir, second(), Record{Template: "x", Version: "2"})
	if err != nil {
		return err
	}
	return p.Write(dir)
}

// contents lists what is in dir, but for a prepared update.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		if d.IsDir() {
			if rel == newDir || rel == readyDir {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		all[rel] = fmt.Sprintf("%o %s", info.Mode().Perm(), b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestUpdate(t *testing.T) {
	dir := made(t)
	if err := change2(dir); err != nil {
		t.Fatal(err)
	}
	got := contents(t, dir)
	maps.DeleteFunc(got, func(k, _ string) bool { return strings.HasPrefix(k, ".devcontainer") })
	want := map[string]string{
		"a.txt":        "644 one\n2\n3\n4\n5\n6\nseven\n",
		"both.txt":     "644 <<<<<<< yours\nmine\n=======\ntemplate\n>>>>>>> template 2\n",
		"conf.json":    "644 " + string(second()["conf.json"].Data),
		"data.bin":     "644 \x00mine",
		"data.bin.new": "644 \x00two",
		"kept.txt":     "644 mine\n",
		"new.txt":      "644 new\n",
		"own.txt":      "644 own\n",
		"run.sh":       "755 echo\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	p, err := PlanUpdate(dir, second(), Record{Template: "x", Version: "2"})
	if err != nil || !p.Empty() {
		t.Errorf("a second update has something to do: %v %+v", err, p)
	}
}

// TestMergeThatNoLongerParses keeps the file and puts the template's beside it.
func TestMergeThatNoLongerParses(t *testing.T) {
	dir := t.TempDir()
	then := Tree{"c.json": {[]byte("{\n\"a\": 1\n\n\n}\n"), 0o644}}
	p, err := PlanNew(dir, then, Record{})
	if err == nil {
		err = p.Write(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	mine := "{\n\"a\": 1\n\n\n,\"m\": 2}\n"
	if err := os.WriteFile(filepath.Join(dir, "c.json"), []byte(mine), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err = PlanUpdate(dir, Tree{"c.json": {[]byte("{\n\"a\": 1,\n\"t\": 3,\"u\": [\n\n\n]}\n"), 0o644}}, Record{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Conflicts() != 1 {
		t.Errorf("%+v", p.Actions)
	}
	if err := p.Write(dir); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "c.json")); err != nil || !strings.Contains(string(b), `"m": 2`) {
		t.Errorf("%v %s", err, b)
	}
}

// TestKilledUpdate kills an update at each of its steps. What is there then is as
// before, or becomes as after by the next call.
func TestKilledUpdate(t *testing.T) {
	sample.Long(t)
	whole := made(t)
	if err := change2(whole); err != nil {
		t.Fatal(err)
	}
	after := contents(t, whole)
	steps := 0
	for n := 1; ; n++ {
		var point string
		switch n {
		case 1:
			point = "scaffold:staged"
		case 2:
			point = "scaffold:decided"
		default:
			point = fmt.Sprintf("scaffold:step:%d", n-2)
		}
		dir := made(t)
		before := contents(t, dir)
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "SCAFFOLD_UPDATE="+dir, killpoint.Variable+"="+point)
		out, err := cmd.CombinedOutput()
		if err == nil {
			if steps < 8 {
				t.Fatalf("the update was killed %d times only: %s", steps, out)
			}
			return
		}
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
			t.Fatalf("%s: %v: %s", point, err, out)
		}
		steps++
		if point == "scaffold:staged" {
			if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
				t.Errorf("%s: not as before: %s", point, diff)
			}
			if err := change2(dir); err != nil {
				t.Fatal(err)
			}
		} else if left, err := Recover(dir); err != nil || left != nil {
			t.Errorf("%s: left %v, %v", point, left, err)
		}
		if diff := cmp.Diff(after, contents(t, dir)); diff != "" {
			t.Errorf("%s: not as after: %s", point, diff)
		}
	}
}

// TestNewOverwritesNothing: what is there stays, and the error names it.
func TestNewOverwritesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := PlanNew(dir, first(), Record{}); err == nil || !strings.Contains(err.Error(), "a.txt") {
		t.Errorf("%v", err)
	}
	again := made(t)
	if _, err := PlanNew(again, first(), Record{}); err == nil || !strings.Contains(err.Error(), "is one") {
		t.Errorf("%v", err)
	}
}

// TestEverythingIsCarried compares the embedded templates with the disk: embed
// drops files by rules of its own.
func TestEverythingIsCarried(t *testing.T) {
	for dir, f := range map[string]fs.FS{"../../templates/base": templates.FS(), "../../extensions/coltec-network": extensions.FS()} {
		sub, err := fs.Sub(f, filepath.Base(dir))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		if err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				names = append(names, name)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if err := fstest.TestFS(sub, names...); err != nil {
			t.Error(err)
		}
	}
}
