package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/pastpage"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/inquiry"
)

// Verbs about the past of a workspace. The coltecd of its container answers, which knows what
// is not in the bucket yet; where none runs, the bucket alone is read.

func cmdHistory(p *program) *cli.Command { return p.reads(p.page().History()) }

func cmdConflicts(p *program) *cli.Command { return p.reads(p.page().Conflicts()) }

func cmdCheckpoints(p *program) *cli.Command { return p.reads(p.page().Checkpoints()) }

// cmdCompare is about two states of a workspace, or about a fork and what it was made of.
func cmdCompare(p *program) *cli.Command {
	cmd := p.reads(p.page().Compare())
	states := cmd.Action
	cmd.Usage = "say how two states of a workspace differ, or a fork and the workspace that it was made of"
	cmd.ArgsUsage = "WORKSPACE|FORK [A|WORKSPACE] [B] [PATH]"
	cmd.Description = `compare FORK [WORKSPACE] lists what changed on each side since the fork was made, by names alone. WORKSPACE is a folder, or
org/project/env; it is this folder's unless told.

compare WORKSPACE A [B] [PATH] is about two states of one workspace.

` + cmd.Description
	cmd.Action = func(c *cli.Context) error {
		if c.NArg() == 1 || isWorkspace(c.Args().Get(1)) {
			return joins{p}.compare(c)
		}
		return states(c)
	}
	return cmd
}

// isWorkspace reports whether an argument names a workspace, and no state of one.
func isWorkspace(name string) bool {
	_, err := os.Stat(filepath.Join(name, specName))
	return err == nil || strings.Contains(name, "/")
}

func cmdRewind(p *program) *cli.Command {
	return p.inContainer(&cli.Command{
		Name:      "rewind",
		Usage:     "take a workspace back to a checkpoint, a generation or a moment",
		ArgsUsage: "WORKSPACE NAME|GENERATION|TIME",
		Description: `What is there becomes a checkpoint first, and a rewind to that goes back again. The services of the spec
are stopped before, and started after.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "path", Usage: "take only `PATH` back, with what is below it"},
			&cli.BoolFlag{Name: "dry-run", Usage: "say what would be done, to what is in the bucket, and do nothing"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
			&cli.BoolFlag{Name: "json", Usage: "answer in JSON"},
		},
	})
}

func cmdCheckpoint(p *program) *cli.Command {
	return p.inContainer(&cli.Command{
		Name:      "checkpoint",
		Usage:     "push what changed in a workspace, and give that state a name under which it is kept",
		ArgsUsage: "WORKSPACE NAME",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "message", Aliases: []string{"m"}, Usage: "say of it `TEXT`, for people"},
			&cli.BoolFlag{Name: "remove", Usage: "take the name away; the state is kept as any other is"},
			&cli.BoolFlag{Name: "json", Usage: "answer in JSON"},
		},
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

func cmdGC(p *program) *cli.Command {
	cmd := p.page().GC(nil)
	flags := slices.Clone(cmd.Flags)
	look := p.reads(cmd).Action
	cmd.Action = func(c *cli.Context) error {
		if c.Bool("dry-run") {
			return look(c)
		}
		return p.inside(c, verbOf(c, flags), nil)
	}
	return cmd
}

// inContainer gives a verb to the coltecd of the workspace's container.
func (p *program) inContainer(cmd *cli.Command) *cli.Command {
	cmd.Action = func(c *cli.Context) error { return p.inside(c, verbOf(c, cmd.Flags), nil) }
	return cmd
}

// reads gives a verb to the coltecd of the workspace's container, where one runs and nothing
// is to be written on this host.
func (p *program) reads(cmd *cli.Command) *cli.Command {
	alone, theirs := cmd.Action, cmd.Flags
	cmd.Flags = append(slices.Clone(theirs), secretFlags()...)
	cmd.Description += "\n\nThe coltecd of the workspace's container answers; where none runs, the bucket alone is read."
	cmd.Action = func(c *cli.Context) error {
		if _, _, _, err := p.running(c); err == nil && c.String("to") == "" {
			return p.inside(c, verbOf(c, theirs), nil)
		}
		return alone(c)
	}
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

// page shows the past of a workspace whose container does not run.
func (p *program) page() pastpage.Page {
	return pastpage.Page{Program: "coltec", Of: "WORKSPACE ", Out: p.out, Raw: p.raw.out, Say: p.say, Past: p.past}
}

// past reads the bucket of the workspace of the first argument, with what the user agreed to.
func (p *program) past(c *cli.Context) (control.History, func(), error) {
	w, err := p.open(c.Context, c.Args().First())
	if err != nil {
		return nil, nil, err
	}
	if err := p.trustsRemotes(w); err != nil {
		return nil, nil, err
	}
	values, err := p.collect(c, w.folder, w.spec, nil)
	if err != nil {
		return nil, nil, err
	}
	r, replicas, err := p.reader(w.spec, values)
	if err != nil {
		return nil, nil, err
	}
	return inquiry.Answers{Open: func(_ bool, say func(string)) (inquiry.Query, func(), error) {
		return inquiry.Query{Reader: r, Replicas: replicas, Now: time.Now(), Keep: w.spec.Persistence.History.Keep, Say: say}, func() {}, nil
	}}, func() { r.Close() }, nil
}
