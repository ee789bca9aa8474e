package pastpage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
)

// Conflicts is the verb conflicts.
func (p Page) Conflicts() *cli.Command {
	return &cli.Command{
		Name:      "conflicts",
		Usage:     "list the local versions that lost their name to a remote one; compare, take or drop them",
		ArgsUsage: p.Of + "[show|take|drop] [PATH]",
		Description: p.forms([][2]string{
			{"conflicts", "lists the versions that are kept aside"},
			{"conflicts show PATH", "compares what has the name now with the version kept aside"},
			{"conflicts take PATH", "gives the version its name back; what has it now goes to .coltec/replaced"},
			{"conflicts drop PATH", "says that the version is not needed"},
		}) + `
PATH is a file of the tree, or the ID of a version as the list shows it.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "replica", Usage: "look at the replica `NAME` alone"},
			&cli.BoolFlag{Name: "json", Usage: "answer in JSON"},
			cmdline.WideFlag(),
		},
		Action: func(c *cli.Context) error { return p.conflicts(c) },
	}
}

func (p Page) conflicts(c *cli.Context) error {
	verb, name := p.arg(c, 0), p.arg(c, 1)
	ask := map[string]func(control.History, context.Context, control.ConflictRequest, func(string)) (control.Conflict, error){
		"show": control.History.Conflict, "take": control.History.Take, "drop": control.History.Drop,
	}[verb]
	switch {
	case verb == "":
		return p.listConflicts(c)
	case ask == nil:
		return hint.Wrap(cmdline.Usage("unknown conflicts command %q", verb), "see %s conflicts --help", p.Program)
	case name == "":
		return hint.Wrap(cmdline.Usage("conflicts %s needs PATH", verb), "%s conflicts lists them", p.Program)
	}
	answer, err := asked(p, c, ask, control.ConflictRequest{Replica: c.String("replica"), Path: name})
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return cmdline.PrintJSON(p.Raw, answer)
	}
	switch verb {
	case "take":
		fmt.Fprintf(p.Out, "%s is the version of %s again; what it replaced is in .coltec/replaced\n", answer.Path, answer.Host)
	case "drop":
		fmt.Fprintf(p.Out, "dropped %s\n", answer.ID)
	case "show":
		p.showConflict(answer)
	}
	return nil
}

// showConflict compares two versions. What goes to a file or a program is the content as it
// is: somebody may apply it.
func (p Page) showConflict(k control.Conflict) {
	if k.Agent != "" {
		p.Say("%s", cmdline.OneLine(ofAgent(k)))
	}
	p.verbatim(k.Diff)
	if k.Note != "" {
		fmt.Fprintf(p.Out, "%s: %s\n", k.ID, k.Note)
	}
}

func (p Page) listConflicts(c *cli.Context) error {
	list, err := asked(p, c, control.History.Conflicts, control.ConflictsRequest{Replica: c.String("replica")})
	switch {
	case err != nil && len(list) == 0:
		return err
	case c.Bool("json"):
		return errors.Join(err, cmdline.PrintJSON(p.Raw, list))
	case len(list) == 0:
		p.Say("no conflicts")
		return nil
	}
	_, failed := fmt.Fprint(p.Out, tableOf(list).Fit(cmdline.WidthFor(c, p.Raw), "ID"))
	return errors.Join(err, failed) // of replicas that could not be looked at
}

// tableOf is the list of conflicts; what is of agents has a column where there is any.
func tableOf(list []control.Conflict) cmdline.Table {
	t := cmdline.Table{{"REPLICA", "PATH", "SINCE", "OF", "SIZE", "ID"}}
	agents := slices.ContainsFunc(list, func(k control.Conflict) bool { return k.Agent != "" })
	if agents {
		t[0] = slices.Insert(t[0], 1, "AGENT")
	}
	for _, k := range list {
		host := k.Host
		if !k.Here {
			host += " (in the bucket)"
		}
		row := []string{k.Replica, k.Path, k.Time.Local().Format(time.DateTime), host, cmdline.Size(k.Size), k.ID}
		if agents {
			row = slices.Insert(row, 1, strings.TrimSpace(k.Agent+" "+k.Talk))
		}
		t = append(t, row)
	}
	return t
}

// ofAgent says what of an agent a version is.
func ofAgent(k control.Conflict) string {
	if k.Talk == "" {
		return fmt.Sprintf("a file of %s, as it was on %s", k.Agent, k.Host)
	}
	return fmt.Sprintf("%s's conversation %s, as it went on on %s", k.Agent, k.Talk, k.Host)
}
