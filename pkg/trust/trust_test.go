package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/wholefile"
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
	t.Setenv("COLTEC_TEST_PLACE", "sub")
	t.Setenv("COLTEC_TEST_EMPTY", "")
	t.Setenv("HOME", "/w")
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
		"recipe of nobody here": {`{"dockerFile": "/elsewhere/Dockerfile"}`, map[string]string{"elsewhere/Dockerfile": "FROM a"}, "dockerFile: /elsewhere/Dockerfile|/elsewhere/Dockerfile: not there"},
		"features": {`{"features": {"./coltec": {}, "./mine": {}, "ghcr.io/x/y": {}}}`, map[string]string{".devcontainer/mine/devcontainer-feature.json": `{"id": "mine", "privileged": true, "dependsOn": {"ghcr.io/z": {}}}`},
			"feature: ./mine|feature: ghcr.io/z|.devcontainer/mine/devcontainer-feature.json: privileged: true|feature: ghcr.io/x/y"},
		"features that are looked up": {`{"features": {"./mine": {}}, "overrideFeatureInstallOrder": ["r.example/a"]}`, map[string]string{".devcontainer/mine/devcontainer-feature.json": `{"id": "mine", "installsAfter": ["r.example/b"]}`},
			"feature: ./mine|.devcontainer/mine/devcontainer-feature.json: installsAfter: r.example/b|overrideFeatureInstallOrder: r.example/a"},
		"feature that is written elsewhere": {`{"features": {"./mine": {}}}`, map[string]string{".devcontainer/mine/devcontainer-feature.json": `{"id": "../../../../home/u/x", "entrypoint": "a\"]\n    privileged: true", "containerEnv": {"A=1\nFROM x\nENV B": "", "PATH": "/x:${PATH}"}}`},
			`feature: ./mine|.devcontainer/mine/devcontainer-feature.json: containerEnv: {"A=1\nFROM|.devcontainer/mine/devcontainer-feature.json: entrypoint: a"]|.devcontainer/mine/devcontainer-feature.json: id: ../..`},
		"feature that is plain": {`{"features": {"./mine": {}}}`, map[string]string{".devcontainer/mine/devcontainer-feature.json": `{"id": "my-mine_2", "entrypoint": "/usr/local/share/x.sh", "containerEnv": {"PATH": "/x:${PATH}"}, "init": true}`}, "feature: ./mine"},
		"user with more":        {`{"containerUser": "root\n    privileged: true\n    volumes: [\"/:/host\"]"}`, nil, "containerUser: root\n    privileged: true"},
		"user by default":       {`{"remoteUser": "${localEnv:NONE:root\n  x: y}"}`, nil, "remoteUser: ${localEnv:NONE:root\n|variable of this host: NONE"},
		"name with more":        {`{"containerEnv": {"A=1'\n    privileged: true #": "x"}}`, nil, `containerEnv: {"A=1'\n    privileged`},
		"value of lines":        {`{"containerEnv": {"A": "x\nFROM evil"}}`, nil, `containerEnv: {"A":"x\nFROM evil"}`},
		"options for services":  {`{"runServices": ["db", "--ssh=default"]}`, nil, "runServices: db|runServices: --ssh=default"},
		"service with more":     {`{"service": "a':\n    privileged: true #"}`, nil, "service: a'"},
		"target with an option": {`{"build": {"target": "--output=/x"}}`, nil, "build.target: --output"},
		"folder within a mount": {`{"mounts": ["source=v,target=${containerWorkspaceFolder}/x"], "workspaceFolder": "/w"}`, nil, "mounts: source=v|workspaceFolder: /w"},
		"folder with more":      {`{"workspaceFolder": "/w,source=/"}`, nil, "workspaceFolder: /w,source=/"},
		"plain": {`{"remoteUser": "vscode", "containerUser": "${localEnv:USER}", "containerEnv": {"A_1": "a 'b' \"c\": ${localWorkspaceFolder}", "N": 1}, "runServices": ["db", "web-1.x"], "service": "app", "workspaceFolder": "/workspaces/${localWorkspaceFolderBasename}", "build": {"target": "dev"}}`, nil,
			"variable of this host: USER"},
		"nothing said":              {`{"runArgs": [], "mounts": null}`, nil, "mounts: null|runArgs: []"},
		"lock of a tag":             {`{"features": {"r.example/a:1": {}}}`, map[string]string{".devcontainer/devcontainer-lock.json": `{"features": {"r.example/a:1": {"version": "1.0.0", "integrity": "sha256:aa"}}}`}, "feature: r.example/a:1"},
		"lock of a digest":          {`{"features": {"r.example/a@sha256:aa": {}}}`, map[string]string{".devcontainer/devcontainer-lock.json": `{"features": {"r.example/a@sha256:aa": {"integrity": "sha256:aa"}}}`}, "feature: r.example/a@sha256:aa"},
		"lock of another digest":    {`{"features": {"r.example/a@sha256:aa": {}}}`, map[string]string{".devcontainer/devcontainer-lock.json": `{"features": {"r.example/a@sha256:aa": {"integrity": "sha256:bb"}}}`}, "feature: r.example/a@sha256:aa|.devcontainer/devcontainer-lock.json: r.example/a@sha256:aa: sha256:bb"},
		"lock of two cases":         {`{}`, map[string]string{".devcontainer/devcontainer-lock.json": `{"features": {"r.example/a@sha256:aa": {"integrity": "sha256:bb", "Integrity": "sha256:aa"}}, "Features": {"r.example/a@sha256:aa": {"integrity": "sha256:aa"}}}`}, ".devcontainer/devcontainer-lock.json: r.example/a@sha256:aa: sha256:bb"},
		"lock that is not read":     {`{}`, map[string]string{".devcontainer/devcontainer-lock.json": `{"features": {"r.example/a@sha256:aa": {"integrity": "sha256:bb"}}`}, ".devcontainer/devcontainer-lock.json: as it is now"},
		"lock that is to be filled": {`{}`, map[string]string{".devcontainer/devcontainer-lock.json": "\n"}, ""},
		"compose": {`{"dockerComposeFile": "../compose.yml", "service": "s"}`, map[string]string{"compose.yml": "include: [{path: more.yml}]\nservices: {s: {extends: {file: base.yml}}}", "more.yml": "a: 1", "base.yml": "b: 1", ".env": "X=/"},
			"dockerComposeFile: ../compose.yml|.env: as it is now|compose.yml: as it is now|more.yml: as it is now|base.yml: as it is now"},
		"compose that builds": {`{"dockerComposeFile": ["a.yml"], "service": "s"}`, map[string]string{
			".devcontainer/a.yml":        "services:\n  a: {build: ., env_file: a.env}\n  b: {build: {context: ../b, dockerfile: D}, env_file: [{path: b.env}]}\n  c: {build: {context: c}}\n  d: {build: 'https://x/y.git'}\n",
			".devcontainer/Dockerfile":   "FROM a",
			".devcontainer/c/Dockerfile": "FROM c", "b/D": "FROM b", ".devcontainer/a.env": "A=1\n# said: x\nB: 2\n", ".devcontainer/b.env": "\tB",
		}, "dockerComposeFile: a.yml|.devcontainer/a.yml: as it is now|.devcontainer/Dockerfile: as|.devcontainer/a.env: as|b/D: as|.devcontainer/b.env: as|.devcontainer/c/Dockerfile: as"},
		"compose in the folder of the first": {`{"dockerComposeFile": ["../docker-compose.yml", "docker-compose.yml"], "service": "a"}`, map[string]string{
			"docker-compose.yml": "services: {a: {image: x}}", ".devcontainer/docker-compose.yml": "services:\n  a:\n    env_file: a.env\n    extends: {service: b, file: base.yml}\n    build: {context: ., dockerfile: .devcontainer/Dockerfile}\n",
			".devcontainer/Dockerfile": "FROM a", "a.env": "", "base.yml": "services: {b: {build: sub}}", "sub/Dockerfile": "FROM b",
		}, "dockerComposeFile: ../docker-compose.yml|dockerComposeFile: docker-compose.yml|docker-compose.yml: as|.devcontainer/docker-compose.yml: as|a.env: as|base.yml: as|sub/Dockerfile: as|.devcontainer/Dockerfile: as"},
		"compose that is not there": {`{"dockerComposeFile": "c.yml"}`, map[string]string{".devcontainer/c.yml": "services: {a: {build: x}}"}, "dockerComposeFile: c.yml|.devcontainer/c.yml: as|.devcontainer/x/Dockerfile: not there"},
		"compose by other names": {`{"dockerComposeFile": ["${localWorkspaceFolder}//a.yml", "/w/./b.yml", "../../w/c.yml", "${localWorkspaceFolder}/../${localWorkspaceFolderBasename}/d.yml"]}`, map[string]string{"a.yml": "a: 1", "b.yml": "b: 1", "c.yml": "c: 1", "d.yml": "d: 1"},
			"dockerComposeFile: ${localWorkspaceFolder}//a.yml|dockerComposeFile: /w/./b.yml|dockerComposeFile: ../../w/c.yml|dockerComposeFile: ${localWorkspaceFolder}/../|a.yml: as|b.yml: as|c.yml: as|d.yml: as"},
		"compose that includes": {`{"dockerComposeFile": "../c.yml"}`, map[string]string{
			"c.yml":     "include:\n  - sub/c.yml\n  - path: [p/a.yml, q/b.yml]\n    project_directory: at\n    env_file: [v.env, /dev/null]\n  - https://r.example/x.git\n",
			"sub/c.yml": "services: {s: {build: x}}", "sub/.env": "A=1", "sub/x/Dockerfile": "FROM a", "p/a.yml": "services: {s: {build: .}}", "q/b.yml": "services: {t: {env_file: b.env}}", "at/.env": "B=1", "at/Dockerfile": "FROM b", "at/b.env": "", "v.env": "C=1",
		}, "dockerComposeFile: ../c.yml|c.yml: as|sub/.env: as|sub/c.yml: as|sub/x/Dockerfile: as|v.env: as|at/.env: as|p/a.yml: as|at/Dockerfile: as|q/b.yml: as|at/b.env: as"},
		"compose with variables": {`{"dockerComposeFile": "../c.yml"}`, map[string]string{"c.yml": "include: ['${COLTEC_TEST_X:-i}.yml']\nservices: {s: {env_file: $COLTEC_TEST_X/a.env, build: {context: '${COLTEC_TEST_PLACE:-.}', dockerfile: '${COLTEC_TEST_EMPTY-x}Dockerfile'}}}\n", ".env": "OTHER=1"},
			"dockerComposeFile: ../c.yml|.env: as|c.yml: as|i.yml: not there|/a.env: not there|sub/Dockerfile: not there|variable of this host: COLTEC_TEST_EMPTY|variable of this host: COLTEC_TEST_PLACE|variable of this host: COLTEC_TEST_X"},
		"compose with a home": {`{"dockerComposeFile": "../c.yml"}`, map[string]string{"c.yml": "services: {s: {build: ~/x}, t: {env_file: a~}}\n", "x/Dockerfile": "FROM a", "a~": ""},
			"dockerComposeFile: ../c.yml|c.yml: as|~/x/Dockerfile: not there|x/Dockerfile: as|a~: as"},
		"compose with anchors": {`{"dockerComposeFile": "../c.yml"}`, map[string]string{
			"c.yml": "x-a: &a {build: a}\nx-b: &b\n  build: b\nx-l: &l [l.env]\nservices:\n  s:\n    build: &s s\n    <<: *a\n  t:\n    <<: [*a, *b]\n  u: !override\n    build: !!str u\n    env_file: *l\n    extends: s\n    environment: {build: y, include: z}\n",
		}, "dockerComposeFile: ../c.yml|c.yml: as|s/Dockerfile: not|a/Dockerfile: not|b/Dockerfile: not|u/Dockerfile: not|l.env: not"},
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
	compose := func(text string) map[string]string { return map[string]string{".devcontainer/c.yml": text} }
	const composed = `{"dockerComposeFile": "c.yml"}`
	for name, c := range map[string]struct {
		config string
		files  map[string]string
	}{
		"empty": {"", nil}, "list": {"[]", nil}, "half": {`{"a": `, nil}, "open": {`{"privileged": true`, nil}, "features": {`{"features": []}`, nil},
		"deep": {strings.Repeat("[", 2<<20), nil}, "deep features": {`{"features": {"./f0": {}}}`, deep}, "a deep feature": {`{"features": {"./f": {}}}`, map[string]string{".devcontainer/f/devcontainer-feature.json": strings.Repeat("[", 2<<20)}},
		"end of a comment": {"{} // said\r\"privileged\": true,\n", nil},
		"compose null":     {`{"dockerComposeFile": null, "service": "app"}`, map[string]string{"docker-compose.yml": "services: {app: {privileged: true}}"}},
		"compose true":     {`{"dockerComposeFile": true}`, nil}, "compose 1": {`{"dockerComposeFile": 1}`, nil}, "compose map": {`{"dockerComposeFile": {}}`, nil}, "compose list": {`{"dockerComposeFile": []}`, nil}, "compose text": {`{"dockerComposeFile": ""}`, nil}, "compose texts": {`{"dockerComposeFile": ["a.yml", ""]}`, nil}, "compose null in a list": {`{"dockerComposeFile": [null]}`, nil},
		"variable": {`{"dockerFile": "$X/Dockerfile"}`, nil}, "variable of the container": {`{"dockerComposeFile": "${containerWorkspaceFolder}/c.yml"}`, nil},
		"variable in include": {composed, map[string]string{".devcontainer/c.yml": `include: ["${COLTEC_TEST_X:-other.yml}"]`, ".env": "export COLTEC_TEST_X = more.yml"}},
		"variable within one": {composed, compose(`include: ["${COLTEC_TEST_X:-${COLTEC_TEST_Y:-other.yml}}"]`)}, "home by default": {composed, compose(`services: {s: {build: "${COLTEC_TEST_X:-~/x}"}}`)}, "variable with an alternative": {composed, compose(`include: ["${COLTEC_TEST_X:+other.yml}"]`)}, "variable in extends": {composed, compose(`services: {s: {extends: {file: "$$X"}}}`)},
		"second document": {composed, compose("a: 1\n---\ninclude: [other.yml]\n")}, "bytes": {composed, compose("include: !!binary b3RoZXIueW1s")}, "bytes as a key": {composed, compose("!!binary aW5jbHVkZQ==: [other.yml]")},
		"another end of a line": {composed, compose("# said\u0085include: [other.yml]\n")}, "include of a number": {composed, compose("include: [1]")}, "include of tomorrow": {composed, compose("include: [{path: a.yml, paths: [b.yml]}]")},
		"no end":           {composed, compose("a: &a\n  <<: *a\nservices: {s: *a}\n")},
		"laughs":           {composed, compose("a: &a {build: x}\nb: &b {<<: [*a, *a, *a, *a, *a, *a, *a, *a, *a]}\nc: &c {<<: [*b, *b, *b, *b, *b, *b, *b, *b, *b]}\nd: &d {<<: [*c, *c, *c, *c, *c, *c, *c, *c]}\ne: &e {<<: [*d, *d, *d, *d, *d, *d, *d, *d]}\nservices: {s: {<<: [*e, *e, *e, *e, *e, *e, *e]}}\n")},
		"include of a map": {composed, compose("include: {a: b}")},
	} {
		_, err := Container("/w", []byte(c.config), ".devcontainer/devcontainer.json", func(name string) ([]byte, error) {
			if text, ok := c.files[name]; ok {
				return []byte(text), nil
			}
			return nil, fs.ErrNotExist
		})
		if err == nil {
			t.Errorf("%s is read", name)
			continue
		}
		t.Logf("%s: %v", name, err)
	}
}

// What is named counts wherever it lies, and by whatever way it is named: a link in a path
// is followed to its end.
func TestContainerInAFolder(t *testing.T) {
	dir := t.TempDir()
	folder, outside := filepath.Join(dir, "ws"), filepath.Join(dir, "outside")
	for name, text := range map[string]string{"ws/.devcontainer/c.yml": "a: 1", "ws/other.yml": "b: 1", "outside/secrets.env": "S=1", "outside/c.yml": "services: {s: {env_file: ../ws/in.env}}", "ws/in.env": "A=1"} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"by": "ws", "ws/absolute.yml": filepath.Join(folder, "other.yml"), "ws/out.yml": "../outside/c.yml", "ws/env/.env": "../../outside/secrets.env", "ws/gone/.env": "../../outside/none", "ws/round.yml": "round.yml", "ws/.devcontainer/l/devcontainer-lock.json": "../../../outside/new.json",
	} {
		link := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink(target, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"ws/.env", "ws/env/c.yml", "ws/gone/c.yml", "ws/big.yml"} {
		var err error
		switch filepath.Base(name) {
		case ".env":
			err = os.Mkdir(filepath.Join(dir, name), 0o755) // python -m venv .env
		case "c.yml":
			err = os.WriteFile(filepath.Join(dir, name), []byte("c: 1"), 0o644)
		default:
			err = os.WriteFile(filepath.Join(dir, name), make([]byte, 300<<10), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	t.Setenv("COLTEC_TEST_PLACE", outside)
	look := func(folder, at, config string) (string, error) {
		list, err := Container(folder, []byte(config), at, func(name string) ([]byte, error) { return wholefile.ReadIn(root, name, wholefile.ByHand) })
		var lines []string
		for _, a := range list {
			line, _, _ := strings.Cut(strings.ReplaceAll(a.String(), dir, "DIR"), "as it is now")
			lines = append(lines, line)
		}
		return strings.Join(lines, "|"), err
	}
	const at = ".devcontainer/devcontainer.json"
	for name, c := range map[string]struct{ file, want string }{
		"two slashes":               {"${localWorkspaceFolder}//other.yml", "other.yml: "},
		"out and in":                {"../../ws/.devcontainer/c.yml", ".devcontainer/c.yml: "},
		"by a link":                 {"../../by/other.yml", "DIR/by/other.yml: a link to other.yml, "},
		"an absolute link":          {"../absolute.yml", "absolute.yml: a link to other.yml, "},
		"a link that leads out":     {"../out.yml", "out.yml: a link to DIR/outside/c.yml, |in.env: "},
		"elsewhere":                 {"../../outside/c.yml", "DIR/outside/c.yml: |in.env: "},
		"by a variable":             {"${localEnv:COLTEC_TEST_PLACE}/c.yml", "DIR/outside/c.yml: |in.env: |variable of this host: COLTEC_TEST_PLACE"},
		"by a default":              {"${localEnv:COLTEC_TEST_NONE:..}/other.yml", "other.yml: |variable of this host: COLTEC_TEST_NONE"},
		"a .env that leads out":     {"../env/c.yml", "env/.env: a link to DIR/outside/secrets.env, |env/c.yml: "},
		"one that leads to nothing": {"../gone/c.yml", "gone/c.yml: "},
		"nothing":                   {"../none.yml", "none.yml: not there"},
		"a folder":                  {"../env", "env: not there"},
	} {
		got, err := look(folder, at, fmt.Sprintf(`{"dockerComposeFile": %q}`, c.file))
		if want := "dockerComposeFile: " + c.file + "|" + c.want; got != want || err != nil {
			t.Errorf("%s: %s, %v\nwant %s", name, got, err, want)
		}
	}
	if got, err := look(filepath.Join(dir, "by"), at, `{"dockerComposeFile": "`+folder+`/other.yml"}`); !strings.HasSuffix(got, "|other.yml: ") || err != nil {
		t.Errorf("by the folder without links: %s, %v", got, err)
	}
	for config, want := range map[string]string{`{"dockerComposeFile": "../round.yml"}`: "cannot read round.yml: too many levels", `{"dockerComposeFile": "../big.yml"}`: "cannot read big.yml: it has"} {
		if got, err := look(folder, at, config); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %s, %v", config, got, err)
		}
	}
	if got, err := look(folder, ".devcontainer/l/devcontainer.json", `{"image": "x"}`); err == nil || !strings.Contains(err.Error(), "it is a link to") {
		t.Errorf("the lock: %s, %v", got, err)
	}
}

// Many services with a file each are no attack; files without an end are.
func TestContainerOfManyFiles(t *testing.T) {
	config := `{"dockerComposeFile": ["a.yml", "b.yml"]}`
	for services, whole := range map[int]bool{200: true, 1200: false} {
		var list strings.Builder
		list.WriteString("services:\n")
		for i := range services {
			fmt.Fprintf(&list, "  s%d: {build: s%d, env_file: s%d/.env}\n", i, i, i)
		}
		got, err := Container("/w", []byte(config), ".devcontainer/devcontainer.json", func(name string) ([]byte, error) {
			if strings.HasSuffix(name, ".yml") {
				return []byte(list.String()), nil
			}
			return []byte("FROM a"), nil
		})
		if (err == nil) != whole {
			t.Errorf("%d services: %d acts, %v", services, len(got), err)
		}
	}
}

// Features that depend on each other are looked at once.
func TestFeaturesOfAll(t *testing.T) {
	var all strings.Builder
	for i := range 40 {
		fmt.Fprintf(&all, `"./f%d": {}, `, i)
	}
	began := time.Now()
	got, err := Container("/w", []byte(`{"features": {`+all.String()+`}}`), ".devcontainer/devcontainer.json", func(name string) ([]byte, error) {
		return []byte(`{"dependsOn": {` + all.String() + `}}`), nil
	})
	if took := time.Since(began); took > 10*time.Second || len(got) > 10_000 {
		t.Errorf("%v, %d acts, %v", took, len(got), err)
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
	if info, err := os.Stat(s.file(folder)); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
	// In another order --privileged is not a label any more.
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
	// A list that is empty differs, too.
	none := r.Missing(Demands{Grants: []Act{c}})
	if lines := r.Changes(none); none.Empty() || !slices.Equal(lines, []string{"- runArgs: --label", "- runArgs: --privileged"}) {
		t.Errorf("%v, %q", none, lines)
	}
	if m := (*Record)(nil).Missing(Demands{}); !m.Empty() {
		t.Error(m)
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
