package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/daemon"
	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/status"
)

const (
	// answerPatience is how long status waits for an answer: coltecd answers
	// at once, or it is stuck.
	answerPatience = 5 * time.Second
	// watchEvery redraws the status of a workspace without a coltecd. One with a coltecd
	// is redrawn as often when nothing happens, as the ages in it go on, and at each
	// change, but once in redrawEvery at most.
	watchEvery  = 2 * time.Second
	redrawEvery = 250 * time.Millisecond
)

func cmdStatus(p *program) *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "show the state of the workspace",
		Flags: []cli.Flag{
			jsonFlag(),
			&cli.BoolFlag{Name: "brief", Usage: "a line for each thing that needs attention, and nothing when all is well"},
			&cli.Uint64Flag{Name: "after", Usage: "wait until something changes after `INDEX`, which --json names, but at most 2s"},
			cmdline.WideFlag(),
			&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "print the state again at each change, until Ctrl-C"},
		},
		Action: func(c *cli.Context) error {
			show := p.statusPrinter(c)
			if c.Bool("watch") {
				return p.watchStatus(c, show)
			}
			doc, err := p.status(c, c.Uint64("after"))
			if err != nil {
				return exit{Code: codeUnknown, Cause: err}
			}
			if c.Bool("brief") {
				show = p.printBrief
			}
			if err := show(doc); err != nil {
				return exit{Code: codeUnknown, Cause: err}
			}
			return exit{Code: doc.ExitCode()}
		},
	}
}

// status asks coltecd, after a change since the index if that is not 0, or makes the
// document of a workspace without one.
func (p *program) status(c *cli.Context, after uint64) (status.Document, error) {
	path, err := p.findSpec(c)
	if err != nil {
		if p.disabled() {
			return p.absent(nil), nil
		}
		return status.Document{}, err
	}
	i, running, err := p.find(path)
	if err != nil {
		return status.Document{}, err
	}
	if !running {
		return p.notRunning(path), nil
	}
	doc, err := p.askStatus(c.Context, i, after)
	if err != nil && !i.Alive() { // it ended just now
		return p.notRunning(path), nil
	}
	return doc, err
}

// askStatus asks until there is an answer: a coltecd that was killed is back in
// a moment.
func (p *program) askStatus(ctx context.Context, i control.Instance, after uint64) (status.Document, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerPatience,
		fmt.Errorf("coltecd (pid %d) has the lock and does not answer within %v", i.PID, answerPatience))
	defer cancel()
	for {
		doc, err := statusOf(ctx, control.Dial(i.Socket), after)
		if err == nil || ctx.Err() != nil || !i.Alive() || errors.Is(err, control.ErrForbidden) {
			return doc, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// statusOf is one answer of coltecd.
func statusOf(ctx context.Context, client *control.Client, after uint64) (status.Document, error) {
	if after == 0 {
		return client.Status(ctx)
	}
	return client.Await(ctx, control.AwaitRequest{After: after})
}

// notRunning is the status when nobody has the lock.
func (p *program) notRunning(path string) status.Document {
	sp, err := daemon.LoadSpec(path)
	doc := p.absent(sp)
	switch {
	case err != nil:
		doc.Attention = append(doc.Attention, fmt.Sprintf("the spec is not valid: see %s validate", p.name))
	case doc.State == status.Stopped:
		doc.Attention = append(doc.Attention, fmt.Sprintf("coltecd is not running: start it with %s start", p.name))
	}
	return doc
}

// absent is the document of a workspace without a coltecd.
func (p *program) absent(sp *spec.Spec) status.Document {
	doc := status.Document{
		State: status.Stopped, Version: release(), Lease: status.Lease{State: status.LeaseNone},
		Units: []status.Unit{}, Replicas: []status.Replica{}, Attention: []string{},
	}
	if sp != nil {
		doc.Workspace = daemon.WorkspaceOf(sp)
	}
	if p.disabled() {
		doc.State = status.Disabled
		doc.Attention = append(doc.Attention, "disabled by COLTEC_DISABLED: unset it and run "+p.name+" start")
	}
	return doc
}

// statusPrinter shows one document after the other, with next steps that its reader can type.
func (p *program) statusPrinter(c *cli.Context) func(status.Document) error {
	show := p.documentPrinter(c)
	if p.steps == nil {
		return show
	}
	return func(doc status.Document) error {
		doc.Attention = slices.Clone(doc.Attention)
		for i := range doc.Attention {
			doc.Attention[i] = p.steps(doc.Attention[i])
		}
		return show(doc)
	}
}

// documentPrinter shows one document after the other, as they are.
func (p *program) documentPrinter(c *cli.Context) func(status.Document) error {
	asJSON, watch := c.Bool("json"), c.Bool("watch")
	if asJSON && watch {
		return func(doc status.Document) error { return compactJSON(p.raw.out, doc) }
	}
	if asJSON {
		return func(doc status.Document) error { return p.printJSON(doc) }
	}
	r := renderer{color: cmdline.Colour(p.raw.out, p.environ), now: time.Now}
	clear := watch && cmdline.Moves(p.raw.out, p.environ)
	first := true
	return func(doc status.Document) error {
		switch {
		case clear:
			fmt.Fprint(p.raw.out, "\x1b[H\x1b[2J")
		case !first:
			fmt.Fprintln(p.raw.out)
		}
		first = false
		r.width = cmdline.WidthFor(c, p.raw.out) // it may have changed meanwhile
		_, err := io.WriteString(p.raw.out, r.document(doc))
		return err
	}
}

// printBrief is what a new shell says: what is wrong, in a line each.
func (p *program) printBrief(doc status.Document) error {
	if i := slices.IndexFunc(doc.Replicas, func(r status.Replica) bool { return r.Name == spec.HomeReplica }); i >= 0 && doc.RestoreOf(doc.Replicas[i]) == status.RestoreUnderway {
		if _, err := fmt.Fprintf(p.out, "coltec: what is carried of your home is still being restored: %s wait agents returns when agents have their conversations\n", p.name); err != nil {
			return err
		}
	}
	if doc.State == status.Running {
		return nil
	}
	for _, a := range doc.Attention {
		if _, err := fmt.Fprintf(p.out, "coltec: %s\n", cmdline.OneLine(a)); err != nil {
			return err
		}
	}
	return nil
}

// watchStatus shows the status again at each change, and now and then. A change while it
// is shown is none that is missed: what is asked for next differs from what was shown.
func (p *program) watchStatus(c *cli.Context, show func(status.Document) error) error {
	ctx, stop := cmdline.WhileHeard(c.Context, p.raw.out)
	defer stop()
	c.Context = ctx
	shown := uint64(0)
	for {
		doc, err := p.status(c, shown)
		switch {
		case c.Context.Err() != nil:
			return context.Cause(c.Context)
		case err != nil:
			return exit{Code: codeUnknown, Cause: err}
		}
		if err := show(doc); err != nil {
			return err
		}
		pause := redrawEvery
		if shown = doc.Index; shown == 0 { // nobody is there who could tell of a change
			pause = watchEvery
		}
		select {
		case <-c.Context.Done():
			return context.Cause(c.Context)
		case <-time.After(pause):
		}
	}
}
