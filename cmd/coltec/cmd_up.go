package main

import (
	"github.com/urfave/cli/v2"
)

func cmdUp(p *program) *cli.Command {
	return &cli.Command{
		Name:      "up",
		Usage:     "bring the container of a workspace up with its secrets, and say how it is",
		ArgsUsage: "DIR [DEVCONTAINER-ARG…]",
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "remote-env", Usage: "give `NAME=value` to the container's hooks; a declared secret joins the secrets (may be repeated)"},
			&cli.BoolFlag{Name: "recreate", Usage: "make the container anew: coltecd pushes and stops first; what is only in it, outside of mounts and replicas, goes with it"},
			&cli.BoolFlag{Name: "chown", Usage: "give what the container's user cannot write of the workspace to that user"},
			&cli.DurationFlag{Name: "timeout", Usage: "wait this `DURATION` for the restore, which continues in the background after it; 0: until it is done", Value: restorePatience},
		}, secretFlags()...),
		Description: "Arguments after -- are passed on to devcontainer up.",
		Action:      func(c *cli.Context) error { return p.up(c) },
	}
}
