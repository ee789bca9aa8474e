package rclone

import (
	"context"
	"os/exec"
	"time"
)

// noConfig is the path that rclone itself uses for "there is no file": the
// user's own configuration is never read, and nothing is said about that.
const noConfig = "notfound"

// killAfter is how long an rclone that was told to end may take: it gives up
// its requests at once, but removes what it began.
const killAfter = 3 * time.Second

// command is a child in a process group of its own: TERM to the group when ctx
// ends, KILL to the whole of it later.
func command(ctx context.Context, path string, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, argv...)
	// Relative paths, and a file named as [noConfig], must not be found by chance.
	cmd.Dir = top
	apart(cmd)
	cmd.WaitDelay = killAfter
	return cmd
}
