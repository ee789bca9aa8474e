package main

import (
	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/agentpage"
	"github.com/coltec/coltec/pkg/control"
)

func cmdAgents(p *program) *cli.Command {
	return &cli.Command{
		Name:        "agents",
		Usage:       "list the agents that are known; say what of one travels",
		ArgsUsage:   "[NAME]",
		Flags:       []cli.Flag{jsonFlag()},
		Subcommands: []*cli.Command{cmdAgentsLogout(p)},
		Action: func(c *cli.Context) error {
			list, err := agentpage.Find(c.Args().First())
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return p.printJSON(list)
			}
			return agentpage.Print(p.out, list)
		},
	}
}

func cmdAgentsLogout(p *program) *cli.Command {
	return &cli.Command{
		Name:  "logout",
		Usage: "remove the logins of agents from the bucket; no machine has them come along any more",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "agent", Usage: "of the agent `NAME` alone; may be given again"},
			&cli.BoolFlag{Name: "local", Usage: "remove them on this machine too, with those that were kept aside"},
		},
		Action: func(c *cli.Context) error {
			client, _, err := p.connect(c)
			if err != nil {
				return err
			}
			return client.Logout(c.Context, control.LogoutRequest{Agents: c.StringSlice("agent"), Local: c.Bool("local")}, func(line string) { p.say("%s", line) })
		},
	}
}
