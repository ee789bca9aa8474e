package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/fleet"
	"github.com/coltec/coltec/pkg/metrics"
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
			&cli.BoolFlag{Name: "prometheus", Usage: "answer in numbers, for the textfile collector of Prometheus's node_exporter"},
			&cli.BoolFlag{Name: "local", Usage: "ask no bucket"},
			cmdline.WideFlag(),
			&cli.DurationFlag{Name: "wait", Usage: "give the bucket this `DURATION` to answer", Value: answerPatience},
		}, secretFlags()...),
		Action: func(c *cli.Context) error { return lister{p}.ls(c) },
	}
}

func (p lister) ls(c *cli.Context) error {
	if c.Bool("json") && c.Bool("prometheus") {
		return cmdline.Usage("--json and --prometheus are two forms of the answer: give one of them")
	}
	l := look{local: c.Bool("local"), wait: c.Duration("wait"), flags: c}
	if c.Args().Present() {
		w, err := p.open(c.Context, c.Args().First())
		if err != nil {
			return err
		}
		l.folder = w.folder
	}
	rows, notes, err := p.look(c.Context, l)
	for _, note := range notes {
		p.say("%s", note)
	}
	if err != nil && !errors.As(err, new(cmdline.Exit)) {
		return err
	}
	if err := p.printRows(c, rows); err != nil {
		return err
	}
	return err // nothing could be looked at
}

func (p lister) printRows(c *cli.Context, rows []fleet.Row) error {
	switch {
	case c.Bool("json"):
		return p.printJSON(append([]fleet.Row{}, rows...)) // [] and not null
	case c.Bool("prometheus"):
		_, err := p.out.Write(rowsMetrics(rows))
		return err
	}
	_, err := io.WriteString(p.out, rowsText(rows, time.Now(), p.env("HOME"), cmdline.WidthFor(c, p.raw.out)))
	return err
}

// rowsMetrics are rows in numbers.
func rowsMetrics(rows []fleet.Row) []byte {
	var list []metrics.Row
	for _, r := range rows {
		list = append(list, metrics.Row{
			Workspace: r.Workspace, Folder: r.Folder, Where: r.Where, State: r.State,
			Since: r.Since, LastSeen: r.LastSeen, Lag: r.Lag, Attention: len(r.Attention), Agents: r.Agents,
		})
	}
	return metrics.Fleet(list)
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
