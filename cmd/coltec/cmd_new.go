package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/feature"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/scaffold"
	"github.com/coltec/coltec/pkg/spec"
)

// maker makes workspaces of templates and answers.
type maker struct{ *program }

func cmdNew(p *program) *cli.Command {
	return &cli.Command{
		Name:      "new",
		Usage:     "make a workspace from a template",
		ArgsUsage: "DIR",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "template", Value: "base", Usage: "the template: a name (see coltec templates), the `PATH` of a directory, or a git URL[//FOLDER][#REF]"},
			dataFlag(),
			&cli.BoolFlag{Name: "defaults", Usage: "ask nothing: what has no answer takes its default"},
			&cli.StringFlag{Name: "fork", Usage: "begin with the files of the workspace `ORG/PROJECT/ENV` in the same bucket, as they are there now, as coltec fork does; it is only read"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
		}, secretFlags()...),
		Description: `A workspace that is in the bucket already, with another machine, is made as it is there: what is not answered here is as
it was answered there. Secrets are looked for only to read that, or what is forked.`,
		Action: func(c *cli.Context) error { return maker{p}.newWorkspace(c) },
	}
}

func (p maker) newWorkspace(c *cli.Context) error {
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
	p.say("%s: made from template %s %s (%s)", dir, made.Template, made.Version, hint.Count(len(made.Actions), "file", "files"))
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
func (p maker) makeNew(c *cli.Context, folder string, given map[string]string) (*madeNew, error) {
	if err := p.mayBeOne(folder); err != nil {
		return nil, err
	}
	ref := c.String("template")
	t, err := carried.Open(ref, ".")
	if err != nil {
		return nil, err
	}
	i := &interview{template: t, ask: p.ask(c, len(given) == 0), typed: maps.Clone(given)}
	answers, typed, err := p.answer(c, folder, ref, i)
	if err != nil {
		return nil, err
	}
	if ref, err = fromFolder(folder, ref); err != nil {
		return nil, err
	}
	typed.ref = ref
	release, err := p.lock(c.Context, folder)
	if err != nil {
		return nil, err
	}
	defer release()
	d, err := p.drawn(folder, ref, t, answers)
	if err != nil {
		return nil, err
	}
	if of := c.String("fork"); of != "" {
		if err := (forks(p)).ofTemplate(c, of, d); err != nil {
			return nil, err
		}
	}
	plan, err := p.render(folder, d.tree, scaffold.NewRecord(ref, t, answers), d.spec)
	if err != nil {
		return nil, err
	}
	p.trustMade(folder, typed, nil)
	return &madeNew{folder, t.Name(), t.Version(), plan.Actions, (&workspace{folder, d.spec}).hasBucket()}, nil
}

// drawn is a workspace as a template makes it, of which nothing is written yet.
type drawn struct {
	folder, ref string
	template    *scaffold.Template
	answers     scaffold.Answers
	tree        scaffold.Tree
	spec        *spec.Spec
}

// drawn renders a workspace, and refuses one that cannot be in the folder.
func (p maker) drawn(folder, ref string, t *scaffold.Template, answers scaffold.Answers) (*drawn, error) {
	tree, err := t.Render(answers)
	if err != nil {
		return nil, err
	}
	if err := own(folder, tree); err != nil {
		return nil, err
	}
	sp, err := p.apart(folder, tree)
	return &drawn{folder, ref, t, answers, tree, sp}, err
}

// answer gets the answers of a new workspace, those that it had on another machine included;
// typed is what the template makes of those alone that were given here. A fork has none
// elsewhere.
func (p maker) answer(c *cli.Context, folder, ref string, i *interview) (answers scaffold.Answers, typed rendered, err error) {
	if answers, err = i.names(); err != nil {
		return nil, typed, err
	}
	if c.String("fork") == "" {
		if typed, err = renderedFrom(folder, i.template, answers); err != nil {
			return nil, typed, err
		}
		if record := p.answersThere(c, folder, i, typed.spec); record != nil {
			p.takeOver(i, record, typed.spec.ID(), ref)
		}
		if err := c.Context.Err(); err != nil {
			return nil, typed, context.Cause(c.Context)
		}
	}
	if answers, err = i.rest(); err != nil {
		return nil, typed, err
	}
	own, err := i.template.Answer(i.typed, nil)
	if err != nil {
		return nil, typed, err
	}
	typed, err = renderedFrom(folder, i.template, own)
	typed.others = !reflect.DeepEqual(own, answers)
	return answers, typed, err
}

// takeOver takes the answers of another machine, and says what is another there.
func (p maker) takeOver(i *interview, record *scaffold.Record, id, ref string) {
	for _, line := range i.take(record) {
		p.say("note: %s", line)
	}
	t := i.template
	asked := maps.Clone(i.theirs)
	for _, q := range t.Questions() {
		if q.Before != nil { // nobody is asked
			delete(asked, q.Name)
		}
	}
	if len(asked) > 0 {
		p.say("%s is in the bucket: what you did not answer is as there: %s", id, strings.Join(slices.Sorted(maps.Keys(asked)), ", "))
	}
	switch {
	case record.Template != ref && path.Base(record.Template) != path.Base(ref):
		p.say("note: it was made from template %s there, and here from %s: --template says which", printable(oneLine(record.Template)), ref)
	case record.Version != t.Version():
		p.say("note: it was made from version %s of template %s there, and here from %s: coltec update there, or coltec hop %s, which brings it as it is", printable(oneLine(record.Version)), t.Name(), t.Version(), hint.Word(id))
	}
}

// renderedFrom is what a template makes of answers for a folder.
func renderedFrom(folder string, t *scaffold.Template, answers scaffold.Answers) (made rendered, err error) {
	if made.tree, err = t.Render(answers); err != nil {
		return made, err
	}
	made.spec, err = spec.Parse(filepath.Join(folder, specName), made.tree[specName].Data)
	return made, err
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
	own, err := containedIn(folder, sp, tree[configName].Data, "")
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
