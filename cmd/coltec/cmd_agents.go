package main

import (
	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/agentpage"
)

func cmdAgents(p *program) *cli.Command {
	return &cli.Command{
		Name:        "agents",
		Usage:       "list the agents that are known; say what of one travels",
		ArgsUsage:   "[NAME]",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "answer in JSON"}},
		Subcommands: []*cli.Command{cmdAgentsCheck(p), cmdAgentsLogout(p)},
		Action:      func(c *cli.Context) error { return agentpage.Show(c, p.out, p.raw.out) },
	}
}

func cmdAgentsCheck(p *program) *cli.Command {
	return &cli.Command{
		Name:        "check",
		Usage:       "look for what looks like a secret in what is carried of a workspace's home",
		ArgsUsage:   "WORKSPACE",
		Description: "It looks in the running container of the workspace, as coltecd agents check does there.",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "answer in JSON"}},
		Action: func(c *cli.Context) error {
			argv := []string{"coltecd", "agents", "check"}
			if c.Bool("json") {
				argv = append(argv, "--json")
			}
			return p.inside(c, argv, nil)
		},
	}
}

func cmdAgentsLogout(p *program) *cli.Command {
	return &cli.Command{
		Name:      "logout",
		Usage:     "remove the logins of agents from the bucket of a workspace",
		ArgsUsage: "WORKSPACE",
		Description: `A machine that has a login still does not push it again.
A store that keeps versions of its objects has the older ones, encrypted, until they are removed there.`,
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "agent", Usage: "of the agent `NAME` alone; may be given again"},
			&cli.BoolFlag{Name: "local", Usage: "remove them in the running container of the workspace too"},
		}, secretFlags()...),
		Action: func(c *cli.Context) error {
			if !c.Bool("local") {
				return p.logout(c)
			}
			argv := []string{"coltecd", "agents", "logout", "--local"}
			for _, name := range c.StringSlice("agent") {
				argv = append(argv, "--agent="+name)
			}
			return p.inside(c, argv, nil)
		},
	}
}

// logout removes logins from the bucket, without a container.
func (p *program) logout(c *cli.Context) error {
	w, err := open(c.Args().First())
	if err != nil {
		return err
	}
	if err := p.trustsRemotes(w); err != nil {
		return err
	}
	values, err := p.collect(c, w.folder, w.spec, nil)
	if err != nil {
		return err
	}
	bin, err := p.rclone(c.Context)
	if err != nil {
		return err
	}
	root, err := p.headRemote(w, values, bin)
	if err != nil {
		return err
	}
	removed, err := removeLogins(c.Context, root, w.spec.ID(), c.StringSlice("agent"))
	if err != nil {
		return err
	}
	for _, name := range removed {
		p.say("%s: removed from the bucket", printable(name))
	}
	if len(removed) == 0 {
		p.say("there is no such login in the bucket")
	}
	return nil
}
