package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
)

func cmdCheckpoint(p *program) *cli.Command {
	return &cli.Command{
		Name:      "checkpoint",
		Usage:     "push what changed, and give the state of all replicas a name under which it is kept",
		ArgsUsage: "NAME",
		Description: `A checkpoint is kept until it is removed, however old it is:

  coltecd checkpoint before-upgrade -m "all tests pass"
  coltecd history show before-upgrade
  coltecd history restore --at before-upgrade

A name begins with a letter; letters, digits, dots, dashes and underscores follow, 63 at
most in all. Replicas that are kept as plain objects have no history, and are in no checkpoint.`,
		Flags:  cmdline.CheckpointFlags(),
		Action: func(c *cli.Context) error { return p.checkpoint(c) },
	}
}

func (p *program) checkpoint(c *cli.Context) error {
	name := c.Args().First()
	if name == "" || c.NArg() > 1 {
		return hint.Wrap(cmdline.Usage("checkpoint needs NAME, and nothing else"), "see %s checkpoint --help", p.name)
	}
	client, _, err := p.connect(c)
	if err != nil {
		return err
	}
	if c.Bool("remove") {
		return client.RemoveCheckpoint(c.Context, name)
	}
	made, err := client.Checkpoint(c.Context, control.CheckpointRequest{Name: name, Text: c.String("message")}, func(line string) { p.say("%s", line) })
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return p.printJSON(made)
	}
	fmt.Fprintf(p.out, "checkpoint %s is generation %d\n", made.Name, made.Number)
	return nil
}

func cmdCheckpoints(p *program) *cli.Command { return p.page().Checkpoints() }
