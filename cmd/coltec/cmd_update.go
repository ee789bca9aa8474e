package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/aymanbagabas/go-udiff"
	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/scaffold"
	"github.com/coltec/coltec/pkg/spec"
)

func cmdUpdate(p *program) *cli.Command {
	return &cli.Command{
		Name:      "update",
		Usage:     "bring a workspace up to date with its template; your edits stay",
		ArgsUsage: "[DIR]",
		Flags: []cli.Flag{
			dataFlag(),
			&cli.StringFlag{Name: "template", Usage: "take this template from now on: a name, a `PATH` or a git URL"},
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "say what would be done"},
			&cli.BoolFlag{Name: "diff", Usage: "print the difference it would make"},
			&cli.BoolFlag{Name: "check", Usage: "write nothing; exit 2 when there is something to do"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
		},
		Action: func(c *cli.Context) error { return updating{p}.update(c) },
	}
}

// updating brings what a template made up to its newest version.
type updating struct{ *program }

func (p updating) update(c *cli.Context) error {
	shown := c.Args().First()
	if shown == "" {
		shown = above()
	}
	folder, err := filepath.Abs(shown)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(folder, answersName)); errors.Is(err, fs.ErrNotExist) {
		w, err := p.open(c.Context, shown)
		if err == nil {
			shown, folder = w.folder, w.folder
		} else if cmdline.CodeOf(err) == cmdline.CodeUsage {
			return err
		}
	}
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return hint.Wrap(fmt.Errorf("no workspace in %s: there is no such folder", shown), "make one: coltec new %s --data org=… --data project=… --data env=…", hint.Word(shown))
	}
	look := c.Bool("dry-run") || c.Bool("diff") || c.Bool("check")
	if !look {
		release, err := p.lock(c.Context, folder)
		if err != nil {
			return err
		}
		defer release()
		left, err := scaffold.Recover(folder)
		if err != nil {
			return err
		}
		for _, name := range left {
			p.say("%s: changed here since an update that was interrupted; the template's version is in %s.new", name, name)
		}
	}
	record, inOrder := p.inOrder(folder)
	plan, t, made, err := p.plan(c, folder)
	if err != nil {
		return err
	}
	if !look {
		if err := plan.Write(folder); err != nil {
			return err
		}
		if inOrder {
			p.trustMade(folder, made, record)
		}
	}
	if err := p.show(c, shown, t, plan, look); err != nil {
		return err
	}
	switch {
	case c.Bool("check") && !plan.Empty():
		return cmdline.Exit{Code: 2}
	case !look && plan.Conflicts() > 0:
		return cmdline.Exit{Code: cmdline.CodeFailed, Cause: hint.Wrap(fmt.Errorf("%s in %s", hint.Count(plan.Conflicts(), "conflict", "conflicts"), shown), "edit the files that say so; nothing of yours is lost")}
	}
	return nil
}

func (p updating) plan(c *cli.Context, folder string) (*scaffold.Plan, *scaffold.Template, rendered, error) {
	record, err := scaffold.ReadRecord(folder)
	if err != nil {
		return nil, nil, rendered{}, err
	}
	given, err := data(c)
	if err != nil {
		return nil, nil, rendered{}, err
	}
	ref := record.Template
	if to := c.String("template"); to != "" {
		if ref, err = fromFolder(folder, to); err != nil {
			return nil, nil, rendered{}, err
		}
	} else if err := p.trustsTemplate(folder, ref); err != nil {
		return nil, nil, rendered{}, err
	}
	t, err := carried.Open(ref, folder)
	if err != nil {
		return nil, nil, rendered{}, err
	}
	all := record.For(t)
	maps.Copy(all, given)
	answers, err := t.Answer(all, nil)
	if err != nil {
		return nil, nil, rendered{}, err
	}
	tree, err := t.Render(answers)
	if err != nil {
		return nil, nil, rendered{}, err
	}
	sp, err := spec.Parse(filepath.Join(folder, specName), tree[specName].Data)
	if err != nil {
		return nil, nil, rendered{}, err
	}
	plan, err := scaffold.PlanUpdate(folder, tree, scaffold.NewRecord(ref, t, answers))
	return plan, t, rendered{ref: ref, spec: sp, tree: tree}, err
}

func (p updating) show(c *cli.Context, shown string, t *scaffold.Template, plan *scaffold.Plan, look bool) error {
	if c.Bool("json") {
		return p.printJSON(struct {
			Template  string            `json:"template"`
			Version   string            `json:"version"`
			UpToDate  bool              `json:"up_to_date"`
			Written   bool              `json:"written"`
			Conflicts int               `json:"conflicts"`
			Actions   []scaffold.Action `json:"actions"`
		}{t.Name(), t.Version(), plan.Empty(), !look && !plan.Empty(), plan.Conflicts(), plan.Actions})
	}
	if plan.Empty() {
		p.say("%s: up to date with template %s %s", shown, t.Name(), t.Version())
		for _, name := range plan.Aside {
			p.say("%s still lies beside %s: take over what you want of it, then remove it", name, strings.TrimSuffix(name, ".new"))
		}
		return nil
	}
	for _, a := range plan.Actions {
		if c.Bool("diff") {
			if a.Kind != scaffold.Keep {
				fmt.Fprint(p.verbatim(), udiff.Unified("a/"+a.Path, "b/"+a.Path, string(a.Old), string(a.New)))
			}
			continue
		}
		line := fmt.Sprintf("%-8s  %s", a.Kind, a.Path)
		if a.Note != "" {
			line += "  (" + a.Note + ")"
		}
		fmt.Fprintln(p.out, line)
	}
	done := "updated to"
	if look {
		done = "would be updated to"
	}
	p.say("%s: %s template %s %s", shown, done, t.Name(), t.Version())
	return nil
}
