package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/secret"
)

// mustParse parses a spec that a test needs.
func mustParse(t *testing.T, src string) *Spec {
	t.Helper()
	s, err := Parse("spec.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// head begins the specs of these tests.
const head = "name: dev\nmetadata: {org: acme, project: widget}\n"

// valid returns the examples by name.
func valid(t *testing.T) map[string]*Spec {
	t.Helper()
	files, _ := filepath.Glob("testdata/valid/*.yaml")
	all := map[string]*Spec{}
	for _, file := range files {
		s, err := Load(file)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".yaml")] = s
	}
	return all
}

// values makes secrets of texts.
func values(m map[string]string) map[string]secret.Value {
	out := map[string]secret.Value{}
	for k, v := range m {
		out[k] = secret.New(v)
	}
	return out
}

// TestNotices holds what each example's accepted fields are said not to do.
func TestNotices(t *testing.T) {
	for name, s := range valid(t) {
		t.Run(name, func(t *testing.T) {
			var got strings.Builder
			for _, n := range s.NotActedOn() {
				fmt.Fprintf(&got, "%d: %s: %s\n", n.Line, n.Path, n.Text)
			}
			golden := "testdata/valid/" + name + ".notices"
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestExamplesUseEveryField holds that no field is without an example, and that
// the earlier tool's are all in files of its shape.
func TestExamplesUseEveryField(t *testing.T) {
	index := regexp.MustCompile(`\[\d+\]`)
	used, earlier := map[string]bool{}, map[string]bool{}
	for name, s := range valid(t) {
		for path := range s.src.at {
			path = index.ReplaceAllString(path, "[]")
			path = regexp.MustCompile(`remotes\.[^.]+`).ReplaceAllString(path, "remotes.*")
			used[path] = true
			earlier[path] = earlier[path] || strings.HasPrefix(name, "earlier-")
		}
	}
	ofOnePoint := regexp.MustCompile(`^hooks\.\w+\[\]\.when`) // post_restore alone has it
	for _, path := range schemaPaths(t) {
		if ofOnePoint.MatchString(path) && !strings.HasPrefix(path, "hooks."+string(hooks.PostRestore)) {
			continue
		}
		if !used[path] {
			t.Errorf("no example has %s", path)
		}
	}
	for _, path := range earlierFields {
		if !earlier[path] {
			t.Errorf("no example of the earlier tool's shape has %s", path)
		}
	}
}

// earlierFields are those of the earlier tool, as it names them.
var earlierFields = strings.Fields(`
version name metadata.org metadata.project metadata.environment metadata.description metadata.tags
devcontainer.template.name devcontainer.template.path devcontainer.template.overlays
devcontainer.image.name devcontainer.image.digest
devcontainer.features[].id devcontainer.features[].options
devcontainer.user devcontainer.workspace_folder devcontainer.workspace_mount
devcontainer.mounts[].source devcontainer.mounts[].target devcontainer.mounts[].type devcontainer.mounts[].extra
devcontainer.run_args devcontainer.env
devcontainer.lifecycle.post_create devcontainer.lifecycle.post_start
devcontainer.customizations.extensions.recommended devcontainer.customizations.extensions.optional
devcontainer.customizations.settings.values
mounts[].source mounts[].target
secrets[].provider secrets[].key secrets[].mount_path secrets[].read_only
networking.enabled networking.hostname_prefix networking.tags
persistence.enabled persistence.mode persistence.scope persistence.default_remote
persistence.mounts[].name persistence.mounts[].target persistence.mounts[].source persistence.mounts[].type
persistence.remotes.*.type persistence.remotes.*.bucket persistence.remotes.*.options
persistence.remotes.*.wrap_remote persistence.remotes.*.wrap_path
persistence.remotes.*.crypt.password_env persistence.remotes.*.crypt.password2_env
persistence.remotes.*.crypt.filename_encryption persistence.remotes.*.crypt.directory_name_encryption
persistence.defaults.transfers persistence.defaults.checkers persistence.defaults.bwlimit
persistence.sync[].name persistence.sync[].path persistence.sync[].remote_path persistence.sync[].remote
persistence.sync[].direction persistence.sync[].interval persistence.sync[].priority persistence.sync[].exclude
persistence.sync[].transfers persistence.sync[].checkers persistence.sync[].bwlimit
persistence.rclone_config.remote_name persistence.rclone_config.type persistence.rclone_config.options
persistence.multi_scope_volumes.global_refs persistence.multi_scope_volumes.project_refs
persistence.multi_scope_volumes.environment[].name persistence.multi_scope_volumes.environment[].remote_path
persistence.multi_scope_volumes.environment[].mount_path persistence.multi_scope_volumes.environment[].sync
persistence.multi_scope_volumes.environment[].interval persistence.multi_scope_volumes.environment[].priority
persistence.multi_scope_volumes.environment[].exclude persistence.multi_scope_volumes.environment[].read_only
generated_at
`)

// TestDefaults holds what a spec is when only what must be said is said.
func TestDefaults(t *testing.T) {
	s := mustParse(t, head+`
persistence:
  remotes: {here: {bucket: b}}
  sync: [{name: all, path: /all}, {name: up, path: /up, direction: push-only}, {name: down, path: /down, direction: pull-only}]
services: [{name: web, command: [web], ready: {exec: [ok]}}]
hooks: {post_restore: [{command: [a]}, {command: [b]}]}
`)
	sync := Sync{Name: "all", Path: "/all", Remote: "here", RemotePath: "workspaces/acme/widget/dev/all", Direction: Bidirectional,
		Layout: Snapshot, Interval: 300 * time.Second, Watch: true, Priority: 2, Transfers: 4, Checkers: 8}
	up, down := sync, sync
	up.Name, up.Path, up.RemotePath, up.Direction, up.Layout = "up", "/up", "workspaces/acme/widget/dev/up", PushOnly, Mirror
	down.Name, down.Path, down.RemotePath, down.Direction, down.Layout, down.Watch = "down", "/down", "workspaces/acme/widget/dev/down", PullOnly, Mirror, false
	want := &Spec{
		Version: "1.0.0", Name: "dev",
		Metadata:     Metadata{Org: "acme", Project: "widget", Environment: "dev"},
		Devcontainer: Devcontainer{User: "vscode", WorkspaceFolder: "/workspace"},
		Persistence: Persistence{
			Enabled: true, Mode: Replicated, DefaultRemote: "here",
			Remotes:  map[string]*Remote{"here": {Name: "here", Type: "s3", Bucket: "b", Options: map[string]secret.Value{}}},
			Defaults: Transfer{Transfers: 4, Checkers: 8},
			Lease:    Lease{TTL: 180 * time.Second, Renew: 60 * time.Second},
			History:  History{Keep: 7 * 24 * time.Hour},
			Sync:     []Sync{sync, up, down},
		},
		Services: []Service{{Name: "web", Command: []string{"web"}, Restart: RestartAlways,
			Backoff: Backoff{500 * time.Millisecond, 60 * time.Second, 2}, StartLimit: StartLimit{10, 5 * time.Minute},
			Stop: Stop{"TERM", 10 * time.Second}, Ready: &Probe{[]string{"ok"}, time.Second, 30 * time.Second}}},
		Hooks: Hooks{hooks.PostRestore: {
			{Name: "post-restore-1", Command: []string{"a"}, Timeout: 60 * time.Second, OnFailure: FailureIgnore},
			{Name: "post-restore-2", Command: []string{"b"}, Timeout: 60 * time.Second, OnFailure: FailureIgnore}}},
		Networking: Networking{HostnamePrefix: "dev-", Tags: []string{"tag:devcontainer"}, SSH: true, Tun: TunUserspace},
		Logs:       Logs{MaxSize: 10e6, MaxBackups: 5, MaxAge: 14 * 24 * time.Hour, Compress: true, Format: FormatText},
	}
	if diff := cmp.Diff(want, s, cmpopts.IgnoreUnexported(Spec{})); diff != "" {
		t.Error(diff)
	}
}

// TestDefaultsThatDepend holds defaults that other fields change.
func TestDefaultsThatDepend(t *testing.T) {
	tests := map[string]struct {
		src  string
		get  func(*Spec) any
		want any
	}{
		"no persistence":         {head, func(s *Spec) any { return s.Persistence.Enabled }, false},
		"empty persistence":      {head + "persistence:\n", func(s *Spec) any { return s.Persistence.Enabled }, false},
		"disabled stays":         {head + "persistence: {enabled: false, remotes: {r: {bucket: b}}, sync: [{name: a, path: /a}]}", func(s *Spec) any { return len(s.Replicas()) }, 0},
		"only mounts":            {head + "persistence: {remotes: {r: {bucket: b}}, mounts: [{name: a, target: /a, source: a}]}", func(s *Spec) any { return s.Persistence.Mode }, Mounted},
		"renew follows the ttl":  {head + "persistence: {lease: {ttl: 90}}", func(s *Spec) any { return s.Persistence.Lease.Renew }, 30 * time.Second},
		"back-off follows base":  {head + "services: [{name: a, command: [a], backoff: {base: 5m}}]", func(s *Spec) any { return s.Services[0].Backoff.Max }, 5 * time.Minute},
		"explicit zeros stay":    {head + "logs: {max_backups: 0, max_age: 0, compress: false}", func(s *Spec) any { return [...]any{s.Logs.MaxBackups, s.Logs.MaxAge, s.Logs.Compress} }, [...]any{0, time.Duration(0), false}},
		"the environment's name": {"metadata: {org: a, project: b, environment: c}", func(s *Spec) any { return s.Name + " " + s.ID() }, "c a/b/c"},
		"the name's environment": {"name: c\nmetadata: {org: a, project: b}", func(s *Spec) any { return s.ID() }, "a/b/c"},
		"both":                   {"name: Some.Name\nmetadata: {org: a, project: b, environment: c}", func(s *Spec) any { return s.Name + " " + s.ID() }, "Some.Name a/b/c"},
		"entries inherit": {head + "persistence: {remotes: {r: {bucket: b}}, defaults: {transfers: 2, checkers: 3, bwlimit: 1M}, sync: [{name: a, path: /a, checkers: 5}]}", func(s *Spec) any {
			y := s.Replicas()[0]
			return fmt.Sprintf("%d %d %s", y.Transfers, y.Checkers, y.BwLimit)
		}, "2 5 1M"},
		"first remote named":    {head + "persistence: {remotes: {r: {bucket: b}, q: {bucket: c}}, sync: [{name: a, path: /a, remote: q}]}", func(s *Spec) any { return s.HeadRemote() }, "q"},
		"the wrapped remote":    {head + "persistence: {default_remote: z, remotes: {r: {bucket: b}, z: {type: crypt, wrap_remote: r, crypt: {password_env: P}}}, sync: [{name: a, path: /a}]}", func(s *Spec) any { return s.HeadRemote() }, "r"},
		"SIG is taken off":      {head + "services: [{name: a, command: [a], stop: {signal: sigint}}]", func(s *Spec) any { return s.Services[0].Stop.Signal }, "INT"},
		"number as version":     {"version: 1\n" + head, func(s *Spec) any { return s.Version }, "1"},
		"text as version":       {"version: \"1\"\n" + head, func(s *Spec) any { return s.Version }, "1"},
		"1.2.3":                 {"version: 1.2.3\n" + head, func(s *Spec) any { return s.Version }, "1.2.3"},
		"crypt names":           {head + "persistence: {remotes: {r: {bucket: b}, z: {type: crypt, wrap_remote: r, crypt: {password_env: P}}}}", func(s *Spec) any { return s.Persistence.Remotes["z"].Crypt.FilenameEncryption }, "standard"},
		"crypt directories":     {head + "persistence: {remotes: {r: {bucket: b}, z: {type: crypt, wrap_remote: r, crypt: {password_env: P, directory_name_encryption: false}}}}", func(s *Spec) any { return s.Persistence.Remotes["z"].Crypt.DirectoryNameEncryption }, false},
		"a byte order mark":     {"\ufeff" + head, func(s *Spec) any { return s.Name }, "dev"},
		"Windows line ends":     {strings.ReplaceAll(head, "\n", "\r\n"), func(s *Spec) any { return s.ID() }, "acme/widget/dev"},
		"an absolute prefix":    {head + "persistence: {remotes: {r: {type: local, path_prefix: /srv//x/}}}", func(s *Spec) any { return s.Persistence.Remotes["r"].Root() }, "/srv/x"},
		"a bucket and a prefix": {head + "persistence: {remotes: {r: {bucket: b, path_prefix: /x//y/}}}", func(s *Spec) any { return s.Persistence.Remotes["r"].Root() }, "b/x/y"},
		"a bucket alone":        {head + "persistence: {remotes: {r: {bucket: b}}}", func(s *Spec) any { return s.Persistence.Remotes["r"].Root() }, "b"},
		"a line":                {head + "logs:\n  format: json", func(s *Spec) any { return [...]int{s.Line("logs.format"), s.Line("logs.nothing"), s.Line("nothing")} }, [...]int{4, 4, 1}},
		"the file":              {head, func(s *Spec) any { return s.File() }, "spec.yaml"},
		"required secrets":      {head + "secrets: [{name: B, required: true}, {name: A}]", func(s *Spec) any { return s.RequiredSecrets() }, []string{"B"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.get(mustParse(t, tt.src))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestEarlierVolumes holds what the earlier tool's remote and volumes become.
func TestEarlierVolumes(t *testing.T) {
	s := valid(t)["earlier-volumes"]
	type row struct {
		Name, Path, Remote, RemotePath, Direction, Layout string
		Interval                                          time.Duration
		Priority                                          int
	}
	var got []row
	for _, y := range s.Replicas() {
		got = append(got, row{y.Name, y.Path, y.Remote, y.RemotePath, y.Direction, y.Layout, y.Interval, y.Priority})
	}
	want := []row{
		{"agent-context", "/home/vscode/.agent", "r2coltec", "workspaces/acme/formula/volumes/agent-context", Bidirectional, Snapshot, time.Minute, 1},
		{"results", "/results", "r2coltec", "results/formula", PushOnly, Mirror, 5 * time.Minute, 2},
		{"reference", "/reference", "r2coltec", "reference/acme", PullOnly, Mirror, 5 * time.Minute, 2},
		{"on", "/on", "r2coltec", "on", Bidirectional, Snapshot, 5 * time.Minute, 2},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	wantVars := []string{"RCLONE_BUCKET", "RCLONE_S3_ACCESS_KEY_ID", "RCLONE_S3_ENDPOINT", "RCLONE_S3_SECRET_ACCESS_KEY"}
	if diff := cmp.Diff(wantVars, needs(s)); diff != "" {
		t.Error(diff)
	}
}

// TestRcloneConfig holds how the earlier tool's only remote joins the others.
func TestRcloneConfig(t *testing.T) {
	tests := map[string]struct {
		src, name string
		want      Remote
	}{
		"its options": {"rclone_config: {remote_name: r, type: sftp, options: {host: h, bucket: b, path_prefix: p}}", "r",
			Remote{Name: "r", Type: "sftp", Bucket: "b", PathPrefix: "p", Options: values(map[string]string{"host": "h"})}},
		"its defaults": {"rclone_config: {}", "primary", Remote{Name: "primary", Type: "s3", Bucket: "${RCLONE_BUCKET}", Options: values(nil)}},
		"shadowed":     {"rclone_config: {remote_name: r, options: {a: b}}, remotes: {r: {bucket: x}}", "r", Remote{Name: "r", Type: "s3", Bucket: "x", Options: values(nil)}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := mustParse(t, head+"persistence: {"+tt.src+", sync: [{name: a, path: /a}]}")
			if diff := cmp.Diff(&tt.want, s.Persistence.Remotes[tt.name]); diff != "" {
				t.Error(diff)
			}
			if len(s.Persistence.Remotes) != 1 || s.Replicas()[0].Remote != tt.name {
				t.Errorf("remotes %v, used %s", s.Persistence.Remotes, s.Replicas()[0].Remote)
			}
		})
	}
}

func TestMountpoints(t *testing.T) {
	s := mustParse(t, head+`
persistence:
  mode: mounted
  default_remote: r
  remotes: {r: {bucket: b}, q: {bucket: c}}
  sync:
    - {name: in, path: /data/in, remote: q, remote_path: x, direction: pull-only, exclude: [a]}
  mounts:
    - {name: data, target: /data, source: "/d/{env}/"}
`)
	want := []Mountpoint{
		{Name: "data", Remote: "r", RemotePath: "d/dev", Path: "/data", Transfer: Transfer{Transfers: 4, Checkers: 8}},
		{Name: "in", Remote: "q", RemotePath: "x", Path: "/data/in", ReadOnly: true, Exclude: []string{"a"}, Transfer: Transfer{Transfers: 4, Checkers: 8}},
	}
	if diff := cmp.Diff(want, s.Mountpoints()); diff != "" {
		t.Error(diff)
	}
	if s.Replicas() != nil {
		t.Error("mounts are replicas too")
	}
	if m := valid(t)["design"].Mountpoints(); m != nil {
		t.Errorf("replicas are mounts too: %v", m)
	}
}

func TestReplicasInOrder(t *testing.T) {
	s := mustParse(t, head+"persistence: {remotes: {r: {bucket: b}}, sync: [{name: b, path: /b}, {name: c, path: /c, priority: 0}, {name: a, path: /a}]}")
	var got []string
	for _, y := range s.Replicas() {
		got = append(got, y.Name)
	}
	if diff := cmp.Diff([]string{"c", "b", "a"}, got); diff != "" {
		t.Error(diff)
	}
	if s.Persistence.Sync[0].Name != "b" {
		t.Error("the spec itself was sorted")
	}
}

func TestNestedIn(t *testing.T) {
	s := mustParse(t, head+`
persistence:
  remotes: {r: {bucket: b}}
  sync: [{name: a, path: /w}, {name: b, path: /w/x/./y/}, {name: c, path: /w/.agent}, {name: d, path: /ww}, {name: e, path: /}]
`)
	want := map[string][]string{"a": {".agent", "x/y"}, "e": {"w", "w/.agent", "w/x/y", "ww"}}
	for _, y := range s.Replicas() {
		if diff := cmp.Diff(want[y.Name], s.NestedIn(y)); diff != "" {
			t.Errorf("%s: %s", y.Name, diff)
		}
	}
}

// TestPrefixes holds which prefixes are the same place, and which only look so.
func TestPrefixes(t *testing.T) {
	tests := map[string]struct {
		remotes, one, two string
		fight             bool
	}{
		"apart":                {"r: {bucket: b}", "remote_path: a", "remote_path: b", false},
		"a common beginning":   {"r: {bucket: b}", "remote_path: a/b", "remote_path: a/bc", false},
		"equal":                {"r: {bucket: b}", "remote_path: a", "remote_path: a", true},
		"slashes and dots":     {"r: {bucket: b}", "remote_path: a/b", "remote_path: //a/.//b/", true},
		"nested":               {"r: {bucket: b}", "remote_path: a", "remote_path: a/b", true},
		"placeholders":         {"r: {bucket: b}", "remote_path: 'x/{env}'", "remote_path: x/dev/y", true},
		"two names":            {"r: {bucket: b}, q: {bucket: b}", "remote: r, remote_path: a", "remote: q, remote_path: a", true},
		"two buckets":          {"r: {bucket: b}, q: {bucket: c}", "remote: r, remote_path: a", "remote: q, remote_path: a", false},
		"two stores":           {"r: {bucket: b, options: {endpoint: x}}, q: {bucket: b, options: {endpoint: y}}", "remote: r, remote_path: a", "remote: q, remote_path: a", false},
		"a prefix":             {"r: {bucket: b, path_prefix: x/}, q: {bucket: b}", "remote: r, remote_path: a", "remote: q, remote_path: x/a", true},
		"the same variable":    {"r: {bucket: '${A}'}, q: {bucket: '${A}'}", "remote: r, remote_path: a", "remote: q, remote_path: a", true},
		"within crypt":         {"r: {bucket: b}, z: {type: crypt, wrap_remote: r, crypt: {password_env: P}}", "remote: z, remote_path: a", "remote: z, remote_path: a/b", true},
		"beside crypt":         {"r: {bucket: b}, z: {type: crypt, wrap_remote: r, crypt: {password_env: P}}", "remote: z, remote_path: a", "remote: r, remote_path: a", false},
		"around crypt":         {"r: {bucket: b}, z: {type: crypt, wrap_remote: r, wrap_path: s, crypt: {password_env: P}}", "remote: z, remote_path: a", "remote: r, remote_path: s", true},
		"two keys":             {"r: {bucket: b}, z: {type: crypt, wrap_remote: r, crypt: {password_env: P}}, y: {type: crypt, wrap_remote: r, crypt: {password_env: Q}}", "remote: z, remote_path: a", "remote: y, remote_path: a", false},
		"one key, two names":   {"r: {bucket: b}, z: {type: crypt, wrap_remote: r, crypt: {password_env: P}}, y: {type: crypt, wrap_remote: r, crypt: {password_env: P}}", "remote: z, remote_path: a", "remote: y, remote_path: a", true},
		"crypt, names plain":   {"r: {bucket: b}, z: {type: crypt, wrap_remote: r, crypt: {password_env: P, filename_encryption: off}}", "remote: z, remote_path: a", "remote: r, remote_path: a", true},
		"crypt, folders plain": {"r: {bucket: b}, z: {type: crypt, wrap_remote: r, crypt: {password_env: P, directory_name_encryption: false}}", "remote: z, remote_path: a/b", "remote: r, remote_path: a", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			src := head + "persistence: {default_remote: r, remotes: {" + tt.remotes + "}, sync: [{name: a, path: /a, " + tt.one + "}, {name: b, path: /b, " + tt.two + "}]}"
			_, err := Parse("spec.yaml", []byte(src))
			if got := err != nil; got != tt.fight {
				t.Errorf("err = %v", err)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	_, err := Load("testdata/nothing.yaml")
	if !errors.Is(err, fs.ErrNotExist) || len(hint.Of(err)) != 1 || strings.Contains(err.Error(), "open ") {
		t.Errorf("err = %v, hints %q", err, hint.Of(err))
	}
	if _, err = Load("testdata"); err == nil || !strings.HasPrefix(err.Error(), `cannot read spec "testdata": `) {
		t.Errorf("err = %v", err)
	}
	if Problems(err) != nil || Problems(nil) != nil {
		t.Error("problems of an error that has none")
	}
}

// TestTooLarge holds that a large file is refused before it is parsed.
func TestTooLarge(t *testing.T) {
	_, err := Parse("s.yaml", []byte(head+"# "+strings.Repeat("x", sizeLimit)))
	if want := "s.yaml:1:1: the file is larger than 64 KiB: this is not a workspace spec"; err == nil || err.Error() != want {
		t.Errorf("err = %v", err)
	}
}

// TestParserPanics holds that a panic of the YAML parser is a problem like others.
func TestParserPanics(t *testing.T) {
	_, err := guarded(func() (*ast.File, error) { panic("index out of range") })
	at, text := syntax(err)
	if at != (position{1, 1}) || !strings.HasPrefix(text, "the YAML is malformed") {
		t.Errorf("%v %q", at, text)
	}
}

// TestHostileShapes holds that texts made to exhaust the YAML parser end soon.
func TestHostileShapes(t *testing.T) {
	const n = sizeLimit / 2
	shapes := map[string]string{
		"brackets": strings.Repeat("[", n), "braces": strings.Repeat("{a: ", n/4), "dashes": strings.Repeat("- ", n/2),
		"questions": strings.Repeat("? ", n/2), "colons": strings.Repeat("a:\n", n/6), "anchors": strings.Repeat("&a ", n/3),
		"tags": strings.Repeat("!!str ", n/6), "quotes": strings.Repeat("'", n), "keys": strings.Repeat("a: b\n", n/8),
		"documents": strings.Repeat("---\n", n/4), "directives": strings.Repeat("%YAML 1.2\n", 2000),
	}
	var steps strings.Builder
	for i := range 600 {
		steps.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	shapes["steps"] = steps.String()
	for name, src := range shapes {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			if _, err := Parse("s.yaml", []byte(src)); err == nil {
				t.Error("it was accepted")
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// TestBrokenExamplesShowNoSecret breaks each example in many ways.
func TestBrokenExamplesShowNoSecret(t *testing.T) {
	sample.Long(t)
	const plain = "AKIAPLAINLOOKINGSECRET"
	for name := range valid(t) {
		src, err := os.ReadFile("testdata/valid/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		marked := regexp.MustCompile(`\$\{RCLONE_S3_[A-Z_]+\}|\$\{WEB_TOKEN:-none\}`).ReplaceAllString(string(src), plain)
		lines := strings.SplitAfter(marked, "\n")
		for i, line := range lines {
			broken := map[string][]string{
				"gone":      slices.Concat(lines[:i], lines[i+1:]),
				"twice":     slices.Concat(lines[:i+1], lines[i:]),
				"cut":       slices.Concat(lines[:i], []string{line[:len(line)/2] + "\n"}, lines[i+1:]),
				"indented":  slices.Concat(lines[:i], []string{"  " + line}, lines[i+1:]),
				"outdented": slices.Concat(lines[:i], []string{strings.TrimPrefix(line, "  ")}, lines[i+1:]),
				"a bracket": slices.Concat(lines[:i], []string{strings.Replace(line, ": ", ": [", 1)}, lines[i+1:]),
				"a key":     slices.Concat(lines[:i], []string{strings.Replace(line, ":", "x:", 1)}, lines[i+1:]),
			}
			for how, text := range broken {
				_, err := Parse("s.yaml", []byte(strings.Join(text, "")))
				if err != nil && strings.Contains(err.Error(), plain) {
					t.Errorf("%s, line %d %s: %v", name, i+1, how, err)
				}
			}
		}
	}
}

// TestPrintedSpecShowsNoSecret prints a spec whose options and environments are
// literal secrets.
func TestPrintedSpecShowsNoSecret(t *testing.T) {
	s := mustParse(t, head+`
persistence:
  remotes: {r: {bucket: b, options: {secret_access_key: hunter2}}, z: {type: crypt, wrap_remote: r, crypt: {password_env: P}}}
  sync: [{name: a, path: /a, remote: r}]
services: [{name: web, command: [a], env: {A: hunter2}}]
`)
	full, err := s.Expand(func(string) (string, bool) { return "hunter2", true })
	if err != nil {
		t.Fatal(err)
	}
	remotes := full.Persistence.Remotes
	for _, text := range []string{fmt.Sprintf("%v %+v %#v", s, s, s), fmt.Sprintf("%v %+v %#v", full, remotes["r"], remotes["z"].Crypt)} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("it shows: %s", text)
		}
	}
	if got := remotes["r"].Options["secret_access_key"].Reveal() + remotes["z"].Crypt.Password.Reveal(); got != "hunter2hunter2" {
		t.Errorf("revealed %q", got)
	}
}

// TestLinks holds that what only the schema's generator needs is not linked into
// coltecd.
func TestLinks(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, banned := range []string{"invopop", "os/exec", "net/http", "coltec/pkg/rclone", "coltec/supervisor"} {
		if strings.Contains(string(out), banned) {
			t.Errorf("pkg/spec links %s", banned)
		}
	}
}
