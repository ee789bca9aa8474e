package cmdline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/pkg/hint"
)

// Who asks for JSON gets errors in it, too: on standard error, in one line. Who does not gets
// words.
func TestErrorsInJSON(t *testing.T) {
	for _, c := range []struct {
		line    string
		message string // "": no JSON
		hints   []string
		exit    int
	}{
		{"x fails --json", "a\nb <c> \ufffd", []string{"do d"}, CodeFailed},
		{"x --json fails", "a\nb <c> \ufffd", []string{"do d"}, CodeFailed},
		{"x fails -json=true", "a\nb <c> \ufffd", []string{"do d"}, CodeFailed},
		{"x fails --jsno --json", "unknown flag -jsno", []string{"see x fails --help"}, CodeUsage},
		{"x nothing --json", `unknown verb "nothing"`, []string{"see x --help"}, CodeUsage},
		{"x fails more --json", `fails does not take the argument "more"`, []string{"see x fails --help"}, CodeUsage},
		{"x panics --json", "internal error: broken", []string{}, CodeFailed},
		{"x fails", "", nil, CodeFailed},
		{"x fails --json=false", "", nil, CodeFailed},
		{"x takes -- --json", "", nil, CodeFailed},
		{"x quiet --json", "", nil, 3},
	} {
		var out, errs bytes.Buffer
		code := Run(t.Context(), failing(&out, &errs), strings.Fields(c.line), CodeOf)
		if code != c.exit || out.Len() > 0 {
			t.Errorf("%s: exit %d, %q", c.line, code, out.String())
		}
		var f Failure
		err := json.Unmarshal(errs.Bytes(), &f)
		switch {
		case c.message == "" && err == nil:
			t.Errorf("%s: %s", c.line, errs.String())
		case c.message != "" && (err != nil || f.Error.Message != c.message || !slices.Equal(f.Error.Hints, c.hints) || f.Error.Hints == nil || f.Error.Exit != c.exit || strings.Count(errs.String(), "\n") != 1):
			t.Errorf("%s: %v, %s", c.line, err, errs.String())
		}
	}
}

// failing is a program whose verbs do.
func failing(out, errs *bytes.Buffer) *cli.App {
	do := func(err error) cli.ActionFunc { return func(*cli.Context) error { return err } }
	app := &cli.App{Name: "x", Writer: out, ErrWriter: PlainWriter{errs}, HideHelpCommand: true, OnUsageError: OnUsageError, Action: NoVerb, ExitErrHandler: func(*cli.Context, error) {}}
	failure := hint.Wrap(fmt.Errorf("a\n%w", errors.New("b <c> \xff")), "do d")
	app.Commands = []*cli.Command{
		{Name: "fails", Action: do(failure)}, {Name: "takes", ArgsUsage: "[X…]", Action: do(failure)}, {Name: "quiet", Action: do(Exit{Code: 3})},
		{Name: "panics", Action: func(*cli.Context) error { panic("broken") }},
	}
	for _, c := range app.Commands {
		c.Flags = []cli.Flag{&cli.BoolFlag{Name: "json"}}
		c.OnUsageError, c.Before, c.HideHelpCommand = OnUsageError, CheckCount(c), true
	}
	return app
}
