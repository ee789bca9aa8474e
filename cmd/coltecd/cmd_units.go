package main

import (
	"github.com/urfave/cli/v2"
)

// The verbs that act on one unit or replica.

func cmdPause(p *program) *cli.Command {
	return actOn(p, "pause", "paused", "stop a unit or replica until it is resumed")
}

func cmdResume(p *program) *cli.Command {
	return actOn(p, "resume", "resumed", "resume a paused unit or replica")
}

func cmdRestart(p *program) *cli.Command {
	return actOn(p, "restart", "restarted", "stop a unit and start it again; a replica runs a cycle")
}

func actOn(p *program, verb, done, usage string) *cli.Command {
	return &cli.Command{
		Name:      verb,
		Usage:     usage,
		ArgsUsage: "NAME",
		Action: func(c *cli.Context) error {
			client, _, err := p.connect(c)
			if err != nil {
				return err
			}
			name := c.Args().First()
			if err := client.Act(c.Context, verb, name); err != nil {
				return err
			}
			p.say("%s %s", done, name)
			return nil
		},
	}
}

func cmdReload(p *program) *cli.Command {
	return &cli.Command{
		Name:  "reload",
		Usage: "read the spec again; what did not change is left alone",
		Action: func(c *cli.Context) error {
			client, _, err := p.connect(c)
			if err != nil {
				return err
			}
			return client.Reload(c.Context, func(line string) { p.say("%s", line) })
		},
	}
}
