package pastpage

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
)

// History is the verb history.
func (p Page) History() *cli.Command {
	return &cli.Command{
		Name:      "history",
		Usage:     "list the kept generations; look into them; bring back how it was",
		ArgsUsage: p.Of + "[ls|show|restore] [PATH|GENERATION]",
		Description: p.forms([][2]string{
			{"history", "lists the kept generations"},
			{"history ls PATH", "lists the versions of a file"},
			{"history show [GENERATION]", "lists what a generation changed (the newest one, if none is named)"},
			{"history restore [PATH] --at T [--to DIR | --deleted]", "brings back how it was"},
		}) + `
restore makes PATH, or the whole workspace, what it was at T: in the tree, where what is replaced is kept in .coltec/replaced, or in DIR, which must be empty; with --deleted only what is not there any more comes back, and nothing else changes

OLDER counts what a generation has in an earlier state than that of its time: files that
changed while they were read, or could not be read. show and restore name them.

T is the name of a checkpoint, a generation's number, how long ago (2h, 3d), or a time (2006-01-02T15:04:05Z, 2006-01-02 15:04).`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "at", Usage: "the state at the generation or moment `T`"},
			&cli.StringFlag{Name: "to", Usage: "restore to the directory `DIR`, and leave the tree as it is"},
			&cli.BoolFlag{Name: "deleted", Usage: "restore what was deleted since, and change nothing that is there"},
			&cli.StringFlag{Name: "replica", Usage: "look at the replica `NAME` alone"},
			&cli.BoolFlag{Name: "json", Usage: "answer in JSON"},
			cmdline.WideFlag(),
		},
		Action: func(c *cli.Context) error { return p.history(c) },
	}
}

func (p Page) history(c *cli.Context) error {
	verb, arg := p.arg(c, 0), p.arg(c, 1)
	if verb != "restore" && (c.String("to") != "" || c.Bool("deleted") || c.String("at") != "" && verb != "show") {
		return cmdline.Usage("--at, --to and --deleted belong to history restore")
	}
	if c.String("to") != "" && c.Bool("deleted") {
		return cmdline.Usage("--deleted is about the tree, and --to about a directory of its own")
	}
	switch verb {
	case "":
		return p.generations(c)
	case "ls":
		return p.versions(c, arg)
	case "show":
		return p.changes(c, cmp.Or(arg, c.String("at")))
	case "restore":
		return p.restore(c, arg)
	}
	return hint.Wrap(cmdline.Usage("unknown history command %q", verb), "it is ls, show or restore: see %s history --help", p.Program)
}

func (p Page) generations(c *cli.Context) error {
	gens, err := asked(p, c, control.History.Generations, control.GenerationsRequest{Replica: c.String("replica")})
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return cmdline.PrintJSON(p.Raw, gens)
	}
	t := cmdline.Table{{"GENERATION", "TIME", "FILES", "SIZE", "OLDER", "CHANGED"}}
	for i, g := range gens {
		var files, bytes int64
		var older int
		var changed []string
		for name, ref := range g.Replicas {
			files, bytes, older = files+ref.Files, bytes+ref.Bytes, older+ref.Older
			if i == 0 || gens[i-1].Replicas[name] != ref {
				changed = append(changed, name)
			}
		}
		slices.Sort(changed)
		t = append(t, []string{
			strconv.FormatInt(g.Number, 10), g.Time.Local().Format(time.DateTime), strconv.FormatInt(files, 10), cmdline.Size(bytes), countOrNone(older), strings.Join(changed, ", "),
		})
	}
	_, err = fmt.Fprint(p.Out, t.Fit(cmdline.WidthFor(c, p.Raw), "GENERATION"))
	return err
}

// countOrNone leaves a zero out of a table.
func countOrNone(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// olderShown is how many paths are named that a generation has in an older state.
const olderShown = 10

// printOlder names what a generation does not have in its newest state.
func (p Page) printOlder(replica string, o *control.Older) {
	if o == nil {
		return
	}
	are := "paths are"
	if o.Count == 1 {
		are = "path is"
	}
	fmt.Fprintf(p.Out, "%s: %d %s older than this generation, or missing from it:\n", replica, o.Count, are)
	for _, x := range o.Paths[:min(len(o.Paths), olderShown)] {
		fmt.Fprintf(p.Out, "  %s: %s\n", strconv.Quote(x.Path), x.Why)
	}
	if more := o.Count - olderShown; more > 0 {
		fmt.Fprintf(p.Out, "  and %d more (--json names up to 1000)\n", more)
	}
}

// inTree is a path of the workspace as who answers understands it, whose current directory
// is another. Where the workspace is not here, a relative one begins at its tree.
func (p Page) inTree(path string) (string, error) {
	if p.Of != "" {
		return path, nil
	}
	return Absolute(path)
}

// Absolute is a path of this machine for who has another current directory.
func Absolute(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	return filepath.Abs(path)
}

func (p Page) versions(c *cli.Context, path string) error {
	if path == "" {
		return hint.Wrap(cmdline.Usage("history ls needs PATH"), "it lists the versions of one file or directory; %s lists the generations, and history show what changed in one", p.here(c, "history"))
	}
	path, err := p.inTree(path)
	if err != nil {
		return err
	}
	answer, err := asked(p, c, control.History.Versions, control.VersionsRequest{Replica: c.String("replica"), Path: path})
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return cmdline.PrintJSON(p.Raw, answer)
	}
	t := cmdline.Table{{"GENERATION", "TIME", "KIND", "MODE", "SIZE", "SHA256"}}
	for _, v := range answer.Versions {
		row := []string{strconv.FormatInt(v.Generation, 10), v.Time.Local().Format(time.DateTime)}
		switch {
		case v.Gone:
			row = append(row, "gone")
		case v.Link != "":
			row = append(row, v.Kind, "", "", "-> "+v.Link)
		case v.Kind == "file":
			row = append(row, v.Kind, v.Mode, cmdline.Size(v.Size), v.SHA256[:12])
		default:
			row = append(row, v.Kind, v.Mode)
		}
		t = append(t, row)
	}
	_, err = fmt.Fprint(p.Out, t.Fit(cmdline.WidthFor(c, p.Raw), "GENERATION"))
	return err
}

func (p Page) changes(c *cli.Context, at string) error {
	answer, err := asked(p, c, control.History.Changes, control.ChangesRequest{Replica: c.String("replica"), At: at})
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return cmdline.PrintJSON(p.Raw, answer)
	}
	g := answer.Generation
	fmt.Fprintf(p.Out, "generation %d of %s\n", g.Number, g.Time.Local().Format(time.DateTime))
	var names []string
	for name := range answer.Changes {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, change := range answer.Changes[name] {
			fmt.Fprintf(p.Out, "%-12s %s: %s\n", change.What, name, strconv.Quote(change.Path))
		}
		p.printOlder(name, answer.Older[name])
	}
	return nil
}

func (p Page) restore(c *cli.Context, path string) (err error) {
	req := control.RestoreRequest{Replica: c.String("replica"), At: c.String("at"), Deleted: c.Bool("deleted")}
	if req.At == "" {
		return hint.Wrap(cmdline.Usage("history restore needs --at T"), "%s lists the generations", p.here(c, "history"))
	}
	if req.Path, err = p.inTree(path); err != nil {
		return err
	}
	if req.To, err = Absolute(c.String("to")); err != nil {
		return err
	}
	placed, err := asked(p, c, control.History.Restore, req)
	if err != nil {
		return err
	}
	return p.Placed(placed, c.Bool("json"), func(x control.Placed) string {
		line := fmt.Sprintf("%s: as it was in generation %d: %d placed, %d removed", x.Replica, x.Generation, x.Placed, x.Removed)
		if req.Deleted {
			line = fmt.Sprintf("%s: back from generation %d: %s", x.Replica, x.Generation, hint.Count(x.Placed, "file", "files"))
		}
		if x.Dir != "" {
			line += "\n  in " + x.Dir
		}
		return line
	})
}

// Placed shows what a restore or an export did, each replica by its lines. The error is of what
// it could not.
func (p Page) Placed(list []control.Placed, asJSON bool, lines func(control.Placed) string) error {
	if asJSON {
		if err := cmdline.PrintJSON(p.Raw, list); err != nil {
			return err
		}
	}
	problems := 0
	for _, x := range list {
		problems += len(x.Problems)
		if asJSON {
			continue
		}
		fmt.Fprintln(p.Out, lines(x))
		for _, problem := range x.Problems {
			fmt.Fprintf(p.Out, "  not restored: %s\n", problem)
		}
		p.printOlder(x.Replica, x.Older)
	}
	if problems > 0 {
		return fmt.Errorf("%s could not be restored", hint.Count(problems, "path", "paths"))
	}
	return nil
}
