//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/devcontainer"
	"github.com/coltec/coltec/pkg/hint"
)

// joins bring back what was done in forks.
type joins struct{ *program }

func cmdJoin(p *program) *cli.Command {
	return &cli.Command{
		Name:      "join",
		Usage:     "merge what was done in a fork into a workspace that runs",
		ArgsUsage: "FORK",
		Description: `What the fork has changed since it was forked, or joined last, comes to the workspace. Where both have changed the same, the
fork's version keeps the name and the other one is kept: coltecd conflicts lists them. Repositories are merged by their
branches. What the workspace had before is kept as a checkpoint. The fork is only read, as it is in the bucket: coltecd sync
in it brings the newest there. FORK is org/project/env, or a part of it.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "into", Usage: "the `WORKSPACE` that it comes to; this folder's unless told"},
			&cli.BoolFlag{Name: "dry-run", Usage: "say what would come, and what is in conflict; do nothing"},
			&cli.BoolFlag{Name: "all", Usage: "from the fork point on, also what was joined before: after a rewind"},
			&cli.BoolFlag{Name: "allow-delete", Usage: "let deletions go that are many, those that waited before among them"},
			&cli.BoolFlag{Name: "unrelated", Usage: "join a fork of another workspace too: what that had and is not here counts as deleted here"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
			&cli.BoolFlag{Name: "json", Usage: "answer in JSON"},
		},
		Action: func(c *cli.Context) error { return joins{p}.join(c) },
	}
}

func (p joins) join(c *cli.Context) error {
	w, err := p.open(c.Context, c.String("into"))
	if err != nil {
		return err
	}
	fork, err := p.named(c.Context, c.Args().First(), w)
	if err != nil {
		return err
	}
	tools, err := devcontainer.Docker(p.environ)
	if err != nil {
		return err
	}
	ct, ok, err := tools.Of(c.Context, w.folder)
	if err != nil {
		return err
	}
	if !ok || !ct.Running {
		return hint.Wrap(fmt.Errorf("cannot join %s: %s does not run here", fork, w.spec.ID()), "coltec up %s", hint.Word(w.folder))
	}
	coltecd := func(args ...string) error {
		argv := append([]string{"coltecd", "join", fork}, args...)
		for _, flag := range []string{"all", "allow-delete", "unrelated", "json"} {
			if c.Bool(flag) {
				argv = append(argv, "--"+flag)
			}
		}
		code, err := tools.Run(c.Context, ct, devcontainer.Exec{
			Argv: argv, Env: p.terminalWishes(), Dir: ct.Workspace(), Stdout: p.raw.out, Stderr: p.raw.err,
		})
		if err == nil && code != 0 {
			err = cmdline.Exit{Code: code}
		}
		return err
	}
	if c.Bool("dry-run") {
		return coltecd("--dry-run")
	}
	if !c.Bool("yes") {
		if yes, err := p.agreedTo(c, fork, w, coltecd); err != nil || !yes {
			return err
		}
	}
	return coltecd()
}

// agreedTo shows a person what a join would do, and asks.
func (p joins) agreedTo(c *cli.Context, fork string, w *workspace, coltecd func(args ...string) error) (bool, error) {
	in, ok := p.in.(*os.File)
	if !ok || !cmdline.IsForeground(in) || c.Bool("json") {
		return false, hint.Wrap(errors.New("nobody can be asked whether this is to be joined"), "--dry-run says what would be done, --yes does it")
	}
	if err := coltecd("--dry-run"); err != nil {
		return false, err
	}
	yes, err := p.askYes(c.Context, in, fmt.Sprintf("Join %s into %s?", fork, w.spec.ID()))
	if err == nil && !yes {
		err = errors.New("nothing was joined: you did not agree")
	}
	return yes, err
}

// named is the workspace that a person means by the name of a fork: one of this host, or one
// beside the workspace that it is a fork of.
func (p joins) named(ctx context.Context, name string, w *workspace) (string, error) {
	if strings.Count(name, "/") == 2 && !isFolder(name) {
		return name, nil
	}
	fork, err := p.open(ctx, name)
	switch {
	case err == nil:
		return fork.spec.ID(), nil
	case errors.Is(err, errNoWorkspace) && !strings.Contains(name, "/"):
		return strings.Join([]string{w.spec.Metadata.Org, w.spec.Metadata.Project, name}, "/"), nil
	}
	return "", err
}
