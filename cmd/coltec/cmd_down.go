package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/account"
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
			&cli.DurationFlag{Name: "timeout", Aliases: []string{"t"}, Usage: "take at most this `DURATION` for the push; the next machine is told what was not pushed", Value: flushPatience},
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
		p.say("%s: the container is not running", w.name())
		return nil
	}
	return p.descend(c.Context, w, tools, ct, c.Duration("timeout"))
}

// descend has the coltecd of a container push and end, within a time, and stops the container.
// The error says what is only here.
func (p *program) descend(ctx context.Context, w *workspace, tools devcontainer.Tools, ct devcontainer.Container, patience time.Duration) error {
	began := time.Now()
	before, _ := ask(ctx, tools, ct, nil, 0) // one that gives no answer says nothing of itself
	out := lines{say: func(line string) { p.say("%s: %s", w.name(), line) }}
	code, err := tools.Run(ctx, ct, devcontainer.Exec{
		Argv: []string{"coltecd", "stop", "--timeout", patience.String()}, Stdout: &out, Stderr: &out,
	})
	if err != nil {
		return err
	}
	unpushed, ok := p.unpushed(w, code, out.last, before, began)
	if !ok {
		return hint.Wrap(fmt.Errorf("coltecd did not stop in order (exit %d): the container is still running", code),
			"see coltec logs %s; %s stop %.12s stops the container all the same", hint.Word(w.folder), hint.Word(tools.Client()), ct.ID)
	}
	if err := tools.Stop(ctx, ct, stopGrace); err != nil {
		return err
	}
	p.say("%s: down", w.name())
	switch {
	case code == cmdline.CodeKept:
		return hint.Wrap(cmdline.Exit{Code: code, Cause: fmt.Errorf("%s: everything is in the bucket, but %w", w.name(), account.ErrKept)},
			"another machine waits until it runs out, or until coltec up and coltec down %s give it back", hint.Word(w.folder))
	case unpushed == "" || !w.hasBucket():
		return nil
	}
	err = cmdline.Exit{Code: cmdline.CodeOnlyHere, Cause: fmt.Errorf("%s: %s exist only in %s", w.name(), unpushed, placeOf(w, ct))}
	if before.State == status.Disabled {
		return err
	}
	return hint.Wrap(err, "they are pushed after the next coltec up %s", hint.Word(w.folder))
}

// placeOf is where the files of a workspace are that has a container.
func placeOf(w *workspace, ct devcontainer.Container) string {
	if volume := ct.Volume(); volume != "" {
		return "the volume " + volume + " of the machine that the container is on"
	}
	return w.folder
}

// notRunning begins the answer of coltecd stop where none runs.
const notRunning = "coltecd is not running"

// unpushed is what the end of a container's coltecd left in the folder, "" for nothing: by
// the exit code and the last line of coltecd stop, which named it. ok is false when it
// has not ended.
func (p *program) unpushed(w *workspace, code int, last string, before status.Document, began time.Time) (unpushed string, ok bool) {
	switch {
	case code == cmdline.CodeOnlyHere:
		return "the changes named above", true
	case code == 126 || code == 127:
		p.say("%s: there is no coltecd in the container: nothing was pushed", w.name())
		return "any changes", true
	case code == cmdline.CodeKept:
		return "", true
	case code != 0:
		return "", false
	case strings.HasPrefix(last, notRunning):
		if last == notRunning { // an older one's words
			p.say("%s: nothing was pushed", w.name())
		}
		// As after a Ctrl-C of the call before: the coltecd of the container ended all the same.
		if doc, at, err := readStatus(w.folder); err == nil && doc.State == status.Stopped && doc.Accounts && status.OnlyHere(doc.Replicas) == nil {
			return fmt.Sprintf("any changes made since it ended, at %s with everything in the bucket,", at.Local().Format(time.TimeOnly)), true
		}
		return "any changes made since it ended", true
	case !before.Accounts:
		return p.unpushedOfOlder(w, before, began), true
	}
	return "", true
}

// unpushedOfOlder is what an older coltecd left, which ends with 0 whatever that is: by how its
// replicas were before, and by the status file that it wrote at its end.
func (p *program) unpushedOfOlder(w *workspace, before status.Document, began time.Time) string {
	unpushed := ""
	for _, r := range before.Replicas {
		switch r.State {
		case status.ReplicaWaiting, status.ReplicaRestoring, status.ReplicaRetrying, status.ReplicaBlocked:
			p.say("%s: %s was %s, so it is not known what is pushed of it", w.name(), r.Name, r.State)
			unpushed = "any changes not yet pushed"
		}
	}
	after, at, err := readStatus(w.folder)
	if err != nil || at.Before(began.Add(-time.Second)) {
		return unpushed
	}
	for _, r := range after.Replicas {
		if r.Pending > 0 {
			p.say("%s: %s: %s not in the bucket", w.name(), r.Name, hint.Count(r.Pending, "change is", "changes are"))
			unpushed = "any changes not yet pushed"
		}
	}
	return unpushed
}

// readStatus reads the status file of a workspace, and when it was written.
func readStatus(folder string) (status.Document, time.Time, error) {
	return status.ReadFile(filepath.Join(folder, logsName))
}

// container finds the workspace of the first argument and its container.
func (v environment) container(c *cli.Context) (*workspace, devcontainer.Tools, devcontainer.Container, error) {
	w, err := v.open(c.Context, c.Args().First())
	if err != nil {
		return nil, devcontainer.Tools{}, devcontainer.Container{}, err
	}
	tools, err := devcontainer.Docker(v.environ)
	if err != nil {
		return w, tools, devcontainer.Container{}, unaskedError{err}
	}
	ctx, cancel := inTime(c.Context, tools)
	defer cancel()
	ct, ok, err := tools.Of(ctx, w.folder)
	if err != nil {
		err = unaskedError{err}
	} else if !ok {
		err = hint.Wrap(fmt.Errorf("workspace %s has no container here", w.spec.ID()), "bring it up: coltec up %s", hint.Word(w.folder))
	}
	return w, tools, ct, err
}

// running is container, and an error when it is not running.
func (v environment) running(c *cli.Context) (*workspace, devcontainer.Tools, devcontainer.Container, error) {
	w, tools, ct, err := v.container(c)
	if err == nil && !ct.Running {
		err = hint.Wrap(errors.New("the container of "+w.spec.ID()+" is not running"), "bring it up: coltec up %s", hint.Word(w.folder))
	}
	return w, tools, ct, err
}
