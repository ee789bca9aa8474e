package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
)

// Verbs that the coltecd of a workspace's container answers, and nobody else.

func cmdRewind(p *program) *cli.Command {
	return p.inContainer(&cli.Command{
		Name:      "rewind",
		Usage:     "take a workspace back to a checkpoint, a generation or a moment",
		ArgsUsage: "WORKSPACE NAME|GENERATION|TIME",
		Description: `What is there becomes a checkpoint first, and a rewind to that goes back again. The services of the spec
are stopped before, and started after.`,
		Flags: cmdline.RewindFlags(),
	})
}

func cmdCheckpoint(p *program) *cli.Command {
	return p.inContainer(&cli.Command{
		Name:      "checkpoint",
		Usage:     "push what changed in a workspace, and give that state a name under which it is kept",
		ArgsUsage: "WORKSPACE NAME",
		Flags:     cmdline.CheckpointFlags(),
	})
}

func cmdSync(p *program) *cli.Command {
	return p.inContainer(&cli.Command{
		Name:      "sync",
		Usage:     "push what changed in a workspace now, and wait until it is in the bucket",
		ArgsUsage: "WORKSPACE [REPLICA…]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "allow-delete", Usage: "let the deletions go through that are held back"},
		},
	})
}

// inContainer gives a verb to the coltecd of the workspace's container.
func (p *program) inContainer(cmd *cli.Command) *cli.Command {
	cmd.Action = func(c *cli.Context) error { return p.inside(c, verbOf(c, cmd.Flags), nil) }
	return cmd
}

// verbOf is the command line of coltecd that a call of coltec stands for.
func verbOf(c *cli.Context, flags []cli.Flag) []string {
	argv := []string{"coltecd", c.Command.Name}
	given := map[string]any{}
	for _, f := range flags {
		if name := f.Names()[0]; c.IsSet(name) {
			given[name] = c.Value(name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		argv = append(argv, fmt.Sprintf("--%s=%v", name, given[name]))
	}
	if rest := c.Args().Tail(); len(rest) > 0 {
		argv = append(append(argv, "--"), rest...)
	}
	return argv
}
