package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/fleet"
	"github.com/coltec/coltec/pkg/metrics"
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
			&cli.BoolFlag{Name: "prometheus", Usage: "answer in numbers, for the textfile collector of Prometheus's node_exporter"},
			&cli.BoolFlag{Name: "local", Usage: "ask no bucket"},
			&cli.BoolFlag{Name: "needs", Usage: "show those alone that need somebody"},
			&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "show them again at each change, until Ctrl-C; with --json a line for each"},
			&cli.StringFlag{Name: "price", Usage: "count with this `PRICE` of the store: r2, s3, gcs or b2, or GIGABYTE,MILLION in dollars: for a gigabyte a month and a million writes (default: as the bucket's provider asks)"},
			cmdline.WideFlag(),
			&cli.DurationFlag{Name: "wait", Usage: "give the bucket this `DURATION` to answer", Value: answerPatience},
		}, secretFlags()...),
		Action: func(c *cli.Context) error { return lister{p}.ls(c) },
	}
}

func (p lister) ls(c *cli.Context) error {
	switch {
	case c.Bool("json") && c.Bool("prometheus"):
		return cmdline.Usage("--json and --prometheus are two forms of the answer: give one of them")
	case c.Bool("watch") && c.Bool("prometheus"):
		return cmdline.Usage("--watch shows rows or lines of JSON: a collector asks itself")
	}
	l := look{local: c.Bool("local"), wait: c.Duration("wait"), price: c.String("price"), flags: c}
	if c.Args().Present() {
		w, err := p.open(c.Context, c.Args().First())
		if err != nil {
			return err
		}
		l.folder = w.folder
	}
	if l.every = listEvery; c.Bool("watch") {
		show := p.shower(c)
		ctx, stop := cmdline.WhileHeard(c.Context, p.raw.out)
		defer stop()
		return p.watch(ctx, l, func(rows []fleet.Row, notes []string, _ bool) error { return show(rows, notes) })
	}
	rows, notes, err := p.look(c.Context, l)
	for _, note := range notes {
		p.say("%s", note)
	}
	if err != nil && !errors.As(err, new(cmdline.Exit)) {
		return err
	}
	if err := p.printRows(c, chosen(c, rows)); err != nil {
		return err
	}
	return err // nothing could be looked at
}

// chosen are the rows that were asked for.
func chosen(c *cli.Context, rows []fleet.Row) []fleet.Row {
	if !c.Bool("needs") {
		return rows
	}
	return slices.DeleteFunc(rows, func(r fleet.Row) bool { return r.Needs == "" })
}

// shower shows rows one time after the other: over those before on a terminal, and only what is
// new elsewhere.
func (p lister) shower(c *cli.Context) func([]fleet.Row, []string) error {
	if c.Bool("json") {
		lines := p.lines()
		return func(rows []fleet.Row, notes []string) error { return lines(chosen(c, rows), notes) }
	}
	text := func(rows []fleet.Row, notes []string) string {
		return watchText(rows, notes, time.Now(), p.env("HOME"), cmdline.WidthFor(c, p.raw.out))
	}
	if cmdline.Moves(p.raw.out, p.environ) {
		first := true
		return func(rows []fleet.Row, notes []string) error {
			if first {
				first = false
				if _, err := io.WriteString(p.raw.out, "\x1b[2J"); err != nil {
					return err
				}
			}
			return cmdline.Redraw(p.raw.out, text(chosen(c, rows), notes))
		}
	}
	var last []fleet.Row
	said := false
	return func(rows []fleet.Row, notes []string) error {
		rows = chosen(c, rows)
		if said && fleet.SameRows(last, rows) {
			return nil
		}
		table := text(rows, notes)
		if said {
			table = "\n" + table
		}
		said, last = true, rows
		_, err := io.WriteString(p.out, table)
		return err
	}
}

// watchText is the table with what is to be said below it. What others wrote is text in it: it is
// drawn between codes that a terminal acts on.
func watchText(rows []fleet.Row, notes []string, now time.Time, home string, width int) string {
	table := cmdline.Plain(rowsText(rows, now, home, width))
	for _, note := range notes {
		table += cmdline.OneLine(note) + "\n"
	}
	return table
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
			Workspace: r.Workspace, Folder: r.Folder, Where: r.Where, State: r.State, Needs: r.Needs,
			Since: r.Since, LastSeen: r.LastSeen, Lag: r.Lag, Attention: len(r.Attention), Agents: r.Agents, CostMonth: r.CostMonth,
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
	t := cmdline.Table{{"WORKSPACE", "NEEDS", "STATE", "WHERE", "FOLDER", "SINCE", "LAST SEEN", "LAG", "AGENTS", "ONLY THERE", "CHECKPOINT", "A MONTH", "ATTENTION"}}
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
		t = append(t, []string{
			r.Workspace, cmp.Or(string(r.Needs), "-"), stateText(r), cmp.Or(r.Where, "-"), atHome(r.Folder, home), ago(r.Since), ago(r.LastSeen), lag,
			agentsText(r), onlyText(r), checkpointText(r, now), costText(r), attention,
		})
	}
	return spoken(t).Fit(width)
}

// spoken is a table without the columns that are seldom of use and say nothing in any row.
func spoken(t cmdline.Table) cmdline.Table {
	for _, head := range []string{"NEEDS", "AGENTS", "ONLY THERE", "CHECKPOINT", "A MONTH"} {
		i := slices.Index(t[0], head)
		if !slices.ContainsFunc(t[1:], func(row []string) bool { return row[i] != "-" }) {
			for n := range t {
				t[n] = slices.Delete(t[n], i, i+1)
			}
		}
	}
	return t
}

// stateText is the state, where it is not the very word of what is needed: one is enough.
func stateText(r fleet.Row) string {
	if r.State == string(r.Needs) {
		return "-"
	}
	return r.State
}

// agentsText is what agents do: "claude waits for you, codex working".
func agentsText(r fleet.Row) string {
	var list []string
	for _, a := range r.Agents {
		if a.State != status.AgentNone {
			list = append(list, a.Name+" "+string(a.State))
		}
	}
	return cmp.Or(strings.Join(list, ", "), "-")
}

// onlyText is how much only the machine of the row has.
func onlyText(r fleet.Row) string {
	if n := account.FromParts(r.OnlyHere).Count(); n > 0 {
		return fmt.Sprint(n)
	}
	return "-"
}

func checkpointText(r fleet.Row, now time.Time) string {
	if r.Checkpoint == nil {
		return "-"
	}
	return fmt.Sprintf("%s (%s)", r.Checkpoint.Name, span(now.Sub(r.Checkpoint.Made)))
}

func costText(r fleet.Row) string {
	if r.CostMonth == nil {
		return "-"
	}
	return fmt.Sprintf("$%.2f", *r.CostMonth)
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
