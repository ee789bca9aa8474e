package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/daemon"
	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/status"
)

// reportPatience is how long an agent may be kept by a report of what it does.
const reportPatience = time.Second

// refusalTime is within which an agent ends that finds no conversation to go on with: some
// seconds on a slow machine.
const refusalTime = 15 * time.Second

func cmdAgentsReport(p *program) *cli.Command {
	return &cli.Command{
		Name:      "report",
		Usage:     "say what an agent does: working, waits (for a person), done or failed",
		ArgsUsage: "STATE",
		Description: `It is for the hooks of agents: hooks: true in the spec has those that are known call it. It
waits for a second at most.`,
		Flags: []cli.Flag{&cli.StringFlag{Name: "agent", Usage: "the agent `NAME`, as the spec lists it"}},
		Action: func(c *cli.Context) error {
			state := c.Args().First()
			if _, is := status.AgentStates[state]; !is {
				return hint.Wrap(cmdline.Usage("%s is no state of an agent", cmdline.OneLine(state)), "states are working, waits, done and failed")
			}
			if err := cmdline.NeedFlag(c, "agent"); err != nil {
				return err
			}
			client, _, err := p.connect(c)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeoutCause(c.Context, reportPatience, fmt.Errorf("coltecd did not answer within %s", reportPatience))
			defer cancel()
			return client.ReportAgent(ctx, control.AgentReport{Agent: c.String("agent"), State: state})
		},
	}
}

func cmdAgentsResume(p *program) *cli.Command {
	return &cli.Command{
		Name:      "resume",
		Usage:     "run an agent: with its last conversation in this folder, else with a new one",
		ArgsUsage: "NAME",
		Description: `resume: always in the spec has coltecd run it, as the unit agent-NAME on a terminal of its own,
and start it again when it ends: coltecd logs agent-NAME shows what it draws.`,
		Action: func(c *cli.Context) error {
			folder, err := os.Getwd()
			if err != nil {
				return fmt.Errorf("cannot tell the current directory: %w", err)
			}
			resume, begin, err := daemon.ResumeCommands(c.Args().First(), folder, p.environ)
			if err != nil {
				return err
			}
			path, err := exec.LookPath(begin[0])
			if err != nil {
				return hint.Wrap(fmt.Errorf("cannot run %s: %w", begin[0], err), "install it, or add where it is to PATH")
			}
			if resume != nil {
				refused, err := goOn(path, resume, p.environ)
				if !refused {
					return err
				}
				p.say("%s goes on with no conversation here: it begins another", begin[0])
			}
			return fmt.Errorf("cannot run %s: %w", path, syscall.Exec(path, begin, p.environ))
		},
	}
}

// goOn runs the command that goes on with a conversation, on our own standard files, and reports
// whether it refused to: it failed by itself soon after its start. Signals are left to it: it is in
// our process group.
func goOn(path string, argv, environ []string) (refused bool, err error) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)
	cmd := exec.Command(path, argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = os.Stdin, os.Stdout, os.Stderr, environ
	begun := time.Now()
	err = cmd.Run()
	var ended *exec.ExitError
	switch {
	case !errors.As(err, &ended):
		return false, err
	case !ended.Exited(): // by a signal
		return false, exit{Code: 128 + int(ended.Sys().(syscall.WaitStatus).Signal())}
	case time.Since(begun) < refusalTime && len(signals) == 0:
		return true, nil
	}
	return false, exit{Code: ended.ExitCode()}
}
