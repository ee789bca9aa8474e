package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/internal/pastpage"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
)

func cmdRewind(p *program) *cli.Command {
	return &cli.Command{
		Name:      "rewind",
		Usage:     "take the workspace back to a checkpoint, a generation or a moment",
		ArgsUsage: "NAME|GENERATION|TIME",
		Description: `Files, repositories and databases become what they were:

  coltecd rewind before-upgrade --dry-run
  coltecd rewind before-upgrade --yes
  coltecd rewind 2h --path src --yes

What is there becomes a checkpoint first, before-rewind-TIME, and a rewind to that goes
back again. Of those that rewinds and joins make the newest ten stay. The result is a new generation: nothing of the history is changed. The services of the
spec are stopped before, and started after. What is edited meanwhile stays, as in any
merge: where both sides changed, the version here is kept in .coltec/conflicts.

A TIME goes by the clocks of the machines that wrote the generations: where one was wrong, coltecd history shows the
numbers. A repository that was shallow then, and was made deeper since, stays deep: its branches and files are as they were.

What the workspace excludes, and logins, stay as they are. So do replicas that are kept as plain
objects, that go one way, or that are paused. Once it has begun it goes on without this shell.`,
		Flags:  cmdline.RewindFlags(),
		Action: func(c *cli.Context) error { return p.rewind(c) },
	}
}

func (p *program) rewind(c *cli.Context) error {
	path, err := pastpage.Absolute(c.String("path"))
	if err != nil {
		return err
	}
	client, _, err := p.connect(c)
	if err != nil {
		return err
	}
	req := control.RewindRequest{At: c.Args().First(), Path: path, DryRun: true}
	if !c.Bool("yes") || c.Bool("dry-run") {
		would, err := client.Rewind(c.Context, req, func(line string) { p.say("%s", line) })
		if err != nil || c.Bool("dry-run") {
			return p.printRewound(c, would, err)
		}
		if err := p.agreesToRewind(c.Context, would); err != nil {
			return err
		}
	}
	req.DryRun = false
	done, err := client.Rewind(c.Context, req, func(line string) { p.say("%s", line) })
	if err != nil && c.Context.Err() != nil {
		return hint.Wrap(err, "the rewind goes on, if it has begun: see %s status and %s checkpoints", p.name, p.name)
	}
	return p.printRewound(c, done, err)
}

// agreesToRewind asks a person.
func (p *program) agreesToRewind(ctx context.Context, would control.Rewound) error {
	asks := cmdline.Asker{In: p.raw.in, Err: p.err}
	if asks.Can() {
		for _, x := range would.Replicas {
			p.say("%s", rewoundLine(x, "would be "))
		}
	}
	return asks.Agree(ctx, cmdline.Question{
		Text: fmt.Sprintf("Take it back to generation %d? What is there becomes a checkpoint first.", would.To), No: errors.New("not rewound: nothing was changed"),
		Nobody: hint.Wrap(cmdline.Usage("rewind changes the workspace, and nobody can be asked"), "say --yes, or look first with --dry-run"),
	})
}

// rewoundLine is what a rewind does to one replica.
func rewoundLine(x control.RewoundReplica, would string) string {
	if x.Stays != "" {
		return fmt.Sprintf("%s: stays as it is: %s", x.Replica, x.Stays)
	}
	return fmt.Sprintf("%s: %s%d added, %d changed, %d removed", x.Replica, would, x.Added, x.Changed, x.Removed)
}

func (p *program) printRewound(c *cli.Context, r control.Rewound, err error) error {
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return p.printJSON(r)
	}
	missing := 0
	for _, x := range r.Replicas {
		would := ""
		if c.Bool("dry-run") {
			would = "would be "
		}
		fmt.Fprintln(p.out, rewoundLine(x, would))
		for _, u := range x.Unplaced {
			fmt.Fprintf(p.out, "  not yet: %s\n", u)
			missing++
		}
	}
	switch {
	case c.Bool("dry-run"):
		fmt.Fprintf(p.out, "nothing was changed; with --yes the workspace goes back to generation %d\n", r.To)
	case r.Generation == 0:
		fmt.Fprintf(p.out, "nothing was changed: no replica that can be taken back differs from generation %d\n", r.To)
	default:
		fmt.Fprintf(p.out, "generation %d is as generation %d was; what was there is checkpoint %s\n", r.Generation, r.To, r.Before)
	}
	if missing > 0 {
		return hint.Wrap(fmt.Errorf("%s not here yet", hint.Count(missing, "path is", "paths are")), "what is missing comes by itself: see %s status", p.name)
	}
	return nil
}
