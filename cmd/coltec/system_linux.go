package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/internal/logpage"
	"github.com/coltec/coltec/internal/pastpage"
	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/logins"
	"github.com/coltec/coltec/pkg/rclone"
)

// lockDir is where the locks of folders are. /tmp is everybody's.
func lockDir() (string, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("coltec-host-%d", os.Getuid()))
	return dir, control.Private(dir, os.Getuid(), "TMPDIR")
}

// removeLogins removes logins of a workspace from the bucket, and names them.
func removeLogins(ctx context.Context, root *rclone.Remote, id string, agents []string) ([]string, error) {
	return logins.Remove(ctx, root, id, agents)
}

// conflictWords are the versions that are kept aside in the folder of the workspace that the arguments
// before name; those of other trees are in its container.
func (v environment) conflictWords(given []string) []cmdline.Candidate {
	w, _ := v.named(given)
	if w == nil {
		return nil
	}
	return pastpage.ConflictWords(w.folder)
}

// showLogs shows what lies in the folder of a workspace; shown is false where nothing does.
func (p *program) showLogs(c *cli.Context, w *workspace) (shown bool, err error) {
	dir, err := anchor.Open(filepath.Join(w.folder, logsName), w.folder, 0)
	if err != nil {
		return false, nil
	}
	defer dir.Close()
	return true, logpage.Show(c, anchor.At(dir), c.Args().Get(1), p.raw.out)
}
