package devcontainer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Five at once, and one failed: "ENOENT, rename updateUID.Dockerfile". The CLI names
// its temporary files by the millisecond, in a directory that all share.
func TestEachUpHasItsOwnTemporaryFiles(t *testing.T) {
	cli := filepath.Join(t.TempDir(), "devcontainer")
	script := "#!/bin/sh\n: >\"$TMPDIR/left\"\necho '{\"outcome\": \"success\", \"containerId\": \"'$TMPDIR'\"}'\n"
	if err := os.WriteFile(cli, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	tools := Tools{CLI: cli, Environ: append(os.Environ(), "TMPDIR=/nowhere")}
	seen := map[string]bool{}
	for range 2 {
		res, err := tools.Up(t.Context(), Up{Folder: t.TempDir()})
		if err != nil || res.ContainerID == "" || seen[res.ContainerID] {
			t.Fatalf("%+v, %v", res, err)
		}
		seen[res.ContainerID] = true
		if _, err := os.Stat(res.ContainerID); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("its temporary files are left: %v", err)
		}
	}
}

// What the dev container CLI 0.89.0 makes of a folder in a repository, with git's word for
// it: the same is said to it, and only where the file does not.
func TestMounting(t *testing.T) {
	for name, c := range map[string]struct {
		text, top, want string // want "": as it was
		mounts          bool
	}{
		"alone":        {`{"image": "x"}`, "/r/a/w", "", false},
		"below":        {`{"image": "x"}`, "/r/a", `{"image":"x","workspaceFolder":"/workspaces/a/w","workspaceMount":"type=bind,source=/r/a,target=/workspaces/a"}`, true},
		"far below":    {`{}`, "/r", `{"workspaceFolder":"/workspaces/r/a/w","workspaceMount":"type=bind,source=/r,target=/workspaces/r"}`, true},
		"mount only":   {`{"workspaceMount": "m"}`, "/r", `{"workspaceFolder":"/workspaces/r/a/w","workspaceMount":"m"}`, false},
		"no mount":     {`{"workspaceMount": null}`, "/r", `{"workspaceFolder":"/workspaces/r/a/w","workspaceMount":null}`, false},
		"folder only":  {`{"workspaceFolder": "/f"}`, "/r", `{"workspaceFolder":"/f","workspaceMount":"type=bind,source=/r,target=/workspaces/r"}`, true},
		"both":         {`{"workspaceFolder": "/f", "workspaceMount": ""}`, "/r", "", false},
		"compose":      {`{"dockerComposeFile": null}`, "/r", "", false},
		"another case": {`{"WorkspaceMount": "m", "workspaceFolder": "/f"}`, "/r", `{"WorkspaceMount":"m","workspaceFolder":"/f","workspaceMount":"type=bind,source=/r,target=/workspaces/r"}`, true},
	} {
		if c.want == "" {
			c.want = c.text
		}
		got, mounts, err := Mounting([]byte(c.text), "/r/a/w", c.top)
		if string(got) != c.want || mounts != c.mounts || err != nil {
			t.Errorf("%s: %s, %v, %v", name, got, mounts, err)
		}
	}
	got, _, err := Mounting([]byte("{}"), "/a,b/w", "/a,b")
	if want := `{"workspaceFolder":"/workspaces/a,b/w","workspaceMount":"type=bind,\"source=/a,b\",\"target=/workspaces/a,b\""}`; string(got) != want || err != nil {
		t.Errorf("%s, %v", got, err)
	}
}
