//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
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
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "into", Usage: "the `WORKSPACE` that it comes to; this folder's unless told"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
		}, cmdline.JoinFlags()...),
		Action: func(c *cli.Context) error { return joins{p}.join(c) },
	}
}

func (p joins) join(c *cli.Context) error {
	w, err := p.open(c.Context, c.String("into"))
	if errors.Is(err, errNoWorkspace) && c.String("into") == "" {
		return hint.Wrap(cmdline.Usage("what is %s joined into? There is no workspace in this folder", hint.Word(c.Args().First())), "say it: --into WORKSPACE")
	}
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
		if err := p.agree(c, fork, w, coltecd); err != nil {
			return err
		}
	}
	return coltecd()
}

// agree shows a person what a join would do, and asks.
func (p joins) agree(c *cli.Context, fork string, w *workspace, coltecd func(args ...string) error) error {
	nobody := hint.Wrap(errors.New("nobody can be asked whether this is to be joined"), "--dry-run says what would be done, --yes does it")
	if !p.asks().Can() || c.Bool("json") {
		return nobody
	}
	if err := coltecd("--dry-run"); err != nil {
		return err
	}
	return p.asks().Agree(c.Context, cmdline.Question{
		Text: fmt.Sprintf("Join %s into %s?", fork, w.spec.ID()), No: errors.New("nothing was joined: you did not agree"), Nobody: nobody,
	})
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
