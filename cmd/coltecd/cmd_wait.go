package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/daemon"
	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/status"
)

// goals are what wait waits for.
var goals = []string{"agents", "restored", "hooks", "ready"}

func cmdWait(p *program) *cli.Command {
	return &cli.Command{
		Name:      "wait",
		Usage:     "return when the workspace has come so far, and print nothing unless told to",
		ArgsUsage: strings.Join(goals, "|"),
		Description: `agents: what is of the user's home (the replica home) is restored, so an agent that starts now has its conversations.
restored: all replicas are restored.
hooks: they are, and the hooks after that (post_restore) have run, well or not.
ready: all of this is so, no hook is at work, and every service runs, and is ready where the spec has a probe of it.
A replica that is paused or was restored before counts at once. What cannot come so far without a person ends the wait with an error.`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "progress", Usage: "say how far it is, and wait only as long as it gets further by itself: not for another machine, and not for a store that does not answer"},
			&cli.DurationFlag{Name: "timeout", Aliases: []string{"t"}, Usage: "wait at most this `DURATION`; 0: until it is so", Value: restorePatience},
		},
		Action: func(c *cli.Context) error {
			goal := c.Args().First()
			switch {
			case c.Args().Len() != 1 || !slices.Contains(goals, goal):
				return cmdline.Usage("wait takes one of %s", strings.Join(goals, ", "))
			case c.Duration("timeout") < 0:
				return cmdline.Usage("--timeout must not be less than 0")
			}
			return p.wait(c, goal, c.Duration("timeout"))
		},
	}
}

// wait returns when the workspace has come as far as goal says. A coltecd that is started
// again meanwhile is waited for, too.
func (p *program) wait(c *cli.Context, goal string, patience time.Duration) error {
	path, err := p.findSpec(c)
	if err != nil {
		return err
	}
	sp, err := daemon.LoadSpec(path)
	if err != nil {
		return err
	}
	probed := probed(sp)
	began := c.Context
	asking, cancel := bounded(began, patience)
	defer cancel()
	c.Context = asking
	next := func(doc status.Document) (uint64, error) { return doc.Index, nil }
	if c.Bool("progress") {
		next = p.follow(asking, &status.Watch{Patience: patience, Began: time.Now(), Closed: closed(sp)})
	}
	for after := uint64(0); ; {
		doc, err := p.status(c, after)
		switch {
		case began.Err() != nil:
			return context.Cause(began)
		case asking.Err() != nil:
			return p.notSoFar(goal, patience)
		case err != nil:
			return err
		case doc.State == status.Disabled && c.Bool("progress"):
			return nil // as somebody wants it
		case doc.State == status.Stopped || doc.State == status.Disabled:
			return exit{Code: codeStopped, Cause: hint.Wrap(errors.New("coltecd is not running"), "start it: %s start", p.name)}
		}
		reached, err := reaches(doc, goal, probed)
		if reached || err != nil {
			return err
		}
		if after, err = next(doc); err != nil {
			return err
		}
	}
}

// follow says how far a workspace is, each thing once, and has it asked again after a moment:
// that nothing changes counts, too. Its error is of one that does not get further by itself.
func (p *program) follow(ctx context.Context, w *status.Watch) func(status.Document) (uint64, error) {
	last := ""
	return func(doc status.Document) (uint64, error) {
		again, line := w.Look(doc, time.Now())
		if line != last && line != "" {
			last = line
			p.say("%s", line)
		}
		if !again && doc.Restore() != status.RestoreDone {
			return 0, p.notRestored(doc)
		}
		select {
		case <-ctx.Done():
		case <-time.After(askEvery):
		}
		return 0, nil
	}
}

// askEvery is how often one that follows a workspace asks.
const askEvery = 500 * time.Millisecond

// notSoFar is the error of a wait whose time is over.
func (p *program) notSoFar(goal string, patience time.Duration) error {
	text := map[string]string{"agents": "what agents keep is not restored", "hooks": "the hooks after the restore have not run"}[goal]
	return exit{Code: codeTimeout, Cause: hint.Wrap(
		fmt.Errorf("%s within %s; it goes on in the background", cmp.Or(text, "not "+goal), cmdline.Span(patience)), "see %s status", p.name)}
}

// probed are the services that the spec has a probe of.
func probed(sp *spec.Spec) map[string]bool {
	probed := map[string]bool{}
	for _, v := range sp.Services {
		probed[v.Name] = v.Ready != nil
	}
	return probed
}

// closed are the paths of replicas that this user cannot write, who is coltecd's too.
func closed(sp *spec.Spec) (paths []string) {
	for _, y := range sp.Replicas() {
		at := filepath.Clean(y.Path)
		if err := unix.Access(at, unix.W_OK|unix.X_OK); errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
			paths = append(paths, at)
		}
	}
	return paths
}

// reaches reports whether a workspace has come as far as goal says; probed are the services
// that run for a while before they are ready. The error says why it does not come so far
// without a person.
func reaches(doc status.Document, goal string, probed map[string]bool) (bool, error) {
	if goal == "agents" {
		home := slices.DeleteFunc(slices.Clone(doc.Replicas), func(r status.Replica) bool { return r.Name != spec.HomeReplica })
		switch {
		case len(home) > 0:
			doc.Replicas = home
		case len(doc.Agents) == 0: // else a replica of another name is of the home, and carries them
			return false, hint.Wrap(errors.New("this workspace has no replica home: nothing of its agents is carried"), "see agents in the spec")
		}
	}
	switch doc.Restore() {
	case status.RestoreDone:
	case status.RestoreStuck:
		return false, errors.New(unrestored(doc, ""))
	default:
		return false, nil
	}
	switch {
	case goal == "agents", goal == "restored":
		return true, nil
	case goal == "hooks", doc.Beginning:
		return !doc.Beginning, nil
	}
	for _, u := range doc.Units {
		switch {
		case u.Kind == "job":
		case u.State == "failed", u.State == "blocked":
			return false, fmt.Errorf("%s is %s: %s", u.Name, u.State, cmdline.OneLine(u.LastError))
		case u.State == "ready", u.State == "exited", u.State == "paused", u.State == "running" && u.Kind == "service" && !probed[u.Name]:
		default:
			return false, nil
		}
	}
	return true, nil
}
