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

// cmdFirst is the command of a container and the stop after it, as process 1: not for
// people. A shell that is replaced by the command has no trap any more.
func cmdFirst(p *program) *cli.Command {
	return &cli.Command{
		Name: "first", ArgsUsage: "COMMAND…",
		Hidden: true,
		Flags:  []cli.Flag{&cli.StringFlag{Name: "user", Usage: "the workspace's `USER`"}},
		Action: func(c *cli.Context) error {
			timeout, _ := p.lookup(daemon.StopTimeoutVar)
			code, err := daemon.First(c.String("user"), timeout, c.Args().Slice(), p.environ)
			if code == 0 && err == nil {
				return nil
			}
			return exit{Code: code, Cause: err}
		},
	}
}
