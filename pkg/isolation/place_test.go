package isolation

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// Where the dev container CLI mounts a folder, by what devcontainer.json says.
func TestPlaceOf(t *testing.T) {
	const folder, repo = "/home/me/repo/widget", "/home/me/repo"
	for name, tt := range map[string]struct{ config, top, want string }{
		"the default":              {`{}`, folder, "/workspaces/widget"},
		"in a repository":          {`{}`, repo, "/workspaces/repo/widget"},
		"the template's":           {`{"workspaceFolder": "/workspace", "workspaceMount": "source=${localWorkspaceFolder},target=/workspace,type=bind"}`, folder, "/workspace"},
		"a folder without a mount": {`{"workspaceFolder": "/workspace"}`, folder, "/workspaces/widget"},
		"the name in the target":   {`{"workspaceMount": "type=bind,src=${localWorkspaceFolder},dst=/src/${localWorkspaceFolderBasename}"}`, folder, "/src/widget"},
		"what the folder is in":    {`{"workspaceMount": "type=bind,source=${localWorkspaceFolder}/..,target=/src"}`, folder, "/src/widget"},
		"a part of the folder":     {`{"workspaceMount": "type=bind,source=${localWorkspaceFolder}/src,target=/src"}`, folder, ""},
		"a volume":                 {`{"workspaceFolder": "/src", "workspaceMount": "source=code,target=/src,type=volume"}`, folder, "/src"},
		"nothing is mounted":       {`{"workspaceMount": "", "workspaceFolder": "/src"}`, folder, "/src"},
		"the host's variable":      {`{"workspaceMount": "source=${localWorkspaceFolder},target=${localEnv:HOME}/x,type=bind"}`, folder, ""},
		"compose":                  {`{"dockerComposeFile": "c.yaml", "workspaceFolder": "/src/"}`, folder, ""}, // a mount may be elsewhere
		"compose without a folder": {`{"dockerComposeFile": ["c.yaml"]}`, folder, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := ReadContainer([]byte(tt.config))
			if err != nil {
				t.Fatal(err)
			}
			if got := c.PlaceOf(folder, tt.top); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// What is in the path of a folder parts no mount, however it is written.
func TestPlaceOfAnOddFolder(t *testing.T) {
	for _, folder := range []string{"/p/a,b", "/p/x,source=/etc", "/p/a=b", `/p/a"b`, "/p/a b:c", "/p/ü'"} {
		for config, want := range map[string]string{
			`{}`: "/workspaces/" + filepath.Base(folder),
			`{"workspaceMount": "source=${localWorkspaceFolder},target=/workspace,type=bind"}`:               "/workspace",
			`{"workspaceMount": "type=bind,\"source=${localWorkspaceFolder}\",\"target=/a,b\""}`:             "/a,b",
			`{"workspaceMount": "source=${localWorkspaceFolder},target=/s/${localWorkspaceFolderBasename}"}`: "/s/" + filepath.Base(folder),
		} {
			c, err := ReadContainer([]byte(config))
			if err != nil {
				t.Fatal(err)
			}
			if got := c.PlaceOf(folder, folder); got != want {
				t.Errorf("%s in %s: %q, want %q", folder, config, got, want)
			}
		}
	}
}

// A spec that says /workspace where the folder is mounted at the CLI's default: nothing of
// the project was saved, and check said that all is well.
func TestMisplaced(t *testing.T) {
	const place = "/workspaces/widget"
	sync := func(paths ...string) string {
		var list []string
		for _, p := range paths {
			p, pulls := strings.CutSuffix(p, " pull")
			direction := "bidirectional"
			if pulls {
				direction = "pull-only"
			}
			name := "r" + strings.TrimSuffix(strings.ReplaceAll(p, "/", "-"), "-")
			list = append(list, fmt.Sprintf(`{name: "%s", path: "%s", remote_path: "%s", direction: %s}`, name, p, name, direction))
		}
		return strings.Join(list, ", ")
	}
	for name, tt := range map[string]struct {
		paths  []string
		config string
		place  string
		want   []string // words of the finding; none: there is none
	}{
		"elsewhere":                {[]string{"/workspace"}, `{}`, place, []string{"at /workspaces/widget in the container", "r-workspace (/workspace)", `"workspaceFolder": "/workspace"`, "path: /workspaces/widget"}},
		"with a nested one":        {[]string{"/workspace/notes", "/workspace"}, `{}`, place, []string{"r-workspace-notes (/workspace/notes), r-workspace (/workspace)", `"workspaceFolder": "/workspace"`}},
		"a name that begins alike": {[]string{"/workspaces/widget-b"}, `{}`, place, []string{"(/workspaces/widget-b)"}},
		"only one of two is right": {[]string{"/workspace", place + "/notes"}, `{}`, place, []string{"for r-workspace (/workspace):"}},
		"the folder":               {[]string{place, place + "/notes"}, `{}`, place, nil},
		"what the folder is in":    {[]string{"/workspaces"}, `{}`, place, nil},
		"the root":                 {[]string{"/"}, `{}`, place, nil},
		"a part of the folder":     {[]string{place + "/src"}, `{}`, place, nil},
		"beside one that has it":   {[]string{place, "/home/me/notes"}, `{}`, place, nil},
		"in a volume":              {[]string{"/data/notes"}, `{"mounts": ["source=d,target=/data,type=volume"]}`, place, nil},
		"in a mount as an object":  {[]string{"/data"}, `{"mounts": [{"type": "bind", "source": "/x", "target": "/data/"}]}`, place, nil},
		"in a mount by run args":   {[]string{"/data"}, `{"runArgs": ["-v", "x:/data:ro"]}`, place, nil},
		"with a variable":          {[]string{"/data"}, `{"runArgs": ["-v", "${localEnv:HOME}/d:/data"]}`, place, nil},
		"with two, and options":    {[]string{"/data"}, `{"runArgs": ["--volume=${localEnv:HOME}${localEnv:USERPROFILE}/d:/data:ro,z"]}`, place, nil},
		"of a variable alone":      {[]string{"/data"}, `{"runArgs": ["-v", "${localEnv:D}:/data"]}`, place, nil},
		"of a drive":               {[]string{"/data"}, `{"runArgs": ["-v", "C:\\x:/data"]}`, place, nil},
		"of a drive, with slashes": {[]string{"/data"}, `{"runArgs": ["--volume=C:/x:/data:ro"]}`, place, nil},
		"of a drive, by --mount":   {[]string{"/data"}, `{"runArgs": ["--mount", "type=bind,source=C:\\x,target=/data,readonly"]}`, place, nil},
		"by --mount in one":        {[]string{"/data"}, `{"runArgs": ["--mount=type=bind,src=${localEnv:HOME}/d,dst=/data"]}`, place, nil},
		"at a variable's":          {[]string{"/data"}, `{"runArgs": ["-v", "x:/src/${localEnv:USER}:ro"]}`, place, []string{"(/data)"}},
		"in one without a name":    {[]string{"/data"}, `{"runArgs": ["-v", "/data"]}`, place, nil},
		"beside a mount":           {[]string{"/workspace"}, `{"mounts": ["source=d,target=/work,type=volume"]}`, place, []string{"(/workspace)"}},
		"by COLTEC_PLACE":          {[]string{"/workspace/notes", "/workspace"}, `{"containerEnv": {"COLTEC_PLACE": "/workspace/"}}`, place, nil},
		"COLTEC_PLACE of another":  {[]string{"/workspace"}, `{"containerEnv": {"COLTEC_PLACE": "/work"}}`, place, []string{"(/workspace)"}},
		"what only pulls":          {[]string{"/reference pull"}, `{}`, place, nil},
		"not known where it is":    {[]string{"/workspace"}, `{}`, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := with(t, "a", sync(tt.paths...), tt.config)
			w.Place = tt.place
			found := Misplaced(w)
			if len(found) != min(1, len(tt.want)) {
				t.Fatalf("%+v", found)
			}
			for _, want := range tt.want {
				if f := found[0]; f.Severity != Error || !strings.Contains(f.Text+f.Fix, want) {
					t.Errorf("%+v does not say %q", f, want)
				}
			}
		})
	}
}
