package devcontainer

import (
	"encoding/json"
	"strings"
	"testing"
	"text/template"
)

// What is asked of docker inspect is a template of Go with Docker's functions; its answer is
// read as it is, and has no variable of a container but the one that is ours.
func TestInspectFormat(t *testing.T) {
	functions := template.FuncMap{"split": strings.Split, "json": func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}}
	format, err := template.New("").Option("missingkey=error").Funcs(functions).Parse(inspectFormat) // as Docker does
	if err != nil {
		t.Fatal(err)
	}
	for want, env := range map[string][]string{
		"":       nil,
		"yes":    {"KEY=secret", "COLTEC_DISABLED=yes", "A="},
		"a=b":    {"COLTEC_DISABLED=a=b"},
		"quo\"t": {"COLTEC_DISABLED=quo\"t", "COLTEC_DISABLED_NOT=x", "BROKEN"},
	} {
		var out strings.Builder
		err := format.Execute(&out, map[string]any{
			"Id": "c0ffee", "Created": "2026", "State": map[string]any{"Running": true, "Status": "running"},
			"Config": map[string]any{"Labels": map[string]string{LabelFolder: "/w"}, "Env": env}, "Mounts": []Mount{}, "HostConfig": map[string]any{"Tmpfs": map[string]string{"/t": ""}},
		})
		var c Container
		if err == nil {
			err = json.Unmarshal([]byte(out.String()), &c)
		}
		if err != nil || c.Switch() != want || c.Folder() != "/w" || !c.Running || len(c.Tmpfs) != 1 || strings.Contains(out.String(), "secret") {
			t.Errorf("%v: %v: %q\n%s", env, err, c.Switch(), out.String())
		}
	}
	var none strings.Builder // without --tmpfs Docker has no such key
	if err := format.Execute(&none, map[string]any{
		"Id": "c0ffee", "Created": "2026", "State": map[string]any{"Running": true, "Status": "running"},
		"Config": map[string]any{"Labels": nil, "Env": nil}, "Mounts": nil, "HostConfig": map[string]any{},
	}); err != nil || !json.Valid([]byte(none.String())) {
		t.Errorf("%v: %s", err, &none)
	}
	remote := Container{Labels: map[string]string{LabelMetadata: `[{"remoteEnv": {"COLTEC_DISABLED": "1"}}]`}, Setting: []string{"COLTEC_DISABLED=no"}}
	if remote.Switch() != "1" {
		t.Errorf("%q: what the workspace has counts before the container's", remote.Switch())
	}
}
