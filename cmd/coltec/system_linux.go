package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

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
