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
		ArgsUsage: p.Of + "[show|diff|take|drop] [PATH]",
		Description: p.forms([][2]string{
			{"conflicts", "lists the versions that are kept aside"},
			{"conflicts diff PATH", "compares what has the name now with the version kept aside; show is the same"},
			{"conflicts take PATH", "gives the version its name back; what has it now goes to .coltec/replaced"},
			{"conflicts drop PATH", "says that the version is not needed; it goes to .coltec/replaced"},
			{"conflicts take --all", "does so with all versions: what was here before counts"},
			{"conflicts drop --all", "does so with all versions: what has the names now counts"},
		}) + `
PATH is a file of the tree, or the ID of a version as the list shows it. What is in .coltec/replaced stays there as long as
history.keep says; each answer says how it is got back. diff is of texts; of databases it says how many rows their tables
have, of a ref of a repository how many commits.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "replica", Usage: "look at the replica `NAME` alone"},
			&cli.BoolFlag{Name: "all", Usage: "take, drop: all versions; of several of one path none is taken"},
			&cli.StringFlag{Name: "of", Usage: "with --all: only the versions of the machine `HOST`"},
			&cli.BoolFlag{Name: "dry-run", Usage: "take, drop: say what would be done, and do nothing"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "with --all: do not ask"},
			&cli.StringFlag{Name: "seen", Usage: "take, drop: only if both versions are as the answer was about that has this `WORD` (in JSON)"},
			&cli.BoolFlag{Name: "json", Usage: "answer in JSON"},
			cmdline.WideFlag(),
		},
		Action: func(c *cli.Context) error { return p.conflicts(c) },
	}
}

// Decides reports whether a call of the verb conflicts changes anything; the error says what is
// wrong with the call.
func (p Page) Decides(c *cli.Context) (bool, error) {
	verb, name, all := p.arg(c, 0), p.arg(c, 1), c.Bool("all")
	decides := verb == "take" || verb == "drop"
	switch {
	case !decides && verb != "" && verb != "show" && verb != "diff":
		return false, hint.Wrap(cmdline.Usage("unknown conflicts command %q", verb), "see %s conflicts --help", p.Program)
	case !decides && (all || c.IsSet("of") || c.Bool("dry-run") || c.Bool("yes") || c.IsSet("seen")):
		return false, cmdline.Usage("--all, --of, --dry-run, --yes and --seen belong to conflicts take and drop")
	case all && name != "":
		return false, cmdline.Usage("conflicts %s takes PATH or --all, and not both", verb)
	case !all && c.IsSet("of"):
		return false, cmdline.Usage("--of belongs to --all")
	case decides && name == "" && !all:
		return false, hint.Wrap(cmdline.Usage("conflicts %s needs PATH, or --all", verb), "%s lists them", p.here(c, "conflicts"))
	case verb != "" && name == "" && !all:
		return false, hint.Wrap(cmdline.Usage("conflicts %s needs PATH", verb), "%s lists them", p.here(c, "conflicts"))
	}
	return decides && !c.Bool("dry-run"), nil
}

func (p Page) conflicts(c *cli.Context) error {
	decides, err := p.Decides(c)
	verb := p.arg(c, 0)
	switch {
	case err != nil:
		return err
	case verb == "":
		return p.listConflicts(c)
	case c.Bool("all"):
		return p.decideAll(c, verb == "take")
	}
	ask := control.History.Conflict
	if decides {
		ask = map[string]func(control.History, context.Context, control.ConflictRequest, func(string)) (control.Conflict, error){
			"take": control.History.Take, "drop": control.History.Drop,
		}[verb]
	}
	answer, err := asked(p, c, ask, control.ConflictRequest{Replica: c.String("replica"), Path: p.arg(c, 1), Seen: c.String("seen")})
	if err != nil {
		return err
	}
	switch {
	case c.Bool("json"):
		return cmdline.PrintJSON(p.Raw, answer)
	case decides:
		fmt.Fprintln(p.Out, cmdline.OneLine(decided(answer, verb == "take")))
		p.undo(answer)
	case verb == "take" || verb == "drop":
		fmt.Fprintln(p.Out, cmdline.OneLine(wouldBe(answer, verb == "take")))
	default:
		p.showConflict(answer)
	}
	return nil
}

// undo says how what went is got back.
func (p Page) undo(k control.Conflict) {
	if k.Undo != "" {
		p.Say("back again: %s", cmdline.OneLine(k.Undo))
	}
}

// decided says what was done with a version.
func decided(k control.Conflict, take bool) string {
	if !take {
		return "dropped " + k.ID
	}
	replaced := ""
	if k.Replaced != "" {
		replaced = "; what it replaced is in .coltec/replaced"
	}
	return fmt.Sprintf("%s is the version of %s again%s", k.Path, k.Host, replaced)
}

// wouldBe says what is lost by a decision about a version.
func wouldBe(k control.Conflict, take bool) string {
	now := "nothing has its name now"
	if k.Now != nil && k.Now.Kind != "nothing" {
		now = fmt.Sprintf("the %s that has its name now (%s) would go to .coltec/replaced", k.Now.Kind, cmdline.Size(k.Now.Size))
	}
	if take {
		return fmt.Sprintf("%s would be the version of %s (%s) again; %s", k.Path, k.Host, cmdline.Size(k.Size), now)
	}
	where := "would go to .coltec/replaced"
	if !k.Here {
		where = "would be in older generations alone"
	}
	return fmt.Sprintf("%s would stay as it is; the version of %s (%s) %s", k.Path, k.Host, cmdline.Size(k.Size), where)
}

// decideAll takes or drops all versions that are kept aside, once a person has seen them.
func (p Page) decideAll(c *cli.Context, take bool) error {
	req := control.DecideRequest{Replica: c.String("replica"), Host: c.String("of"), Take: take, Seen: c.String("seen"), DryRun: c.Bool("dry-run")}
	if !req.DryRun && !c.Bool("yes") {
		look := req
		look.DryRun = true
		would, err := asked(p, c, control.History.Decide, look)
		if err != nil {
			return err
		}
		if len(would.Done) > 0 {
			if err := p.agreed(c.Context, would, take); err != nil {
				return err
			}
		}
		req.Seen = would.Seen
	}
	done, err := asked(p, c, control.History.Decide, req)
	switch {
	case err != nil && len(done.Done) == 0:
		return err
	case c.Bool("json"):
		err = errors.Join(err, cmdline.PrintJSON(p.Raw, done))
	default:
		p.printDecided(done, take, req.DryRun)
	}
	if err != nil { // with what was done before it
		return err
	}
	if n := len(done.Left); n > 0 && !req.DryRun {
		return hint.Wrap(fmt.Errorf("%s left as they are", hint.Count(n, "version is", "versions are")), "%s lists them", p.here(c, "conflicts"))
	}
	return nil
}

// agreed asks a person about all versions.
func (p Page) agreed(ctx context.Context, would control.Decided, take bool) error {
	if p.Asker.Can() {
		for _, k := range would.Done {
			p.Say("%s", cmdline.OneLine(wouldBe(k, take)))
		}
	}
	text := fmt.Sprintf("Drop %s? What has the names now stays.", hint.Count(len(would.Done), "version", "versions"))
	if take {
		text = fmt.Sprintf("Take %s? What has the names now goes to .coltec/replaced.", hint.Count(len(would.Done), "version", "versions"))
	}
	return p.Asker.Agree(ctx, cmdline.Question{
		Text: text, No: errors.New("nothing was done: you did not agree"),
		Nobody: hint.Wrap(cmdline.Usage("--all decides about many versions, and nobody can be asked"), "say --yes, or look first with --dry-run"),
	})
}

func (p Page) printDecided(done control.Decided, take, dryRun bool) {
	say := decided
	if dryRun {
		say = wouldBe
	}
	for _, k := range done.Done {
		fmt.Fprintln(p.Out, cmdline.OneLine(say(k, take)))
		p.undo(k)
	}
	for _, k := range done.Left {
		fmt.Fprintln(p.Out, cmdline.OneLine(fmt.Sprintf("left: %s: %s", k.ID, k.Note)))
	}
	if len(done.Done)+len(done.Left) == 0 {
		p.Say("no conflicts")
	}
	if dryRun && len(done.Done) > 0 {
		p.Say("nothing was done; with --yes it is, and with --seen %s only as long as nothing changes", hint.Word(done.Seen))
	}
}

// showConflict compares two versions. What goes to a file or a program is the content as it
// is: somebody may apply it.
func (p Page) showConflict(k control.Conflict) {
	if k.Agent != "" {
		p.Say("%s", cmdline.OneLine(ofAgent(k)))
	}
	p.verbatim(k.Diff)
	for _, t := range k.Tables {
		fmt.Fprintf(p.Out, "table %s: %s\n", cmdline.OneLine(t.Table), rows(t))
	}
	if x := k.Commits; x != nil {
		fmt.Fprintf(p.Out, "%s: %s that what has its name now does not, and is without %s of that\n", cmdline.OneLine(k.ID), hint.Count(x.Ahead, "commit", "commits"), hint.Count(x.Behind, "commit", "commits"))
		for _, subject := range x.Subjects {
			fmt.Fprintf(p.Out, "  %s\n", cmdline.OneLine(subject))
		}
	}
	if k.Note != "" {
		fmt.Fprintf(p.Out, "%s: %s\n", k.ID, k.Note)
	}
}

// rows says how many a table has in either of two databases.
func rows(t control.TableChange) string {
	switch t.What {
	case "added":
		return fmt.Sprintf("not there now; kept aside with %s", hint.Count(int(t.After), "row", "rows"))
	case "removed":
		return fmt.Sprintf("%s now; kept aside without it", hint.Count(int(t.Before), "row", "rows"))
	}
	return fmt.Sprintf("%s now, %s kept aside", hint.Count(int(t.Before), "row", "rows"), hint.Count(int(t.After), "row", "rows"))
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
