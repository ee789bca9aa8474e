package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/daemon"
	"github.com/coltec/coltec/internal/agentpage"
	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
)

func cmdAgents(p *program) *cli.Command {
	return &cli.Command{
		Name:        "agents",
		Usage:       "list the agents that are known; say what of one travels",
		ArgsUsage:   "[NAME]",
		Flags:       []cli.Flag{jsonFlag()},
		Subcommands: []*cli.Command{cmdAgentsCheck(p), cmdAgentsLogout(p), cmdAgentsReport(p), cmdAgentsResume(p)},
		Action:      func(c *cli.Context) error { return agentpage.Show(c, p.out, p.raw.out) },
	}
}

func cmdAgentsCheck(p *program) *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "look for what looks like a secret in what is carried of the home",
		Description: `It says the file, the line and the kind, and never what stands there. It finds tokens by what
their issuers begin them with, and private keys; no passwords, and nothing that is packed.`,
		Flags:  []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error { return p.checkHome(c) },
	}
}

func (p *program) checkHome(c *cli.Context) error {
	path, err := p.findSpec(c)
	if err != nil {
		return err
	}
	o, err := p.load(path)
	if err != nil {
		return err
	}
	all, err := daemon.LookForSecrets(c.Context, o)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		err = p.printJSON(all)
	} else {
		p.printSuspects(all)
	}
	if err == nil && len(all.Found)+len(all.Unread) > 0 {
		err = exit{Code: codeFailed}
	}
	return err
}

func (p *program) printSuspects(all daemon.Suspects) {
	for _, f := range all.Found {
		at := cmdline.OneLine(f.Path)
		if f.Line > 0 {
			at = fmt.Sprintf("%s:%d", at, f.Line)
		}
		fmt.Fprintf(p.out, "%s: this looks like %s\n", at, f.Kind)
	}
	for _, line := range all.Unread {
		fmt.Fprintf(p.out, "not looked through: %s\n", cmdline.OneLine(line))
	}
	switch {
	case len(all.Found) > 0:
		p.say("what is found is in the bucket, or will be: replace the secret where it was issued; an exclude in the spec keeps a file from newer generations")
	case len(all.Unread) == 0:
		fmt.Fprintf(p.out, "%s carried of the home: nothing that looks like a secret\n", hint.Count(all.Files, "file that is", "files that are"))
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
