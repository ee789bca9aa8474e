package main

import (
	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/control"
)

func cmdAdopt(p *program) *cli.Command {
	return &cli.Command{
		Name:      "adopt",
		Usage:     "say that the plain objects which an earlier tool left need not be watched any more; they stay",
		ArgsUsage: "[NAME…]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "finish", Usage: "end the adoption of the named replicas (all, if none is named)"},
		},
		Action: func(c *cli.Context) error {
			if err := cmdline.NeedFlag(c, "finish"); err != nil {
				return err
			}
			client, _, err := p.connect(c)
			if err != nil {
				return err
			}
			return client.FinishAdoption(c.Context, control.SyncRequest{Names: c.Args().Slice()}, func(line string) { p.say("%s", line) })
		},
	}
}
