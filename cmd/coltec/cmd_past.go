//go:build linux

package main

import (
	"errors"
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

// cmdConflicts decides where the workspace runs, and nowhere else: the tree is there.
func cmdConflicts(p *program) *cli.Command {
	cmd := p.page().Conflicts()
	theirs := cmd.Flags
	cmd = p.reads(cmd)
	cmd.Description += " What is taken or dropped is in the container, which has to run for that."
	look := cmd.Action
	cmd.Action = func(c *cli.Context) error {
		_, err := p.page().Decides(c)
		if verb := c.Args().Get(1); err == nil && (verb == "take" || verb == "drop") {
			return p.inside(c, verbOf(c, theirs), nil)
		}
		return look(c)
	}
	return cmd
}

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
		if c.NArg() == 1 || c.NArg() == 2 && isWorkspace(c.Args().Get(1)) {
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

// reads gives a verb to the coltecd of the workspace's container, where one runs and nothing
// is to be written on this host.
func (p *program) reads(cmd *cli.Command) *cli.Command {
	alone, theirs := cmd.Action, cmd.Flags
	cmd.Flags = append(slices.Clone(theirs), secretFlags()...)
	cmd.Description += "\n\nThe coltecd of the workspace's container answers; where none runs, the bucket alone is read."
	cmd.Action = func(c *cli.Context) error {
		_, _, _, err := p.running(c)
		if err == nil && c.String("to") == "" {
			return p.inside(c, verbOf(c, theirs), nil)
		}
		if why := (unaskedError{}); errors.As(err, &why) && c.Context.Err() == nil {
			p.say("%s", unasked(nil, why)[0])
		}
		return alone(c)
	}
	return cmd
}

// page shows the past of a workspace whose container does not run.
func (p *program) page() pastpage.Page {
	return pastpage.Page{Program: "coltec", Of: "WORKSPACE ", Out: p.out, Raw: p.raw.out, Say: p.say, Asker: p.asks(), Past: p.past}
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
