package main

import (
	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/pkg/control"
)

func cmdGC(p *program) *cli.Command {
	return p.page().GC(func(c *cli.Context) (done control.Collected, err error) {
		client, _, err := p.connect(c)
		if err != nil {
			return done, err
		}
		return client.Collect(c.Context, control.CollectRequest{}, func(line string) { p.say("%s", line) })
	})
}
