//go:build linux

package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/devcontainer"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/status"
)

func cmdHop(p *program) *cli.Command {
	return &cli.Command{
		Name:      "hop",
		Usage:     "bring a workspace here from the machine that has it, and go on with it",
		ArgsUsage: "[WORKSPACE] [DIR]",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "to", Usage: "send it to the machine `ssh://HOST`, where coltec is, instead"},
			&cli.BoolFlag{Name: "force", Usage: "take it at once, from a machine that is gone: what that one did not push stays there"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "with --force: do not ask"},
			&cli.BoolFlag{Name: "prepare", Usage: "make the folder and ask what there is to agree to; move nothing yet"},
			&cli.StringFlag{Name: "template", Value: "base", Usage: "the template that says where the bucket is, and what is agreed to without a question"},
			dataFlag(),
			&cli.StringSliceFlag{Name: "remote-env", Usage: "give `NAME=value` to the container's hooks; a declared secret joins the secrets (may be repeated)"},
			&cli.BoolFlag{Name: "chown", Usage: "give what the container's user cannot write of the workspace to that user"},
			&cli.DurationFlag{Name: "timeout", Usage: "wait this `DURATION` for the restore, which continues in the background after it; 0: until it is done", Value: restorePatience},
		}, secretFlags()...),
		Description: `WORKSPACE is a folder, org/project/env or a part of it that only one has; without it, the one here. DIR is where it is to
be (default: its folder here, or ./PROJECT-ENV); it is made from the bucket when it is not there. The machine that has it pushes and hands over: at once
where it is this one, else when it sees the request, which is at its next save or renewal of the lease. That machine goes on
without the lease, until coltec down there. After Ctrl-C the same command goes on.`,
		Action: func(c *cli.Context) error { return hopper{p}.hop(c) },
	}
}

// hopper brings workspaces from one machine to another.
type hopper struct{ *program }

func (p hopper) hop(c *cli.Context) error {
	if c.String("to") != "" {
		return p.send(c)
	}
	if c.Bool("force") && !c.Bool("yes") && !p.asks().Can() {
		return nobodyForces()
	}
	folder, err := p.land(c)
	if err != nil {
		return err
	}
	w, err := open(folder)
	if err != nil {
		return err
	}
	if here, err := p.isHere(c.Context, w); err != nil || here {
		return err
	}
	return p.ascend(c, &ascent{w: w, journey: &journey{hopper: p, force: c.Bool("force"), yes: c.Bool("yes"), prepare: c.Bool("prepare")}}, nil)
}

// isHere reports whether a workspace runs here, with the lease and restored: there is nothing to
// do then, which is said.
func (p hopper) isHere(ctx context.Context, w *workspace) (bool, error) {
	tools, err := devcontainer.Docker(p.environ)
	if err != nil {
		return false, err
	}
	ct, ok, err := tools.Of(ctx, w.folder)
	if err != nil || !ok || !ct.Running {
		return false, err
	}
	doc, err := ask(ctx, tools, ct, nil, 0)
	if err != nil || !holding(doc) || doc.Restore() != status.RestoreDone {
		return false, nil // up does what there is to do
	}
	p.say("%s is here already: %s", w.spec.ID(), w.folder)
	return true, nil
}

// holding reports whether a coltecd has the lease.
func holding(doc status.Document) bool {
	return doc.Lease.State == status.LeaseHeld || doc.Lease.State == status.LeaseBestEffort
}

// journey is what a hop does beside up.
type journey struct {
	hopper
	force   bool
	yes     bool // and nobody is asked
	prepare bool
}

// depart ends the workspace where this host has it in another folder, or by another Docker:
// its coltecd pushes and gives the lease back, and its container stops. goesOn is false where
// the hop ends here.
func (j *journey) depart(ctx context.Context, a *ascent) (goesOn bool, err error) {
	if j.prepare {
		j.say("%s: ready in %s", a.w.name(), a.w.folder)
		return false, nil
	}
	mine, _, err := a.tools.Of(ctx, a.w.folder)
	if err != nil {
		return false, err
	}
	for _, tools := range j.dockers(a) {
		all, err := tools.List(ctx, devcontainer.LabelFolder)
		if err != nil {
			continue // one that does not answer is asked by the bucket
		}
		for _, ct := range devcontainer.OnePerFolder(all) {
			if ct.Running && ct.ID != mine.ID && j.workspaceOf(ct) == a.w.spec.ID() {
				if err := j.leave(ctx, a, tools, ct); err != nil {
					return false, err
				}
			}
		}
	}
	return true, nil
}

// leave ends the workspace in a container of this host, if that has the lease. What cannot be
// pushed there is an error, unless it is to be left.
func (j *journey) leave(ctx context.Context, a *ascent, tools devcontainer.Tools, ct devcontainer.Container) error {
	doc, err := ask(ctx, tools, ct, nil, 0)
	if err != nil || !holding(doc) {
		return nil // who has it is asked by the bucket
	}
	j.say("%s is in %s on this host: it pushes and stops there", a.w.spec.ID(), ct.Folder())
	err = j.descend(ctx, &workspace{ct.Folder(), a.w.spec}, tools, ct, flushPatience)
	if code := cmdline.CodeOf(err); j.force && (code == cmdline.CodeOnlyHere || code == cmdline.CodeKept) {
		j.say("note: %v", err)
		return nil
	}
	if err != nil {
		return hint.Wrap(err, "coltec hop --force goes on without it")
	}
	return nil
}

// dockers are those that may have containers of this host: the one in use, and the host's own
// where the environment, or a context, says another.
func (j *journey) dockers(a *ascent) []devcontainer.Tools {
	list := []devcontainer.Tools{a.tools}
	var environ []string
	for _, kv := range j.environ {
		if !strings.HasPrefix(kv, "DOCKER_HOST=") && !strings.HasPrefix(kv, "DOCKER_CONTEXT=") {
			environ = append(environ, kv)
		}
	}
	if len(environ) == len(j.environ) && a.elsewhere == "" {
		return list
	}
	if own, err := devcontainer.Docker(append(environ, "DOCKER_CONTEXT=default")); err == nil {
		list = append(list, own)
	}
	return list
}

// claim asks the machine that has the lease for it, and returns when it is here. again reports
// whether there is something to wait for now.
func (j *journey) claim(ctx context.Context, a *ascent, ct devcontainer.Container, doc status.Document) (again bool, err error) {
	h := doc.Lease.Holder
	elsewhere := doc.Lease.State == status.LeaseWaiting || doc.Lease.State == status.LeaseFenced
	if !elsewhere || h == nil || doc.Lease.Doubt != "" {
		return false, nil
	}
	argv := []string{"coltecd", "takeover"}
	if j.force {
		if err := j.mayForce(ctx, a, *h); err != nil {
			return false, err
		}
		argv = append(argv, "--force")
	}
	out := lines{say: func(line string) {
		a.say(strings.ReplaceAll(line, "coltecd takeover --force", "coltec hop --force "+hint.Word(a.w.spec.ID())))
	}}
	code, err := a.tools.Run(ctx, ct, devcontainer.Exec{Argv: argv, Stdout: &out, Stderr: &out})
	switch {
	case ctx.Err() != nil:
		j.say("%s: %s was asked, and hands over when it sees that; this machine has it then: coltec hop %s goes on", a.w.name(), h.Host, hint.Word(a.w.spec.ID()))
		return false, context.Cause(ctx)
	case err != nil:
		return false, err
	case code != 0:
		return false, hint.Wrap(fmt.Errorf("%s did not come here: %s", a.w.spec.ID(), strings.TrimPrefix(out.last, "hint: ")),
			"the container here waits: coltec down %s stops it", hint.Word(a.w.folder))
	}
	return true, nil
}

// mayForce says what is left behind, and asks.
func (j *journey) mayForce(ctx context.Context, a *ascent, h status.Holder) error {
	left := fmt.Sprintf("%s; what it did not push", h.String())
	if h.LastSeen != nil {
		left = fmt.Sprintf("%s, and was last seen %s ago; what it did since and did not push", h.String(), span(time.Since(*h.LastSeen)))
	}
	j.say("%s: %s stays there, and is merged when it comes back", a.w.name(), left)
	if g, err := j.newest(ctx, a); err == nil {
		j.say("%s: the newest state in the bucket is generation %d, %s old", a.w.name(), g.Number, span(time.Since(g.Time)))
	}
	if j.yes {
		return nil
	}
	return j.asks().Agree(ctx, cmdline.Question{
		Text:   "Take it all the same?",
		No:     hint.Wrap(fmt.Errorf("%s stays with %s", a.w.spec.ID(), h.Host), "coltec hop without --force asks that machine"),
		Nobody: nobodyForces(),
	})
}

// nobodyForces is the error of a lease that is to be taken where nobody can be asked.
func nobodyForces() error {
	return hint.Wrap(cmdline.Usage("--force asks first, and there is no terminal to ask at"), "agree with --yes")
}

// arrived says in one line what came, and how to go on with it.
func (j *journey) arrived(ctx context.Context, a *ascent, doc status.Document) {
	var parts []string
	count := func(n int, one, more string) {
		switch n {
		case 0:
		case 1:
			parts = append(parts, "1 "+one)
		default:
			parts = append(parts, fmt.Sprintf("%d %s", n, more))
		}
	}
	c, err := j.content(ctx, a)
	if err != nil { // what came is here all the same
		for _, r := range doc.Replicas {
			c.Files += int(r.Files)
		}
	}
	count(c.Files, "file", "files")
	count(c.Repositories, "repository", "repositories")
	count(c.Databases, "database", "databases")
	var resume []string
	talks := 0
	for _, agent := range doc.Agents {
		if agent.LastTurn != nil {
			talks += max(agent.Talks, 1)
			resume = append(resume, strings.Join(agent.Resume, " "))
		}
	}
	count(talks, "conversation", "conversations")
	line := fmt.Sprintf("%s is here: %s", a.w.spec.ID(), cmp.Or(strings.Join(parts, ", "), "nothing yet"))
	if len(resume) > 0 {
		line += "; go on with: " + cmdline.OneLine(strings.Join(resume, "; "))
	}
	j.say("%s", line)
}
