package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
)

func cmdJoin(p *program) *cli.Command {
	return &cli.Command{
		Name:      "join",
		Usage:     "merge what was done in a fork of this workspace with what is here",
		ArgsUsage: "FORK",
		Description: `FORK is org/project/env. What the fork has changed since it was forked, or joined last, comes here. Where both have
changed the same, the fork's version keeps the name, and that from here is kept: coltecd conflicts lists them.
Repositories are merged by branches: those that went apart are kept beside each other. What is here before is kept as
a checkpoint, before-join-TIME, of which the newest ten stay. The fork is only read.`,
		Flags:  cmdline.JoinFlags(),
		Action: func(c *cli.Context) error { return p.join(c) },
	}
}

func (p *program) join(c *cli.Context) error {
	fork := c.Args().First()
	client, _, err := p.connect(c)
	if err != nil {
		return err
	}
	req := control.JoinRequest{Fork: fork, DryRun: c.Bool("dry-run"), All: c.Bool("all"), Unrelated: c.Bool("unrelated"), AllowDelete: c.Bool("allow-delete")}
	done, err := client.Join(c.Context, req, func(line string) { p.say("%s", line) })
	if err != nil {
		return err
	}
	if c.Bool("json") {
		err = p.printJSON(done)
	} else {
		_, err = fmt.Fprint(p.out, joinedText(done, c.Bool("dry-run")))
	}
	if err == nil && len(done.Left) > 0 {
		err = hint.Wrap(fmt.Errorf("%s not joined", hint.Count(len(done.Left), "path of "+fork+" is", "paths of "+fork+" are")), "join again when what keeps them is mended")
	}
	return err
}

// joinWords say what a join does at a path, and would.
var joinWords = map[string]string{
	"whole": "changed there", "merged": "changed there and here",
}

// joinedText is a join for people.
func joinedText(j control.Joined, dry bool) string {
	var b strings.Builder
	if j.From == j.To {
		fmt.Fprintf(&b, "%s has nothing new since its generation %d\n", j.Fork, j.To)
		return b.String()
	}
	t := cmdline.Table{}
	counts := map[string]int{}
	for _, x := range j.Paths {
		counts[x.What]++
		what := x.What
		if words := joinWords[what]; words != "" {
			what = words
		}
		t = append(t, []string{what, x.Replica, cmdline.OneLine(x.Path)})
	}
	if len(t) > 0 {
		fmt.Fprint(&b, append(cmdline.Table{{"WHAT", "REPLICA", "PATH"}}, t...))
	}
	for _, note := range slices.Concat(j.Left, j.Notes) {
		fmt.Fprintf(&b, "note: %s\n", cmdline.OneLine(note))
	}
	verb := "joined"
	if dry {
		verb = "would join"
	}
	fmt.Fprintf(&b, "%s generation %d of %s: %s, %s, %s that both have changed\n", verb, j.To, j.Fork,
		hint.Count(len(j.Paths), "path", "paths"), hint.Count(counts["conflict"], "conflict", "conflicts"), hint.Count(counts["merged"], "whole", "wholes"))
	if j.Checkpoint != "" {
		fmt.Fprintf(&b, "what was here before: checkpoint %s\n", j.Checkpoint)
	}
	return b.String()
}
