package scaffold

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"text/template"

	"github.com/hashicorp/go-multierror"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/spec"
)

// Answers are values (string, bool, or []string) by the question's name.
type Answers map[string]any

// asText is a value as it is answered.
func asText(v any) string {
	if words, ok := v.([]string); ok {
		return strings.Join(words, ",")
	}
	return fmt.Sprint(v)
}

// File is what a template makes of one path.
type File struct {
	Data []byte
	Mode fs.FileMode // 0644 or 0755
}

// Tree is what a workspace has, by slash-separated path.
type Tree map[string]File

var funcs = template.FuncMap{
	"json": func(v any) (string, error) {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		err := e.Encode(v)
		return strings.TrimSpace(b.String()), err
	},
	"words": strings.Fields,
	"list":  func(s string) []string { return strings.FieldsFunc(s, func(r rune) bool { return r == ',' }) },
}

func expand(name, text string, data Answers) ([]byte, error) {
	t, err := template.New(name).Funcs(funcs).Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, data)
	return b.Bytes(), err
}

// Ask is called for a question without an answer; def is its default, nil when
// it has none. It returns the answer.
type Ask func(q Question, def *string) (string, error)

// Answer checks the given answers and asks for the rest. A nil ask takes defaults.
func (t *Template) Answer(given map[string]string, ask Ask) (Answers, error) {
	questions := t.Questions()
	var errs *multierror.Error
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.ContainsFunc(questions, func(q Question) bool { return q.Name == name }) {
			var names []string
			for _, q := range questions {
				names = append(names, q.Name)
			}
			errs = multierror.Append(errs, hint.Wrap(fmt.Errorf("cannot take %s: template %s has no such question", name, t.Name()), "it asks for: %s", strings.Join(names, ", ")))
		}
	}
	answers := Answers{}
	for _, q := range questions {
		text, ok := given[q.Name]
		if !ok {
			var def *string
			if q.Default != nil {
				b, err := expand(q.Name, *q.Default, answers)
				if err != nil {
					if errs != nil {
						continue // it needs an answer that was refused
					}
					return nil, fmt.Errorf("cannot make the default of %s: %w", q.Name, err)
				}
				s := string(b)
				def = &s
			}
			switch {
			case ask != nil && q.Before == nil:
				var err error
				if text, err = ask(q, def); err != nil {
					return nil, err
				}
			case def == nil:
				errs = multierror.Append(errs, hint.Wrap(fmt.Errorf("no answer for %s (%s)", q.Name, q.Help), "give it: --data %s", hint.Word(q.Name+"="+q.Example)))
				continue
			default:
				text = *def
			}
		}
		v, err := q.Check(text)
		if err != nil {
			errs = multierror.Append(errs, err)
			continue
		}
		answers[q.Name] = v
	}
	if errs != nil {
		errs.ErrorFormat = inLines
	}
	return answers, errs.ErrorOrNil()
}

// inLines is the format of several errors: each in a line, without a heading.
func inLines(errs []error) string {
	return errors.Join(errs...).Error()
}

// Render makes the files of a workspace. It reads and writes nothing.
func (t *Template) Render(answers Answers) (Tree, error) {
	tree := Tree{}
	for _, l := range t.layers {
		rules := map[string]FileRule{}
		for _, r := range l.Files {
			rules[r.Path] = r
		}
		for _, name := range slices.Sorted(maps.Keys(l.files)) {
			to, isTemplate := strings.CutSuffix(name, ".tmpl")
			if err := safe(to); err != nil {
				return nil, fmt.Errorf("cannot render template %s: %w", l.Name, err)
			}
			f, err := l.render(name, rules[to], isTemplate, answers)
			if err != nil {
				return nil, fmt.Errorf("cannot render %s of template %s: %w", name, l.Name, err)
			}
			if f == nil {
				continue
			}
			if below, ok := tree[to]; ok && rules[to].Merge {
				if f.Data, err = overlay(to, below.Data, f.Data); err != nil {
					return nil, fmt.Errorf("cannot lay %s of template %s over: %w", name, l.Name, err)
				}
				f.Mode |= below.Mode
			}
			tree[to] = *f
		}
	}
	tree[schemaName] = File{spec.Schema(), 0o644}
	return tree, tree.validate()
}

func (l *layer) render(name string, rule FileRule, isTemplate bool, answers Answers) (*File, error) {
	if rule.When != "" {
		b, err := expand("when", rule.When, answers)
		if err != nil || strings.TrimSpace(string(b)) != "true" {
			return nil, err
		}
	}
	f := &File{l.files[name], 0o644}
	if rule.Executable {
		f.Mode = 0o755
	}
	if isTemplate {
		b, err := expand(name, string(f.Data), answers)
		if err != nil {
			return nil, err
		}
		f.Data = b
	}
	return f, nil
}

const (
	specName   = ".devcontainer/workspace-spec.yaml"
	schemaName = ".devcontainer/workspace-spec.schema.json"
)

// validate refuses a tree with a file that its reader would refuse.
func (t Tree) validate() error {
	for _, name := range slices.Sorted(maps.Keys(t)) {
		if err := parses(name, t[name].Data); err != nil {
			return fmt.Errorf("%s would not be valid: %w", name, err)
		}
	}
	return nil
}

// parses returns why a file of that name cannot be read.
func parses(name string, data []byte) error {
	switch {
	case name == specName:
		_, err := spec.Parse(name, data)
		return err
	case path.Ext(name) == ".json":
		_, err := orderedJSON(data)
		return err
	}
	return nil
}
