package cmdline

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

// Manual is what a manual page has beside the verbs and flags of a program. (urfave/cli makes
// one by Markdown and a converter of that, which would be linked for it alone.)
type Manual struct {
	Codes     [][2]string // exit codes and what they mean
	Variables [][2]string // of the environment
	See       string      // other pages: "coltecd(1)"
}

// ManCommand is the hidden verb that prints the manual page.
func ManCommand(out io.Writer, m Manual) *cli.Command {
	return &cli.Command{
		Name: "man", Hidden: true,
		Usage: "print the manual page, for man -l or a directory of MANPATH",
		Action: func(c *cli.Context) error {
			_, err := io.WriteString(out, m.Page(c.App))
			return err
		},
	}
}

// Page is the manual page of a program, in the macros of man(7).
func (m Manual) Page(app *cli.App) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 1 \"\" %s \"Coltec\"\n", strings.ToUpper(roff(app.Name)), quoted(app.Name+" "+app.Version))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(app.Name), roff(app.Usage))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", roff(app.UsageText))
	b.WriteString(".SH DESCRIPTION\nThe answer goes to standard output, everything else to standard error. With\n.B \\-\\-json\nan error is one line of JSON there.\n")
	if flags := shown(app.Flags); len(flags) > 0 {
		b.WriteString(".SH OPTIONS\n")
		manFlags(&b, flags)
	}
	b.WriteString(".SH VERBS\n")
	for _, c := range app.VisibleCommands() {
		if len(c.Subcommands) == 0 {
			manVerb(&b, app.Name+" "+c.Name, c)
		}
		for _, sub := range c.Subcommands {
			manVerb(&b, app.Name+" "+c.Name+" "+sub.Name, sub)
		}
	}
	manList(&b, "EXIT STATUS", m.Codes)
	manList(&b, "ENVIRONMENT", m.Variables)
	fmt.Fprintf(&b, ".SH SEE ALSO\n%s\n", roff(m.See))
	return b.String()
}

func manVerb(b *strings.Builder, name string, c *cli.Command) {
	fmt.Fprintf(b, ".SS %s\n%s.\n", quoted(strings.TrimSpace(name+" "+c.ArgsUsage)), roff(strings.ToUpper(c.Usage[:1])+c.Usage[1:]))
	if c.Description != "" {
		fmt.Fprintf(b, ".PP\n.nf\n%s\n.fi\n", roff(strings.TrimSpace(c.Description)))
	}
	manFlags(b, c.VisibleFlags())
}

func shown(flags []cli.Flag) (list []cli.Flag) {
	for _, f := range flags {
		if v, ok := f.(cli.VisibleFlag); !ok || v.IsVisible() {
			list = append(list, f)
		}
	}
	return list
}

func manFlags(b *strings.Builder, flags []cli.Flag) {
	for _, f := range flags {
		names, text, _ := strings.Cut(f.String(), "\t")
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(names), roff(strings.TrimSuffix(strings.TrimSpace(text), " (default: false)")))
	}
}

func manList(b *strings.Builder, head string, rows [][2]string) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(b, ".SH %q\n", head)
	for _, row := range rows {
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(row[0]), roff(row[1]))
	}
}

// quoted is a text as one argument of a macro.
func quoted(s string) string { return `"` + strings.ReplaceAll(roff(s), `"`, `\(dq`) + `"` }

// roff is a text in which nothing is a request.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", `\&...`, "'", `\(aq`, "~", `\(ti`, "^", `\(ha`, "`", `\(ga`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		if line = strings.TrimRight(line, " "); strings.HasPrefix(line, ".") {
			line = `\&` + line
		}
		lines[i] = line
	}
	return strings.Join(lines, "\n")
}
