package pastpage

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
)

// GC is the verb gc. collect does it where it is not only asked what would be done.
func (p Page) GC(collect func(*cli.Context) (control.Collected, error)) *cli.Command {
	return &cli.Command{
		Name:      "gc",
		Usage:     "look for garbage in the bucket now, or tell what would be found",
		ArgsUsage: p.args(),
		Description: `Garbage is what no kept generation and no checkpoint needs. It is looked for about once a day without this.
What is found is condemned, and deleted by a later run, 48 hours after it: who had begun to restore still reads it.

  GENERATIONS  that are kept, and that go because the spec does not keep them any longer
  NEEDED       by what is kept
  CONDEMNED    to be deleted, from GOES on
  GARBAGE      that the next run condemns
  YOUNG        not needed, and younger than 48 hours: it may be part of a save that is under way`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "dry-run", Usage: "tell what would go, how much that is and why, and change nothing"},
			&cli.BoolFlag{Name: "json", Usage: "answer in JSON"},
			cmdline.WideFlag(),
		},
		Action: func(c *cli.Context) error {
			if c.Bool("dry-run") {
				return p.garbage(c)
			}
			done, err := collect(c)
			if err != nil {
				return err
			}
			failed := error(nil)
			if len(done.Failed) > 0 {
				failed = notAll("not everything was done in every replica: what they may need stays")
			}
			if c.Bool("json") {
				return errors.Join(cmdline.PrintJSON(p.Raw, done), failed)
			}
			for _, name := range slices.Sorted(maps.Keys(done.Failed)) {
				fmt.Fprintf(p.Out, "%s: not all was done in it: %s\n", name, done.Failed[name])
			}
			_, err = fmt.Fprintf(p.Out, "generations: %d kept, %d dropped; objects: %d deleted, %d condemned, which a run after 48 hours deletes\n",
				done.Kept, done.Dropped, done.Deleted, done.Condemned)
			return errors.Join(err, failed)
		},
	}
}

func (p Page) garbage(c *cli.Context) error {
	list, err := asked(p, c, control.History.Garbage, control.GarbageRequest{})
	if err != nil {
		return err
	}
	var failed error
	for _, g := range list {
		if g.Failed != "" {
			failed = notAll("not every replica could be looked at: what it may need stays")
		}
	}
	if c.Bool("json") {
		return errors.Join(cmdline.PrintJSON(p.Raw, list), failed)
	}
	t := cmdline.Table{{"REPLICA", "GENERATIONS", "NEEDED", "CONDEMNED", "GOES", "GARBAGE", "YOUNG"}}
	for _, g := range list {
		if g.Failed != "" {
			fmt.Fprintf(p.Out, "%s: nothing is known of it: %s\n", g.Replica, g.Failed)
			continue
		}
		gens, goes := strconv.Itoa(g.Kept), "-"
		if g.Dropped > 0 {
			gens += fmt.Sprintf(", %d go", g.Dropped)
		}
		if g.Deletable != nil {
			goes = g.Deletable.Local().Format(time.DateTime)
		}
		t = append(t, []string{g.Replica, gens, amount(g.Needed), amount(g.Condemned), goes, amount(g.Garbage), amount(g.Young)})
	}
	_, err = fmt.Fprint(p.Out, t.Fit(cmdline.WidthFor(c, p.Raw)))
	return errors.Join(err, failed)
}

// notAll is the error of a look at a bucket, or of a collection, that left something of a replica out.
func notAll(text string) error {
	return hint.Wrap(errors.New(text),
		"in the container, coltecd verify says what is missing or damaged, and coltecd verify --repair brings back what the other side has")
}

func amount(a control.Amount) string {
	if a.Objects == 0 {
		return "-"
	}
	return fmt.Sprintf("%d, %s", a.Objects, cmdline.Size(a.Bytes))
}
