package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/scaffold"
)

// templateIn makes a template over base with questions of its own.
func templateIn(t *testing.T, questions, spec string) *scaffold.Template {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"template.yaml": "name: mine\nversion: 1.0.0\nextends: base\nquestions:\n" + questions +
			"files:\n  - {path: .devcontainer/workspace-spec.yaml, merge: true}\n",
		"files/.devcontainer/workspace-spec.yaml.tmpl": spec,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	opened, err := carried.Open(dir, ".")
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func typed(more ...string) map[string]string {
	all := map[string]string{"org": "o", "project": "p", "env": "e"}
	for _, kv := range more {
		name, value, _ := strings.Cut(kv, "=")
		all[name] = value
	}
	return all
}

// What was typed, what another machine answered, and what a person only confirms of it, stay
// apart: an answer that follows from another machine's is nobody's own.
func TestInterview(t *testing.T) {
	base, err := carried.Open("base", ".")
	if err != nil {
		t.Fatal(err)
	}
	theirs := map[string]string{"project_type": "go", "org": "evil", "user": "a b", "region": "eu-1", "home_volume": "yes"}
	enter := func(_ scaffold.Question, def *string) (string, error) { return *def, nil }
	says := func(q scaffold.Question, def *string) (string, error) {
		if q.Name == "provider" {
			return "AWS", nil
		}
		return *def, nil
	}
	for name, c := range map[string]struct {
		typed map[string]string
		ask   scaffold.Ask
		want  map[string]string // what counts as typed at the end
		notes int
	}{
		"nobody is asked":         {typed(), nil, typed(), 1},
		"one confirms":            {typed(), enter, typed(), 1},
		"one says something else": {typed(), says, typed("provider=AWS"), 1},
		"typed, and alike":        {typed("region=eu-1", "home_volume=true"), nil, typed("region=eu-1", "home_volume=true"), 1},
		"typed, and another":      {typed("region=eu-2"), enter, typed("region=eu-2"), 2},
	} {
		t.Run(name, func(t *testing.T) {
			i := &interview{template: base, ask: c.ask, typed: c.typed}
			if _, err := i.names(); err != nil {
				t.Fatal(err)
			}
			if notes := i.take(&scaffold.Record{Answers: theirs}); len(notes) != c.notes {
				t.Errorf("it notes %q", notes)
			}
			answers, err := i.rest()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, i.typed); diff != "" {
				t.Error(diff)
			}
			if answers["org"] != "o" || answers["user"] != "vscode" || answers["project_type"] != "go" || answers["image"] != "mcr.microsoft.com/devcontainers/go:1.24-bookworm" {
				t.Errorf("%v", answers)
			}
		})
	}
}

// A bucket that is itself an answer is not looked for where the default has it.
func TestPlaced(t *testing.T) {
	const bucket = "  - {name: bucket, type: text, default: usual, help: x}\n  - {name: note, type: text, default: none, help: x}\n"
	const spec = "persistence: {remotes: {primary: {bucket: {{json .bucket}}}}}\n"
	mine := templateIn(t, bucket, spec)
	for name, c := range map[string]struct {
		template *scaffold.Template
		typed    map[string]string
		want     []string
	}{
		"not said": {mine, typed(), []string{"bucket"}},
		"said":     {mine, typed("bucket=other"), nil},
	} {
		i := &interview{template: c.template, typed: c.typed}
		answers, err := i.names()
		if err != nil {
			t.Fatal(err)
		}
		made, err := renderedFrom(t.TempDir(), c.template, answers)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, i.placed(made.spec)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
