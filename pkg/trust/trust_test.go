package trust

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// acts reads a configuration, with files of the workspace by their names.
func acts(t *testing.T, config string, files map[string]string) []string {
	t.Helper()
	list, err := Container("/w", []byte(config), ".devcontainer/devcontainer.json", func(name string) ([]byte, error) {
		if text, ok := files[name]; ok {
			return []byte(text), nil
		}
		return nil, fs.ErrNotExist
	})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, a := range list {
		lines = append(lines, a.String())
	}
	return lines
}

// Each of these ways to the host is an act, and what acts in the container is none.
func TestContainer(t *testing.T) {
	for name, c := range map[string]struct {
		config string
		files  map[string]string
		want   string // beginnings of the acts, by |
	}{
		"nothing":         {`{"name": "x", "postCreateCommand": "rm -rf /", "forwardPorts": [80]} // said`, nil, ""},
		"initialize":      {`{"initializeCommand": ["sh", "-c", "x"]}`, nil, "initializeCommand: sh|initializeCommand: -c|initializeCommand: x"},
		"by parts":        {`{"initializeCommand": {"a": "x"}}`, nil, `initializeCommand: {"a":"x"}`},
		"twice":           {`{"privileged": false, "privileged": true}`, nil, "privileged: true"},
		"escaped key":     {`{"\u0070rivileged": true}`, nil, "privileged: true"},
		"prototype":       {`{"__proto__": {"privileged": true}}`, nil, `__proto__: {"privileged":true}`},
		"other case":      {`{"Privileged": true}`, nil, "Privileged: true"},
		"unknown":         {`{"hostCommandOfTomorrow": 1}`, nil, "hostCommandOfTomorrow: 1"},
		"mount":           {`{"mounts": ["source=/,target=/h,type=bind", {"source": "v"}]}`, nil, `mounts: source=/,target=/h,type=bind|mounts: {"source":"v"}`},
		"workspace mount": {`{"workspaceMount": "source=/,target=/w,type=bind"}`, nil, "workspaceMount: source=/"},
		"capability":      {`{"capAdd": ["SYS_ADMIN"], "securityOpt": ["seccomp=unconfined"]}`, nil, "capAdd: SYS_ADMIN|securityOpt: seccomp=unconfined"},
		"port":            {`{"appPort": [8080]}`, nil, "appPort: 8080"},
		"cards":           {`{"hostRequirements": {"cpus": 2, "gpu": true}}`, nil, "hostRequirements.gpu: true"},
		"image":           {`{"image": "x"}`, nil, "image: x"},
		"variable":        {`{"containerEnv": {"A": "${localEnv:SECRET:x}", "B": "\u0024{env:OTHER}"}}`, nil, "variable of this host: OTHER|variable of this host: SECRET"},
		"build":           {`{"build": {"context": "../..", "args": {"A": "${localEnv:S}"}, "options": ["--network=host"], "target": "t"}}`, nil, `build.args: {"A":"${localEnv:S}"}|build.context: ../..|build.options: --network=host|variable of this host: S`},
		"recipe": {`{"build": {"dockerfile": "Dockerfile"}}`, map[string]string{".devcontainer/Dockerfile": "# syntax=evil/frontend\nRUN make\nfrom a\nLABEL \\\n devcontainer.metadata='[{\"privileged\":true}]'\nRUN --security=insecure x\n"},
			"build.dockerfile: Dockerfile|.devcontainer/Dockerfile: as it is now"},
		"recipe by its place": {`{"dockerFile": "${localWorkspaceFolder}/a/Dockerfile", "build": {"dockerfile": "/w/b/Dockerfile"}}`, map[string]string{"a/Dockerfile": "FROM a", "b/Dockerfile": "FROM b"},
			"build.dockerfile: /w/b/Dockerfile|b/Dockerfile: as it is now|dockerFile: ${localWorkspaceFolder}/a/Dockerfile|a/Dockerfile: as it is now"},
		"recipe of nobody here": {`{"dockerFile": "/elsewhere/Dockerfile"}`, map[string]string{"elsewhere/Dockerfile": "FROM a"}, "dockerFile: /elsewhere/Dockerfile"},
		"features": {`{"features": {"./coltec": {}, "./mine": {}, "ghcr.io/x/y": {}}}`, map[string]string{".devcontainer/mine/devcontainer-feature.json": `{"id": "mine", "privileged": true, "dependsOn": {"ghcr.io/z": {}}}`},
			"feature: ./mine|feature: ghcr.io/z|.devcontainer/mine/devcontainer-feature.json: privileged: true|feature: ghcr.io/x/y"},
		"compose": {`{"dockerComposeFile": "../compose.yml", "service": "s"}`, map[string]string{"compose.yml": "include: [{path: more.yml}]\nservices: {s: {extends: {file: base.yml}}}", "more.yml": "a: 1", "base.yml": "b: 1", ".env": "X=/"},
			"dockerComposeFile: ../compose.yml|.env: as it is now|compose.yml: as it is now|more.yml: as it is now|base.yml: as it is now"},
		"compose that builds": {`{"dockerComposeFile": ["a.yml"], "service": "s"}`, map[string]string{
			".devcontainer/a.yml":        "services:\n  a: {build: ., env_file: a.env}\n  b: {build: {context: ../b, dockerfile: D}, env_file: [{path: b.env}]}\n  c: {build: {context: c}}\n  d: {build: 'https://x/y.git'}\n",
			".devcontainer/Dockerfile":   "FROM a",
			".devcontainer/c/Dockerfile": "FROM c", "b/D": "FROM b", ".devcontainer/a.env": "A=1\n# said: x\nB: 2\n", ".devcontainer/b.env": "\tB",
		}, "dockerComposeFile: a.yml|.devcontainer/a.yml: as it is now|.devcontainer/Dockerfile: as|.devcontainer/a.env: as|b/D: as|.devcontainer/b.env: as|.devcontainer/c/Dockerfile: as"},
		"features that are not there": {`{"features": {"./a": {}, "ghcr.io/b": {}}}`, nil, "feature: ./a|feature: ghcr.io/b"},
	} {
		got := acts(t, c.config, c.files)
		want := strings.Split(c.want, "|")
		if c.want == "" {
			want = nil
		}
		if !slices.EqualFunc(got, want, strings.HasPrefix) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// What is no JSON is an error, not nothing: the dev container CLI reads broken text as
// far as it can.
func TestContainerThatIsBroken(t *testing.T) {
	deep := map[string]string{}
	for i := range 20 {
		deep[fmt.Sprintf(".devcontainer/f%d/devcontainer-feature.json", i)] = fmt.Sprintf(`{"dependsOn": {"./f%d": {}}}`, i+1)
	}
	for _, config := range []string{"", "[]", `{"a": `, `{"privileged": true`, `{"features": []}`, `{"dockerComposeFile": []}`, `{"dockerFile": "$X/Dockerfile"}`, `{"dockerComposeFile": "${localEnv:X}/c.yml"}`, "{} // said\r\"privileged\": true,\n", `{"features": {"./f0": {}}}`} {
		_, err := Container("/w", []byte(config), ".devcontainer/devcontainer.json", func(name string) ([]byte, error) {
			if text, ok := deep[name]; ok {
				return []byte(text), nil
			}
			return nil, fs.ErrNotExist
		})
		if err == nil {
			t.Errorf("%q is read", config)
		}
	}
}

func TestRecord(t *testing.T) {
	dir := t.TempDir()
	s, folder := Store(filepath.Join(dir, "state")), filepath.Join(dir, "w")
	if r, err := s.Load(folder); r != nil || err != nil {
		t.Fatal(r, err)
	}
	a, b, c := Act{"runArgs", "--label"}, Act{"runArgs", "--privileged"}, Act{Secret, "TOKEN"}
	if err := s.Save(Record{Folder: folder, Demands: Demands{Container: []Act{a, b}, Grants: []Act{c}}}); err != nil {
		t.Fatal(err)
	}
	r, err := s.Load(folder)
	if err != nil || !r.Missing(Demands{Container: []Act{a, b}, Grants: []Act{c}}).Empty() || !r.Granted(c) {
		t.Fatal(r, err)
	}
	if info, err := os.Stat(string(s)); err != nil || info.Mode().Perm() != 0o700 {
		t.Error(info, err)
	}
	// In another order --privileged is no label any more.
	turned := r.Missing(Demands{Container: []Act{b, a}})
	if lines := r.Changes(turned); len(lines) != 1 || !strings.Contains(lines[0], "another order") {
		t.Errorf("%q", lines)
	}
	more := r.Missing(Demands{Container: []Act{a, b, b}, Grants: []Act{c, {Secret, "OTHER"}}})
	if lines := r.Changes(more); !slices.Equal(lines, []string{"+ runArgs: --privileged", "+ secret: OTHER"}) {
		t.Errorf("%q", lines)
	}
	if lines := r.Changes(r.Missing(Demands{Container: []Act{a}})); !slices.Equal(lines, []string{"- runArgs: --privileged"}) {
		t.Errorf("%q", lines)
	}
	if err := os.WriteFile(s.file(folder), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(folder); err == nil {
		t.Error("a damaged record counts")
	}
	for _, s := range []Store{Store(filepath.Join(folder, "state")), "state", ""} {
		if err := s.Save(Record{Folder: folder}); err == nil {
			t.Errorf("a record is kept in %q, where the container may write it", s)
		}
		if r, err := s.Load(folder); err == nil {
			t.Errorf("what is in %q is believed: %v", s, r)
		}
	}
}

// Each container of a workspace is agreed to by itself.
func TestRecordOfSeveralContainers(t *testing.T) {
	const other = ".devcontainer/gpu/devcontainer.json"
	own, gpu := []Act{{"image", "x"}}, []Act{{"privileged", "true"}}
	var none *Record
	r := none.Agree(ourConfig, Demands{Container: own, Grants: []Act{{Secret, "A"}}})
	if r.For(other).Missing(Demands{Container: own}).Empty() {
		t.Error("what one container does is agreed to for another one")
	}
	both := r.Agree(other, Demands{Container: gpu, Grants: []Act{{Secret, "A"}, {Secret, "B"}}})
	if !both.For(other).Missing(Demands{Container: gpu}).Empty() || !both.For(ourConfig).Missing(Demands{Container: own}).Empty() || len(both.Grants) != 2 {
		t.Errorf("%+v", both)
	}
	if len(r.Others) != 0 || len(r.Grants) != 1 {
		t.Errorf("the record before is changed: %+v", r)
	}
}
