package main

import (
	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/pkg/control"
)

func cmdTakeover(p *program) *cli.Command {
	return &cli.Command{
		Name:  "takeover",
		Usage: "ask the machine that holds the lease to push and hand over, and wait for that",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Usage: "take the lease at once; what the other machine did not push it merges later"},
		},
		Action: func(c *cli.Context) error {
			client, _, err := p.connect(c)
			if err != nil {
				return err
			}
			return client.Takeover(c.Context, control.TakeoverRequest{Force: c.Bool("force")}, func(line string) { p.say("%s", line) })
		},
	}
}
