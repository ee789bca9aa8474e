package main

import (
	"cmp"
	"context"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/devcontainer"
)

func cmdExec(p *program) *cli.Command {
	return &cli.Command{
		Name:        "exec",
		Usage:       "run a program in the container of a workspace",
		ArgsUsage:   "DIR PROGRAM [ARG…]",
		Description: "Flags of the program go after --: coltec exec DIR -- ls -l",
		Action: func(c *cli.Context) error {
			return p.inside(c, c.Args().Tail(), p.in)
		},
	}
}

func cmdLogs(p *program) *cli.Command {
	flags := cmdline.LogFlags()
	return &cli.Command{
		Name:        "logs",
		Usage:       "show the log of a unit of a workspace, or of all of them and coltecd",
		ArgsUsage:   "WORKSPACE [UNIT]",
		Description: "Where the container is not running, they are read from the workspace's folder.",
		Flags:       flags,
		Action: func(c *cli.Context) error {
			_, _, ct, err := p.running(c)
			if err == nil {
				return within{p}.followed(c, verbOf(c, flags), c.Bool("follow"))
			}
			w, noFolder := p.open(c.Context, c.Args().First())
			if noFolder != nil || ct.Volume() != "" { // its logs are on another machine
				return err
			}
			if shown, fault := p.showLogs(c, w); shown {
				return fault
			}
			return err
		},
	}
}

func cmdStatus(p *program) *cli.Command {
	return &cli.Command{
		Name:      "status",
		Usage:     "show the state of a workspace",
		ArgsUsage: "[DIR]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "answer in JSON"},
			cmdline.WideFlag(),
			&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "print the state again at each change, until Ctrl-C"},
		},
		Action: func(c *cli.Context) error {
			argv := []string{"coltecd", "status"}
			for _, name := range []string{"json", "watch", "wide"} {
				if c.Bool(name) {
					argv = append(argv, "--"+name)
				}
			}
			return within{p}.followed(c, argv, c.Bool("watch"))
		},
	}
}

// within runs programs in containers.
type within struct{ *program }

// followed is inside for a verb of coltecd that may go on until it is interrupted: it ends there when this
// call does, and when nobody reads what it says.
func (p within) followed(c *cli.Context, argv []string, goesOn bool) error {
	if !goesOn {
		return p.inside(c, argv, nil)
	}
	ctx, stop := cmdline.WhileHeard(c.Context, p.raw.out)
	defer stop()
	c.Context = ctx
	err := p.run(c, argv, nil, true)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// inside runs a program in the container as a person there would, and ends with
// its exit code. It reads in; nil is for what reads nothing but keys, and those only where it
// writes to the terminal that they come from.
func (p *program) inside(c *cli.Context, argv []string, in io.Reader) error {
	return within{p}.run(c, argv, in, false)
}

// run is inside for what may be held: it ends with its input.
func (p within) run(c *cli.Context, argv []string, in io.Reader, held bool) error {
	w, tools, ct, err := p.running(c)
	if err != nil {
		return err
	}
	env := p.terminalWishes()
	if in == nil { // a verb of ours: what a program of the caller's says is its own
		env[cmdline.ForHost] = cmp.Or(c.Args().First(), w.spec.ID())
	}
	tty := isTerminal(p.in) && cmdline.IsTerminal(p.raw.out)
	if tty {
		in = p.in
	}
	if held = held && in == nil; held { // a terminal's input does not end with who reads it
		env[cmdline.WithInput] = "1"
	}
	code, err := tools.Run(c.Context, ct, devcontainer.Exec{
		Argv: argv, Env: env, Dir: ct.Workspace(), TTY: tty, Foreground: isTerminal(in),
		Stdin: in, Held: held, Stdout: p.raw.out, Stderr: p.raw.err,
	})
	if err != nil || code == 0 {
		return err
	}
	return cmdline.Exit{Code: code}
}

// terminalWishes are the variables by which a person says how programs are to write to the
// terminal: docker exec hands none over.
func (v environment) terminalWishes() map[string]string {
	wishes := map[string]string{}
	if value, ok := v.lookup("NO_COLOR"); ok {
		wishes["NO_COLOR"] = value
	}
	if v.env("TERM") == "dumb" { // other terminals may not be known in the container
		wishes["TERM"] = "dumb"
	}
	return wishes
}

// isTerminal reports whether a person types what is read from r.
func isTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && cmdline.IsTerminal(f)
}
