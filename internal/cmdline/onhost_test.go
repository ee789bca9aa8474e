package cmdline

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/pkg/hint"
)

// A person on the host who had coltec carry out a verb in a container was told to type coltecd there.
func TestOnHost(t *testing.T) {
	app := &cli.App{Commands: []*cli.Command{
		{Name: "conflicts"}, {Name: "status"}, {Name: "verify"}, {Name: "agents"}, {Name: "checkpoint"}, {Name: "checkpoints"}, {Name: "keep", Hidden: true},
	}}
	for step, want := range map[string]string{
		"coltecd conflicts lists them":                         "coltec conflicts w lists them",
		"look again: coltecd conflicts show 'a b'":             "look again: coltec conflicts w show 'a b'",
		"look again: coltecd conflicts":                        "look again: coltec conflicts w",
		"see coltecd status and coltecd checkpoints":           "see coltec status w and coltec checkpoints w",
		"coltecd verify --repair brings back what it has":      "coltec exec w -- coltecd verify --repair brings back what it has",
		"coltecd agents check says where":                      "coltec agents check w says where",
		"coltecd agents resume codex":                          "coltec exec w -- coltecd agents resume codex",
		"coltecd checkpoint NAME":                              "coltec checkpoint w NAME",
		"wait until coltecd has begun, and coltecd is running": "wait until coltecd has begun, and coltecd is running",
		"coltecd keep is no verb of yours":                     "coltecd keep is no verb of yours",
		"coltecd conflicting":                                  "coltecd conflicting",
		`cannot read "a coltecd sync \"b": see coltecd status`: `cannot read "a coltecd sync \"b": see coltec status w`,
		"it is in 'a coltecd verify': coltecd's own; coltecd status says more, and coltecd conflicts '--all'": "it is in 'a coltecd verify': coltecd's own; coltec status w says more, and coltec conflicts w '--all'",
		"see coltecd conflicts --help": "see coltec conflicts w --help",
	} {
		if got := OnHost(app, "w")(step); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// The steps of an error are told so in both forms, in their order; what it says stays.
func TestToldOnHost(t *testing.T) {
	for _, line := range []string{"x verify", "x verify --json"} {
		var errs bytes.Buffer
		app := &cli.App{Name: "x", Writer: &errs, ErrWriter: &errs, ExitErrHandler: func(*cli.Context, error) {}, Commands: []*cli.Command{
			{Name: "verify", Flags: []cli.Flag{&cli.BoolFlag{Name: "json"}}, Action: func(*cli.Context) error {
				return Exit{Code: 7, Cause: hint.Wrap(hint.Wrap(errors.New("coltecd verify failed"), "second: coltecd status"), "coltecd verify --repair")}
			}},
			{Name: "status"},
		}}
		TellSteps(app, OnHost(app, "a w"))
		code := Run(t.Context(), app, strings.Fields(line), CodeOf)
		want := "error: coltecd verify failed\nhint: coltec exec 'a w' -- coltecd verify --repair\nhint: second: coltec status 'a w'\n"
		if strings.Contains(line, "json") {
			want = `{"error":{"message":"coltecd verify failed","hints":["coltec exec 'a w' -- coltecd verify --repair","second: coltec status 'a w'"],"exit":7}}` + "\n"
		}
		if errs.String() != want || code != 7 {
			t.Errorf("%s: exit %d, %q, want %q", line, code, errs.String(), want)
		}
	}
}
