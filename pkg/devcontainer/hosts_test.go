package devcontainer

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestElsewhere(t *testing.T) {
	for endpoint, want := range map[string]string{
		"":                             "",
		"unix:///var/run/docker.sock":  "",
		"npipe:////./pipe/docker":      "",
		"fd://":                        "",
		"tcp://127.0.0.1:2375":         "",
		"tcp://localhost:2375":         "",
		"tcp://[::1]:2375":             "",
		"tcp://10.0.0.7:2376":          "tcp://10.0.0.7:2376",
		"ssh://me@build":               "ssh://me@build",
		"ssh://me:pass@127.0.0.1:2222": "ssh://me@127.0.0.1:2222",
		"https://docker.example:2376":  "https://docker.example:2376",
		"something else":               "",
	} {
		if got := elsewhere(endpoint); got != want {
			t.Errorf("%q: %q, want %q", endpoint, got, want)
		}
	}
}

func TestInVolume(t *testing.T) {
	for text, want := range map[string]string{
		`{"image":"x"}`: `{"image":"x","workspaceFolder":"/workspaces/w","workspaceMount":"type=volume,source=v,target=/workspaces/w"}`,
		`{"workspaceFolder":"/workspace","workspaceMount":"type=bind,source=/h,target=/workspace"}`: `{"workspaceFolder":"/workspace","workspaceMount":"type=volume,source=v,target=/workspace"}`,
		`{"workspaceFolder":"/a,b"}`: `{"workspaceFolder":"/a,b","workspaceMount":"type=volume,source=v,\"target=/a,b\""}`,
		`{"dockerComposeFile":"c"}`:  "",
		`{"workspaceFolder":["no"]}`: "",
		`null`:                       "",
	} {
		got, err := InVolume([]byte(text), "/h/w", "v")
		if string(got) != want || (err != nil) != (want == "") {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	if VolumeOf("a/b-c/d") == VolumeOf("a-b/c/d") {
		t.Error("two workspaces have one volume")
	}
	c := Container{Labels: map[string]string{LabelFolder: "/h/w"}, Mounts: []Mount{{Source: "/etc/x", Destination: "/etc/x"}, {Name: VolumeOf("a/b/c"), Source: "/var/lib/docker/volumes/v", Destination: "/workspace"}}}
	if c.Workspace() != "/workspace" || c.Volume() != VolumeOf("a/b/c") {
		t.Errorf("%q, %q", c.Workspace(), c.Volume())
	}
}

func TestWithHostUsers(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                            `{"runArgs":["--userns=host"]}`,
		`{"runArgs":["--init"]}`:        `{"runArgs":["--init","--userns=host"]}`,
		`{"runArgs":["--userns=auto"]}`: `{"runArgs":["--userns=auto"]}`,
		`{"runArgs":"no"}`:              "",
		`null`:                          "",
	} {
		got, err := WithHostUsers([]byte(text))
		if string(got) != want || (err != nil) != (want == "") {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
}

// COLTEC_DOCKER counts, then docker, then podman; the CLI is told where it would take another.
func TestClient(t *testing.T) {
	both, alone := t.TempDir(), t.TempDir()
	for _, file := range []string{both + "/docker", both + "/podman", alone + "/podman"} {
		if err := os.WriteFile(file, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, path, said, want string
		args                   []string
	}{
		{"both", both, "", both + "/docker", nil},
		{"podman alone", alone, "", alone + "/podman", []string{"--docker-path", alone + "/podman"}},
		{"named", both, "podman", both + "/podman", []string{"--docker-path", both + "/podman"}},
		{"by its path", alone, both + "/docker", both + "/docker", []string{"--docker-path", both + "/docker"}},
		{"not there", alone, "docker", "", nil},
		{"none", t.TempDir(), "", "", nil},
	} {
		tools, err := Docker([]string{"PATH=" + c.path, ClientVar + "=" + c.said})
		if tools.Docker != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: %q, %v", c.name, tools.Docker, err)
		}
		if err == nil && !slices.Equal(tools.args(), c.args) {
			t.Errorf("%s: %q", c.name, tools.args())
		}
		if err == nil && tools.Client() != filepath.Base(c.want) {
			t.Errorf("%s: %q", c.name, tools.Client())
		}
	}
}

// A database beside the workspace is stopped with it; another workspace of the project, and
// what does not run, is left alone.
func TestBeside(t *testing.T) {
	got := beside([]Container{
		{ID: "own", Running: true, Labels: map[string]string{LabelFolder: "/w"}},
		{ID: "db", Running: true},
		{ID: "old"},
		{ID: "other", Running: true, Labels: map[string]string{LabelFolder: "/x"}},
		{ID: "cache", Running: true},
	})
	if !slices.Equal(got, []string{"db", "cache"}) {
		t.Errorf("%q", got)
	}
}
