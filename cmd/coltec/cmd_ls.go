package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/devcontainer"
	"github.com/coltec/coltec/pkg/fleet"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/secret"
	"github.com/coltec/coltec/pkg/status"
)

// lister shows workspaces.
type lister struct{ *program }

func cmdLs(p *program) *cli.Command {
	return &cli.Command{
		Name:        "ls",
		Usage:       "show the workspaces of this host, and of the bucket of one of them",
		ArgsUsage:   "[DIR]",
		Description: "DIR is the workspace whose bucket is asked (default: the current folder, or the first one here whose secrets are at hand).",
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "answer in JSON"},
			&cli.BoolFlag{Name: "local", Usage: "ask no bucket"},
			cmdline.WideFlag(),
			&cli.DurationFlag{Name: "wait", Usage: "give the bucket this `DURATION` to answer", Value: answerPatience},
		}, secretFlags()...),
		Action: func(c *cli.Context) error { return lister{p}.ls(c) },
	}
}

func (p lister) ls(c *cli.Context) error {
	named := c.Args().Present()
	var asked string
	if named {
		w, err := p.open(c.Context, c.Args().First())
		if err != nil {
			return err
		}
		asked = w.folder
	}
	local, localErr := p.localFleet(c.Context)
	if localErr != nil && (!named || c.Bool("local")) {
		return localErr
	}
	p.notShown("the containers of this host are", localErr)
	var seen []fleet.Seen
	var bucketErr error
	if !c.Bool("local") {
		var tried bool
		if seen, tried, bucketErr = p.bucketFleet(c, asked, local); !tried {
			bucketErr = hint.Wrap(errors.New("no secrets for it"), "name a workspace, or see --secrets-file and --age-key-file")
		}
		p.notShown("the bucket is", bucketErr)
	}
	if err := p.printRows(c, fleet.Rows(local, seen, time.Now())); err != nil {
		return err
	}
	if localErr != nil && bucketErr != nil { // nothing could be looked at
		return cmdline.Exit{Code: cmdline.CodeFailed}
	}
	return nil
}

// notShown says what is missing from the rows, and why.
func (p lister) notShown(what string, err error) {
	if err == nil {
		return
	}
	p.say("note: %s not shown: %v", what, err)
	for _, h := range hint.Of(err) {
		p.say("hint: %s", h)
	}
}

func (p lister) printRows(c *cli.Context, rows []fleet.Row) error {
	if c.Bool("json") {
		return p.printJSON(append([]fleet.Row{}, rows...)) // [] and not null
	}
	_, err := io.WriteString(p.out, rowsText(rows, time.Now(), p.env("HOME"), cmdline.WidthFor(c, p.raw.out)))
	return err
}

// localFleet are the workspaces here: those with a container, by Docker's labels, and those
// that never ran or whose container is gone. How they are is in the status files that coltecd
// writes; nothing is run in a container, but where its folder is on another machine.
func (v environment) localFleet(ctx context.Context) ([]fleet.Local, error) {
	containers, err := v.containers(ctx)
	if err != nil {
		return nil, err
	}
	var local []fleet.Local
	for _, ct := range containers {
		l := fleet.Local{Workspace: v.workspaceOf(ct), Folder: ct.Folder(), Container: short(ct.ID), Running: ct.Running, Disabled: cmdline.Yes(ct.Switch())}
		if l.Workspace == "" {
			continue // somebody's dev container without Coltec
		}
		if ct.Volume() == "" {
			l = withStatus(l)
		} else if doc, err := v.statusThere(ctx, ct); err == nil {
			l.Status, l.Written = &doc, time.Now()
		}
		local = append(local, l)
	}
	for _, k := range v.folders() {
		if !slices.ContainsFunc(local, func(l fleet.Local) bool { return same(l.Folder, k.folder) }) {
			local = append(local, withStatus(fleet.Local{Workspace: k.id, Folder: k.folder}))
		}
	}
	return local, nil
}

// withStatus adds what coltecd wrote last.
func withStatus(l fleet.Local) fleet.Local {
	if doc, at, err := readStatus(l.Folder); err == nil {
		l.Status, l.Written = &doc, at
	}
	return l
}

// statusThere asks the coltecd of a container on another machine how it is.
func (v environment) statusThere(ctx context.Context, ct devcontainer.Container) (status.Document, error) {
	if !ct.Running {
		return status.Document{}, errors.New("the container is not running")
	}
	tools, err := devcontainer.Docker(v.environ)
	if err != nil {
		return status.Document{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	return ask(ctx, tools, ct, nil, 0)
}

func short(id string) string { return id[:min(len(id), 12)] }

const (
	// answerPatience is how long a bucket may take to answer: the rows of this host
	// are there without it, and whoever asks for them has no second to lose.
	answerPatience = time.Second
	// readPatience bounds the reading of heads from a bucket that answered.
	readPatience = 10 * time.Second
)

// bucketFleet reads the heads in the bucket of the named workspace, of the one in
// the current folder, or of the first one here whose secrets are at hand.
func (p lister) bucketFleet(c *cli.Context, named string, local []fleet.Local) (seen []fleet.Seen, asked bool, err error) {
	ctx := c.Context
	var refused error
	folders := []string{named} // "" is the current one
	if folders[0] == "" {
		for _, l := range local {
			folders = append(folders, l.Folder)
		}
	}
	for _, folder := range folders {
		w, err := open(folder)
		if err != nil {
			if named != "" {
				return nil, true, err
			}
			continue
		}
		root, err := p.openHead(ctx, c, w)
		if errors.Is(err, errNoRemote) || errors.As(err, new(*secret.MissingError)) && named == "" {
			continue
		}
		if cmdline.CodeOf(err) == cmdline.CodeUntrusted && named == "" {
			refused = err // another one may do
			continue
		}
		if err != nil {
			return nil, true, err
		}
		var left int
		seen, left, err = fleet.Heads(ctx, root.With(headsAtOnce, headsAtOnce, ""), cmp.Or(c.Duration("wait"), readPatience), readPatience)
		if errors.Is(err, fleet.ErrNoAnswer) {
			err = hint.Wrap(err, "--wait 10s gives it longer; --local asks none")
		}
		if left > 0 {
			p.say("note: %d heads of the bucket are not shown: those that were written last are", left)
		}
		return seen, true, err
	}
	return nil, refused != nil, refused
}

// headsAtOnce is how many heads are read at a time. They are small: what counts is
// the way to the store and back.
const headsAtOnce = 32

var errNoRemote = errors.New("the workspace keeps nothing in a bucket")

// openHead opens the root of the remote that has the workspace's head.
func (p lister) openHead(ctx context.Context, c *cli.Context, w *workspace) (*rclone.Remote, error) {
	if !w.hasBucket() {
		return nil, errNoRemote
	}
	values, err := p.collect(c, w.folder, w.spec, nil)
	if err != nil {
		return nil, err
	}
	bin, err := p.rclone(ctx)
	if err != nil {
		return nil, err
	}
	return p.headRemote(w, values, bin)
}

// rowsText is the table for people, width cells wide at most; 0: as wide as it is. home is
// written as ~.
func rowsText(rows []fleet.Row, now time.Time, home string, width int) string {
	if len(rows) == 0 {
		return "no workspaces\n"
	}
	ago := func(t *time.Time) string {
		if t == nil {
			return "-"
		}
		return span(now.Sub(*t))
	}
	t := cmdline.Table{{"WORKSPACE", "STATE", "WHERE", "FOLDER", "SINCE", "LAST SEEN", "LAG", "ATTENTION"}}
	for _, r := range rows {
		lag := "-"
		if r.Lag > 0 {
			lag = span(time.Duration(r.Lag * float64(time.Second)))
		}
		attention := "-"
		if n := len(r.Attention); n > 0 {
			attention = strings.Join(strings.Fields(r.Attention[0]), " ")
			if n > 1 {
				attention += fmt.Sprintf(" (and %d more)", n-1)
			}
		}
		where := r.Where
		if where == "" {
			where = "-"
		}
		t = append(t, []string{r.Workspace, r.State, where, atHome(r.Folder, home), ago(r.Since), ago(r.LastSeen), lag, attention})
	}
	return t.Fit(width)
}

// atHome is a folder for people.
func atHome(folder, home string) string {
	if folder == "" {
		return "-"
	}
	if rel, err := filepath.Rel(home, folder); filepath.IsAbs(home) && err == nil && filepath.IsLocal(rel) {
		return filepath.Join("~", rel)
	}
	return folder
}

// span is a time for people, in its largest unit.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(max(d, 0).Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}
