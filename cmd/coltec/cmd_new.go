package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/feature"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/scaffold"
	"github.com/coltec/coltec/pkg/spec"
)

func cmdNew(p *program) *cli.Command {
	return &cli.Command{
		Name:      "new",
		Usage:     "make a workspace from a template",
		ArgsUsage: "DIR",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "template", Value: "base", Usage: "the template: a name (see coltec templates), the `PATH` of a directory, or a git URL[//FOLDER][#REF]"},
			dataFlag(),
			&cli.BoolFlag{Name: "defaults", Usage: "ask nothing: what has no answer takes its default"},
			&cli.StringFlag{Name: "fork", Usage: "begin with the files of the workspace `ORG/PROJECT/ENV` in the same bucket, as they are there now; it is only read"},
			keepModesFlag(),
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
		}, secretFlags()...),
		Description: "Secrets are looked for only to read what is forked.",
		Action:      func(c *cli.Context) error { return p.newWorkspace(c) },
	}
}

func (p *program) newWorkspace(c *cli.Context) error {
	folder, err := filepath.Abs(c.Args().First())
	if err != nil {
		return err
	}
	given, err := data(c)
	if err != nil {
		return err
	}
	made, err := p.makeNew(c, folder, given)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return p.printJSON(made)
	}
	dir := c.Args().First()
	p.say("%s: made from template %s %s (%d files)", dir, made.Template, made.Version, len(made.Actions))
	if made.bucket {
		p.say("next: coltec doctor %s says which secrets and tools are missing; then: coltec up %s", hint.Word(dir), hint.Word(dir))
	} else {
		p.say("next: coltec up %s", hint.Word(dir))
	}
	return nil
}

// madeNew is what new did.
type madeNew struct {
	Folder   string            `json:"folder"`
	Template string            `json:"template"`
	Version  string            `json:"version"`
	Actions  []scaffold.Action `json:"actions"`

	bucket bool // it keeps its files in one
}

// makeNew makes a workspace of a template and answers, which are asked for where they are
// missing.
func (p *program) makeNew(c *cli.Context, folder string, given map[string]string) (*madeNew, error) {
	ref := c.String("template")
	t, err := carried.Open(ref, ".")
	if err != nil {
		return nil, err
	}
	answers, err := t.Answer(given, p.ask(c, len(given) == 0))
	if err != nil {
		return nil, err
	}
	tree, err := t.Render(answers)
	if err != nil {
		return nil, err
	}
	if ref, err = fromFolder(folder, ref); err != nil {
		return nil, err
	}
	release, err := p.lock(c.Context, folder)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := own(folder, tree); err != nil {
		return nil, err
	}
	sp, err := p.apart(folder, tree)
	if err != nil {
		return nil, err
	}
	render := func(to string) (*scaffold.Plan, error) {
		return p.render(to, tree, scaffold.NewRecord(ref, t, answers), sp)
	}
	var plan *scaffold.Plan
	if of := c.String("fork"); of != "" {
		plan, err = p.forkInto(c, of, folder, t, answers, render)
	} else {
		plan, err = render(folder)
	}
	if err != nil {
		return nil, err
	}
	p.trustMade(folder, rendered{ref, sp, tree}, nil)
	return &madeNew{folder, t.Name(), t.Version(), plan.Actions, (&workspace{folder, sp}).hasBucket()}, nil
}

// own is the error of a folder that has a dev container of its own, which the one of a
// template would hide.
func own(folder string, tree scaffold.Tree) error {
	at := foreign(folder)
	if at == "" {
		return nil
	}
	if _, err := scaffold.ReadRecord(folder); err == nil {
		return nil // a workspace, which is said
	}
	if f, ok := tree[at]; ok {
		if b, err := optional(folder, at); err == nil && bytes.Equal(b, f.Data) {
			return nil // cut off in the middle
		}
	}
	return hint.Wrap(fmt.Errorf("cannot make a workspace in %s: it has a dev container of its own (%s)", folder, at), "bring Coltec into that: coltec init %s", hint.Word(folder))
}

// forkInto makes a workspace in folder that has the files of another.
func (p *program) forkInto(c *cli.Context, of, folder string, t *scaffold.Template, answers scaffold.Answers, render func(to string) (*scaffold.Plan, error)) (plan *scaffold.Plan, err error) {
	f, err := newFork(of, folder, t, answers)
	if err != nil {
		return nil, err
	}
	if _, err := p.destination(folder); err != nil {
		return nil, err
	}
	err = f.make(func() (err error) {
		if plan, err = render(f.workspace()); err != nil {
			return err
		}
		return p.fill(c, f)
	})
	if err == nil {
		p.sayTriggers(folder, f.found)
	}
	return plan, err
}

// render writes a workspace into folder: what the template makes, and the Feature.
func (p *program) render(folder string, tree scaffold.Tree, record scaffold.Record, sp *spec.Spec) (*scaffold.Plan, error) {
	if _, err := os.Stat(folder); err == nil {
		if _, err := scaffold.Recover(folder); err != nil {
			return nil, err
		}
	}
	plan, err := scaffold.PlanNew(folder, tree, record)
	if err != nil {
		return nil, err
	}
	if err := plan.Write(folder); err != nil {
		return nil, err
	}
	arches, err := p.putFeature(folder, sp, feature.Find(p.binDirs()...))
	if err == nil && len(arches) == 0 {
		p.say("note: %v", feature.Missing(p.binDirs()...))
	}
	return plan, err
}

// ask asks a person on a terminal: everything, or only what has no default.
func (p *program) ask(c *cli.Context, all bool) scaffold.Ask {
	in, ok := p.in.(*os.File)
	if !ok || !cmdline.IsTerminal(in) || c.Bool("defaults") {
		return nil
	}
	r := bufio.NewReader(in)
	return func(q scaffold.Question, def *string) (string, error) {
		if def != nil && !all {
			return *def, nil
		}
		for {
			answer, err := p.askOnce(c.Context, r, q, def)
			if err != nil {
				return "", err
			}
			if _, err = q.Check(answer); err == nil {
				return answer, nil
			}
			cmdline.Fail(p.err, err)
		}
	}
}

func (p *program) askOnce(ctx context.Context, r *bufio.Reader, q scaffold.Question, def *string) (string, error) {
	fmt.Fprintf(p.err, "%s: %s", q.Name, q.Help)
	if len(q.Choices) > 0 {
		fmt.Fprintf(p.err, " (%s)", strings.Join(q.Choices, ", "))
	}
	if def != nil && *def != "" {
		fmt.Fprintf(p.err, " [%s]", *def)
	}
	fmt.Fprint(p.err, ": ")
	type line struct {
		text string
		err  error
	}
	got := make(chan line, 1)
	go func() { // Ctrl-C must end a read of the terminal
		s, err := r.ReadString('\n')
		got <- line{s, err}
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(p.err)
		return "", context.Cause(ctx)
	case l := <-got:
		if l.err != nil && (l.text == "" || !errors.Is(l.err, io.EOF)) {
			return "", fmt.Errorf("cannot read the answer for %s: %w", q.Name, l.err)
		}
		s := strings.TrimSpace(l.text)
		if s == "" && def != nil {
			s = *def
		}
		return s, nil
	}
}

// apart reads the spec of a new workspace, and refuses one that would not be apart
// from its neighbours.
func (p *program) apart(folder string, tree scaffold.Tree) (*spec.Spec, error) {
	sp, err := spec.Parse(filepath.Join(folder, specName), tree[specName].Data)
	if err != nil {
		return nil, err
	}
	own, err := look(folder, sp, tree[configName].Data, "")
	if err != nil {
		return nil, err
	}
	return sp, p.refuse(folder, own)
}

func cmdTemplates(p *program) *cli.Command {
	return &cli.Command{
		Name:      "templates",
		Usage:     "list the templates that coltec carries and the questions they ask",
		ArgsUsage: "[TEMPLATE]",
		Flags:     []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print JSON"}, cmdline.WideFlag()},
		Action:    func(c *cli.Context) error { return p.templates(c) },
	}
}

func (p *program) templates(c *cli.Context) error {
	type row struct {
		Name        string              `json:"name"`
		Version     string              `json:"version"`
		Description string              `json:"description"`
		Questions   []scaffold.Question `json:"questions"`
	}
	names := carried.Names()
	if c.Args().Present() {
		names = []string{c.Args().First()}
	}
	var rows []row
	for _, name := range names {
		t, err := carried.Open(name, ".")
		if err != nil {
			return err
		}
		rows = append(rows, row{t.Name(), t.Version(), t.Description(), t.Questions()})
	}
	if c.Bool("json") {
		return p.printJSON(rows)
	}
	for i, r := range rows {
		if i > 0 {
			fmt.Fprintln(p.out)
		}
		fmt.Fprintf(p.out, "%s %s: %s\n", r.Name, r.Version, r.Description)
		table := cmdline.Table{{"  QUESTION", "DEFAULT", "MEANING"}}
		for _, q := range r.Questions {
			def := "(needed)"
			if q.Default != nil {
				if def = *q.Default; strings.Contains(def, "{{") {
					def = "(by project_type)"
				}
			}
			help := q.Help
			if len(q.Choices) > 0 {
				help += ": " + strings.Join(q.Choices, ", ")
			}
			table = append(table, []string{"  " + q.Name, def, help})
		}
		fmt.Fprint(p.out, table.Fit(cmdline.WidthFor(c, p.raw.out)))
	}
	return nil
}

func cmdSchema(p *program) *cli.Command {
	return &cli.Command{
		Name:  "schema",
		Usage: "print the JSON Schema of workspace-spec.yaml",
		Action: func(*cli.Context) error {
			_, err := p.raw.out.Write(spec.Schema())
			return err
		},
	}
}
