package devcontainer

import (
	"encoding/csv"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// Podman takes a filter for a list of them, and the dev container CLI does not know that. With
// an equals sign in the path the CLI waited for ever.
func TestTakes(t *testing.T) {
	for folder, odd := range map[string]bool{"/p/a,b": true, `/p/q"q`: true, "/p/a\nb": true, "/p/s p": false, "/p/it's:c": false, "/p/e=f": true} {
		for _, client := range []string{"docker", "podman"} {
			tools := Tools{Docker: "/usr/bin/" + client}
			if err := tools.Takes(folder); (err != nil) != (odd && (client == "podman" || strings.Contains(folder, "="))) {
				t.Errorf("%s, %q: %v", client, folder, err)
			}
			label := "label=devcontainer.local_folder=" + folder
			filters, err := csv.NewReader(strings.NewReader(tools.filter(label))).Read()
			if client == "podman" && (err != nil || len(filters) != 1 || filters[0] != label) {
				t.Errorf("Podman reads %q, %v", filters, err)
			}
			if client == "docker" && tools.filter(label) != label {
				t.Errorf("Docker gets %q", tools.filter(label))
			}
		}
	}
}

// A comma in the path of the folder made another mount of it: "invalid field 'b' must be a
// key=value pair". Docker reads a mount as a line of CSV.
func TestQuoted(t *testing.T) {
	const text = `{"image": "x", "workspaceMount": "source=${localWorkspaceFolder},target=/workspace,type=bind",
		"mounts": ["source=${localWorkspaceFolder}/.cache,target=/c,type=bind", "source=v-${localWorkspaceFolderBasename},target=/v", {"source": "${localWorkspaceFolder}", "target": "/o", "type": "bind"}, "type=bind,\"source=${localWorkspaceFolder}\",target=/q"]}`
	for _, folder := range []string{"/p/plain", "/p/a b=c:d'e", "/p/a,b", `/p/a"b`, "/p/,", "/p/a\nb", "/p/ü, ,\"\""} {
		out, err := Quoted([]byte(text), folder)
		if err != nil {
			t.Fatal(err)
		}
		var raw struct {
			Mount  string `json:"workspaceMount"`
			Mounts []any
		}
		if err := json.Unmarshal(out, &raw); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		said := strings.NewReplacer("${localWorkspaceFolderBasename}", folder[len("/p/"):], "${localWorkspaceFolder}", folder) // what the CLI does then
		for mount, want := range map[string]string{
			raw.Mount: "source=" + folder, raw.Mounts[0].(string): "source=" + folder + "/.cache", raw.Mounts[1].(string): "source=v-" + folder[len("/p/"):],
		} {
			fields, err := csv.NewReader(strings.NewReader(said.Replace(mount))).Read()
			if err != nil || !slices.Contains(fields, want) || len(fields) > 3 {
				t.Errorf("%q: Docker reads %q, %v, and not %q", mount, fields, err, want)
			}
		}
		if _, object := raw.Mounts[2].(map[string]any); !object || raw.Mounts[3] != `type=bind,"source=${localWorkspaceFolder}",target=/q` {
			t.Errorf("what is quoted, or no text, became %v", raw.Mounts[2:])
		}
	}
	for _, text := range []string{`{}`, `{"mounts": null, "workspaceMount": 7}`, `{"mounts": {}}`} {
		if out, err := Quoted([]byte(text), "/a,b"); err != nil || !json.Valid(out) {
			t.Errorf("%s: %s, %v", text, out, err)
		}
	}
}
