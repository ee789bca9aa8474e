// Package clidoc writes the page about a command line, for the tests that hold
// the page to the program.
package clidoc

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

// Page is what the program does not say by itself.
type Page struct {
	Generator string // the command that writes the page anew
	Intro     string // after the usage line
	Codes     [][2]string
	Variables [][2]string
}

// Write makes the page.
func (p Page) Write(app *cli.App) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s: the command line\n\n<!-- Generated from the program: %s -->\n\n    %s\n\n%s\n", app.Name, p.Generator, app.UsageText, p.Intro)
	b.WriteString("The answer goes to standard output, everything else to standard error. With `--json` an error is\none line of JSON there, the last one: `{\"error\": {\"message\": \"…\", \"hints\": [\"…\"], \"exit\": 1}}`.\nTables are shortened to the width of a terminal (`--wide`: not); what goes elsewhere never is.\n\n")
	docFlags(&b, app.Flags)
	b.WriteString("\n## Verbs\n")
	for _, c := range app.VisibleCommands() {
		docVerb(&b, app.Name, c)
	}
	b.WriteString("\n## Exit codes\n\n| code | meaning |\n|---|---|\n")
	for _, c := range p.Codes {
		fmt.Fprintf(&b, "| %s | %s |\n", c[0], c[1])
	}
	b.WriteString("\n## Environment\n\nAn empty variable counts as unset.\n\n| variable | meaning |\n|---|---|\n")
	for _, v := range p.Variables {
		fmt.Fprintf(&b, "| `%s` | %s |\n", v[0], v[1])
	}
	return b.Bytes()
}

func docVerb(b *bytes.Buffer, program string, c *cli.Command) {
	fmt.Fprintf(b, "\n### %s\n", c.Name)
	docUse(b, program, c)
	for _, sub := range c.Subcommands {
		docUse(b, program+" "+c.Name, sub)
	}
}

func docUse(b *bytes.Buffer, program string, c *cli.Command) {
	fmt.Fprintf(b, "\n    %s\n\n%s.\n", strings.TrimSpace(program+" "+c.Name+" "+c.ArgsUsage), strings.ToUpper(c.Usage[:1])+c.Usage[1:])
	if len(c.VisibleFlags()) > 0 {
		b.WriteString("\n")
		docFlags(b, c.VisibleFlags())
	}
}

func docFlags(b *bytes.Buffer, flags []cli.Flag) {
	if len(flags) == 0 {
		return
	}
	b.WriteString("| flag | meaning |\n|---|---|\n")
	for _, f := range flags {
		names, text, _ := strings.Cut(f.String(), "\t")
		fmt.Fprintf(b, "| `%s` | %s |\n", names, strings.TrimSuffix(strings.TrimSpace(text), " (default: false)"))
	}
}
