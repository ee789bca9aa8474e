package main

import (
	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/daemon"
)

// cmdBecome is a verb as the workspace's user, for process 1 of a container, which is
// root: not for people. Images need not have su, nor a name for the user.
func cmdBecome(p *program) *cli.Command {
	return &cli.Command{
		Name: "become", ArgsUsage: "USER VERB…",
		Hidden: true,
		Action: func(c *cli.Context) error {
			return daemon.Become(c.Args().First(), c.Args().Tail(), p.environ)
		},
	}
}
