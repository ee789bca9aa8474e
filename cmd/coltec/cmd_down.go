package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/devcontainer"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/status"
)

const (
	// flushPatience is what coltecd gets for its last push.
	flushPatience = 2 * time.Minute
	// stopGrace is docker's, once coltecd has ended: the container's own services.
	stopGrace = 10 * time.Second
)

func cmdDown(p *program) *cli.Command {
	return &cli.Command{
		Name:      "down",
		Usage:     "push what is pending, give the lease back and stop the container",
		ArgsUsage: "[DIR]",
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "timeout", Aliases: []string{"t"}, Usage: "take at most this `DURATION` for the push; what is left is said to the next machine", Value: flushPatience},
		},
		Action: func(c *cli.Context) error { return p.down(c) },
	}
}

func (p *program) down(c *cli.Context) error {
	w, tools, ct, err := p.container(c)
	if err != nil {
		return err
	}
	release, err := p.lock(c.Context, w.folder)
	if err != nil {
		return err
	}
	defer release()
	if !ct.Running {
		p.say("%s: the container does not run", w.name())
		return nil
	}
	began := time.Now()
	out := lines{say: func(line string) { p.say("%s: %s", w.name(), line) }}
	code, err := tools.Run(c.Context, ct, devcontainer.Exec{
		Argv: []string{"coltecd", "stop", "--timeout", c.Duration("timeout").String()}, Stdout: &out, Stderr: &out,
	})
	if err != nil {
		return err
	}
	if code != 0 {
		return hint.Wrap(fmt.Errorf("coltecd did not stop in order (exit %d): the container runs on", code),
			"see coltec logs %s; docker stop %.12s stops the container all the same", w.folder, ct.ID)
	}
	left := p.left(w, began)
	if err := tools.Stop(c.Context, ct, stopGrace); err != nil {
		return err
	}
	p.say("%s: down", w.name())
	return left
}

// left is what the last push left behind, by the status file that coltecd wrote
// at its end.
func (p *program) left(w *workspace, began time.Time) error {
	doc, at, err := readStatus(w.folder)
	if err != nil || at.Before(began.Add(-time.Second)) {
		return nil // it did not run: nothing was to be pushed now
	}
	for _, r := range doc.Replicas {
		switch {
		case r.Pending > 0:
			p.say("%s: %s: %d changes are not in the bucket: they are in %s, and are pushed after the next up there", w.name(), r.Name, r.Pending, w.folder)
		case r.State == status.ReplicaBlocked || r.State == status.ReplicaRetrying:
			p.say("%s: %s: not pushed: %s", w.name(), r.Name, r.LastError)
		default:
			continue
		}
		err = cmdline.Exit{Code: cmdline.CodeFailed}
	}
	return err
}

// readStatus reads the status file of a workspace, and when it was written.
func readStatus(folder string) (status.Document, time.Time, error) {
	return status.ReadFile(filepath.Join(folder, logsName))
}

// container finds the workspace of the first argument and its container.
func (p *program) container(c *cli.Context) (*workspace, devcontainer.Tools, devcontainer.Container, error) {
	w, err := open(c.Args().First())
	if err != nil {
		return nil, devcontainer.Tools{}, devcontainer.Container{}, err
	}
	tools, err := devcontainer.Docker(p.environ)
	if err != nil {
		return w, tools, devcontainer.Container{}, err
	}
	ct, ok, err := tools.Of(c.Context, w.folder)
	if err == nil && !ok {
		err = hint.Wrap(fmt.Errorf("workspace %s has no container here", w.spec.ID()), "bring it up: coltec up %s", w.folder)
	}
	return w, tools, ct, err
}

// running is container, and an error when it does not run.
func (p *program) running(c *cli.Context) (*workspace, devcontainer.Tools, devcontainer.Container, error) {
	w, tools, ct, err := p.container(c)
	if err == nil && !ct.Running {
		err = hint.Wrap(errors.New("the container of "+w.spec.ID()+" does not run"), "bring it up: coltec up %s", w.folder)
	}
	return w, tools, ct, err
}
