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
