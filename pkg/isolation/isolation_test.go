package isolation

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/spec"
)

// with makes a workspace: its env, the prefix of its replica, and devcontainer.json.
func with(t *testing.T, env, prefix, config string) Workspace {
	t.Helper()
	text := fmt.Sprintf(`version: 1
metadata: {org: acme, project: widget, environment: %s}
persistence:
  enabled: true
  default_remote: p
  remotes: {p: {type: s3, bucket: "${RCLONE_BUCKET}", path_prefix: base}, q: {type: s3, bucket: other}}
  sync: [%s]
`, env, prefix)
	sp, err := spec.Parse("spec", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c, err := ReadContainer([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return Workspace{Folder: env, Spec: sp, Container: c}
}

// workspaceOf makes a workspace with such replicas, more of its persistence, and a devcontainer.json.
func workspaceOf(t *testing.T, sync, more, config string) Workspace {
	t.Helper()
	sp, err := spec.Parse("spec", []byte("version: 1\nmetadata: {org: acme, project: widget, environment: a}\npersistence:\n  remotes: {p: {type: s3, bucket: b}}\n  default_remote: p\n  sync: ["+sync+"]\n  "+more+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := ReadContainer([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return Workspace{Folder: "w", Spec: sp, Container: c}
}

func replica(path, more string) string {
	return fmt.Sprintf(`{name: w, path: /workspace, remote_path: %q%s}`, path, more)
}

// TestRules breaks each rule, and keeps each by a little.
func TestRules(t *testing.T) {
	plain := replica("ws/{env}", "")
	for name, c := range map[string]struct{ env, sync, a, b, want string }{
		"apart":                   {"b", plain, "{}", "{}", ""},
		"same env":                {"a", plain, "{}", "{}", "same-workspace shared-prefix"},
		"same env, other case":    {"a", replica("other", ""), "{}", "{}", "same-workspace"},
		"equal prefix":            {"b", replica("ws/a", ""), "{}", "{}", "shared-prefix"},
		"case":                    {"b", replica("WS/A", ""), "{}", "{}", "shared-prefix"},
		"slashes":                 {"b", replica("ws//a/", ""), "{}", "{}", "shared-prefix"},
		"inside":                  {"b", replica("ws/a/deep", ""), "{}", "{}", "shared-prefix"},
		"around":                  {"b", replica("ws", ""), "{}", "{}", "shared-prefix"},
		"beginning alike":         {"b", replica("ws/ab", ""), "{}", "{}", ""},
		"other bucket":            {"b", replica("ws/a", ", remote: q"), "{}", "{}", ""},
		"reader of a writer":      {"b", replica("ws/a", ", direction: pull-only"), "{}", "{}", "shared-prefix"},
		"volume":                  {"b", plain, `{"mounts":["source=x,target=/x,type=volume"]}`, `{"mounts":[{"type":"volume","source":"x","target":"/y"}]}`, "shared-volume"},
		"volume by run args":      {"b", plain, `{"runArgs":["-v","x:/x"]}`, `{"runArgs":["--mount=src=x,dst=/y"]}`, "shared-volume"},
		"volume at a variable's":  {"b", plain, `{"runArgs":["-v","x:${localEnv:T}/x"]}`, `{"runArgs":["--volume=x:/y/${localEnv:USER}:ro"]}`, "shared-volume"},
		"bind of a drive":         {"b", plain, `{"runArgs":["-v","C:\\x:/x"]}`, `{"runArgs":["-v","C:\\y:/x"]}`, ""},
		"bind of a variable":      {"b", plain, `{"runArgs":["-v","${localEnv:HOME}:/x"]}`, `{"runArgs":["-v","${localEnv:HOME}:/x"]}`, ""},
		"bind":                    {"b", plain, `{"mounts":["source=/x,target=/x,type=bind"]}`, `{"mounts":["source=/x,target=/x,type=bind"]}`, ""},
		"volume of the container": {"b", plain, `{"mounts":["source=x-${devcontainerId},target=/x"]}`, `{"mounts":["source=x-${devcontainerId},target=/x"]}`, ""},
		"hostname":                {"b", plain, `{"runArgs":["--hostname=h"]}`, `{"runArgs":["-h","H"]}`, "shared-hostname"},
		"port":                    {"b", plain, `{"appPort":[8080]} // comment`, `{"runArgs":["-p","127.0.0.1:8080:80/tcp"]}`, "shared-port"},
		"port of two addresses":   {"b", plain, `{"appPort":"127.0.0.1:8080:80"}`, `{"appPort":"127.0.0.2:8080:80"}`, ""},
		"port of the container":   {"b", plain, `{"runArgs":["-p","127.0.0.1::80"]}`, `{"runArgs":["-p","127.0.0.1::80"]}`, ""},
		"forwarded port":          {"b", plain, `{"forwardPorts":[80]}`, `{"forwardPorts":[80]}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var codes []string
			for _, f := range Check([]Workspace{with(t, "a", plain, c.a), with(t, c.env, c.sync, c.b)}) {
				codes = append(codes, f.Code)
				if f.Severity != Error || f.Text == "" || f.Fix == "" || len(f.Folders) != 2 {
					t.Errorf("%+v", f)
				}
			}
			if diff := cmp.Diff(c.want, strings.Join(codes, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadersMayShare(t *testing.T) {
	sync := replica("shared", ", direction: pull-only")
	if found := Check([]Workspace{with(t, "a", sync, "{}"), with(t, "b", sync, "{}")}); found != nil {
		t.Errorf("%+v", found)
	}
}

func TestCopiedAnswers(t *testing.T) {
	a, b := with(t, "a", replica("a", ""), "{}"), with(t, "b", replica("b", ""), "{}")
	a.Answers, b.Answers = "x", "x"
	if found := Check([]Workspace{a, b}); len(found) != 1 || found[0].Code != "copied-answers" {
		t.Errorf("%+v", found)
	}
}

func TestPace(t *testing.T) {
	var calm, hasty []Workspace
	for i := range 5 {
		env := fmt.Sprint("e", i)
		calm = append(calm, with(t, env, replica("ws/{env}", ", interval: 300"), "{}"))
		hasty = append(hasty, with(t, env, replica("ws/{env}", ", interval: 10"), "{}"))
	}
	if found := Check(calm); found != nil {
		t.Errorf("%+v", found)
	}
	found := Check(hasty)
	if len(found) != 1 || found[0].Code != "short-intervals" || found[0].Severity != Warning || !strings.Contains(found[0].Text, "1.4 million") {
		t.Errorf("%+v", found)
	}
}
