package main

import (
	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/pkg/control"
)

func cmdSync(p *program) *cli.Command {
	return &cli.Command{
		Name:      "sync",
		Usage:     "run a cycle of the named replicas (all, if none is named) now and wait for it",
		ArgsUsage: "[NAME…]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "allow-delete", Usage: "let the deletions through that a brake holds back"},
		},
		Action: func(c *cli.Context) error {
			client, _, err := p.connect(c)
			if err != nil {
				return err
			}
			req := control.SyncRequest{Names: c.Args().Slice(), AllowDelete: c.Bool("allow-delete")}
			return client.Sync(c.Context, req, func(line string) { p.say("%s", line) })
		},
	}
}
