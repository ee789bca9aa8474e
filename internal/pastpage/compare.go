package pastpage

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
)

// Compare is the verb compare.
func (p Page) Compare() *cli.Command {
	return &cli.Command{
		Name:      "compare",
		Usage:     "say how two states of the workspace differ",
		ArgsUsage: p.Of + "A [B] [PATH]",
		Description: `A and B are names of checkpoints, numbers of generations, times, or now, which B is if it is left out:

` + p.call("compare before-upgrade") + `
` + p.call("compare before-upgrade after-upgrade src --diff") + `

Files are compared by name, size and content, repositories by their refs too, and of a
database it is said that it differs. With --wholes copies of both are opened: it is said how many commits
each branch has more and less, and which tables have how many rows. now is what is here once it is pushed.`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "diff", Usage: "show how texts differ, as far as they are not too large"},
			&cli.BoolFlag{Name: "wholes", Usage: "open repositories and databases: commits and rows, as far as they are not too large"},
			&cli.BoolFlag{Name: "stat", Usage: "only count"},
			&cli.StringFlag{Name: "replica", Usage: "look at the replica `NAME` alone"},
			&cli.BoolFlag{Name: "json", Usage: "answer in JSON"},
		},
		Action: func(c *cli.Context) error { return p.compare(c) },
	}
}

func (p Page) compare(c *cli.Context) (err error) {
	a := p.arg(c, 0)
	if a == "" || p.arg(c, 3) != "" {
		return hint.Wrap(cmdline.Usage("compare needs A, and takes B and PATH"), "see %s compare --help", p.Program)
	}
	req := control.CompareRequest{Replica: c.String("replica"), A: a, B: cmp.Or(p.arg(c, 1), "now"), Diff: c.Bool("diff") && !c.Bool("stat"), Wholes: c.Bool("wholes") && !c.Bool("stat")}
	if req.Path, err = p.inTree(p.arg(c, 2)); err != nil {
		return err
	}
	found, err := asked(p, c, control.History.Compare, req)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return cmdline.PrintJSON(p.Raw, found)
	}
	for _, name := range slices.Sorted(maps.Keys(found.Replicas)) {
		if c.Bool("stat") {
			fmt.Fprintln(p.Out, statOf(name, found.Replicas[name]))
			continue
		}
		for _, d := range found.Replicas[name] {
			p.printDifference(name, d)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found.Without)) {
		p.Say("%s: left out: %s", name, found.Without[name])
	}
	return nil
}

// statOf counts how a replica differs.
func statOf(name string, list []control.Difference) string {
	n := map[string]int{}
	var before, after int64
	for _, d := range list {
		n[d.What]++
		before, after = before+d.Before, after+d.After
	}
	return fmt.Sprintf("%s: %d added, %d changed, %d removed, %d of mode or time; %s -> %s",
		name, n["added"], n["changed"], n["removed"], n["mode or time"], cmdline.Size(before), cmdline.Size(after))
}

func (p Page) printDifference(name string, d control.Difference) {
	sizes := ""
	if d.Kind != "directory" && d.Before != d.After {
		sizes = fmt.Sprintf(", %s -> %s", cmdline.Size(d.Before), cmdline.Size(d.After))
	}
	fmt.Fprintf(p.Out, "%-12s %s: %s (%s%s)\n", d.What, name, strconv.Quote(d.Path), d.Kind, sizes)
	for _, r := range d.Refs {
		fmt.Fprintf(p.Out, "  %s: %s -> %s\n", strconv.Quote(r.Ref), shortID(r.Before), shortID(r.After))
	}
	for _, x := range d.Commits {
		fmt.Fprintf(p.Out, "  %s: %s ahead, %s behind\n", strconv.Quote(x.Ref), commitsText(x.Ahead), commitsText(x.Behind))
		for _, subject := range x.Subjects {
			fmt.Fprintf(p.Out, "    %s\n", cmdline.OneLine(subject))
		}
	}
	for _, t := range d.Tables {
		fmt.Fprintf(p.Out, "  table %s: %s, %d -> %d rows\n", strconv.Quote(t.Table), t.What, t.Before, t.After)
	}
	if d.Note != "" {
		fmt.Fprintf(p.Out, "  %s\n", cmdline.OneLine(d.Note))
	}
	p.verbatim(d.Diff)
}

// commitsText is a number of commits, of which more are not counted.
func commitsText(n int) string {
	if n >= commitsMost {
		return fmt.Sprintf("%d or more", commitsMost)
	}
	return strconv.Itoa(n)
}

// commitsMost is how many are counted: see [control.CommitChange].
const commitsMost = 10_000

// shortID is what a ref points to, for people.
func shortID(id string) string {
	const most = 12
	switch {
	case id == "":
		return "none"
	case len(id) >= 40 && !slices.Contains([]rune(id), ' '):
		return id[:most]
	}
	return id
}
