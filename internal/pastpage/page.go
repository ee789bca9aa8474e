// Package pastpage shows what a bucket has of a workspace's past. Both programs have verbs
// that do.
package pastpage

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
)

// Page is a program with such verbs.
type Page struct {
	Program string // as it is called
	// Of is what stands before all arguments, with a space; "" where the workspace is the one
	// of the current directory.
	Of  string
	Out io.Writer // for people
	Raw io.Writer // for JSON, and for what a file or a program is to get
	Say func(format string, args ...any)
	// Asker asks the person at a terminal.
	Asker cmdline.Asker
	// Past is who answers, and how to say that no more is asked.
	Past func(*cli.Context) (past control.History, done func(), err error)
}

// arg is an argument after the workspace.
func (p Page) arg(c *cli.Context, i int) string { return c.Args().Get(i + len(strings.Fields(p.Of))) }

// args are those of a verb that takes the workspace alone.
func (p Page) args() string { return strings.TrimSpace(p.Of) }

// forms are the ways to call a verb, a line each.
func (p Page) forms(lines [][2]string) string {
	width := 0
	for i := range lines {
		if p.Of != "" {
			verb, rest, _ := strings.Cut(lines[i][0], " ")
			lines[i][0] = strings.TrimSpace(verb + " " + p.Of + rest)
		}
		width = max(width, len(lines[i][0]))
	}
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "%-*s  %s\n", width, l[0], l[1])
	}
	return b.String()
}

// call is a line that calls a verb, as an example.
func (p Page) call(line string) string {
	verb, rest, _ := strings.Cut(line, " ")
	return "  " + p.Program + " " + verb + " " + p.Of + rest
}

// here is a verb of this program, called for the workspace of a call, as a next step.
func (p Page) here(c *cli.Context, verb string) string {
	words := []string{p.Program, verb}
	if p.Of != "" {
		words = append(words, hint.Word(c.Args().First()))
	}
	return strings.Join(words, " ")
}

// verbatim writes the bytes of files.
func (p Page) verbatim(text string) { fmt.Fprint(cmdline.Verbatim(p.Out, p.Raw), text) }

// asked has a question answered.
func asked[Q, A any](p Page, c *cli.Context, ask func(control.History, context.Context, Q, func(string)) (A, error), req Q) (a A, err error) {
	past, done, err := p.Past(c)
	if err != nil {
		return a, err
	}
	defer done()
	return ask(past, c.Context, req, func(line string) { p.Say("%s", line) })
}
