package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"
)

// TestCLIDoc holds docs/cli.md to the program. Run it with -update to write the
// page anew.
func TestCLIDoc(t *testing.T) {
	const path = "../../docs/cli.md"
	want := cliDoc()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("docs/cli.md is not what the program says; run: go test ./cmd/coltecd -run CLIDoc -update\n%s", diff)
	}
}

// cliDoc is the page.
func cliDoc() []byte {
	app := newApp(&program{name: "coltecd"})
	var b bytes.Buffer
	b.WriteString("# coltecd: the command line\n\n")
	b.WriteString("<!-- Generated from the program: go test ./cmd/coltecd -run CLIDoc -update -->\n\n")
	fmt.Fprintf(&b, "    %s\n\n`coltec-daemon` is the same program. Flags may come before or after arguments.\n", app.UsageText)
	b.WriteString("The answer goes to standard output, everything else to standard error.\n\n")
	docFlags(&b, app.Flags)
	b.WriteString("\n## Verbs\n")
	for _, c := range app.VisibleCommands() {
		docVerb(&b, c)
	}
	b.WriteString("\n## Exit codes\n\n| code | meaning |\n|---|---|\n")
	for _, c := range codes {
		fmt.Fprintf(&b, "| %d | %s |\n", c.code, c.text)
	}
	b.WriteString("\n## Environment\n\nAn empty variable counts as unset.\n\n| variable | meaning |\n|---|---|\n")
	for _, v := range variables {
		fmt.Fprintf(&b, "| `%s` | %s |\n", v.name, v.text)
	}
	return b.Bytes()
}

func docVerb(b *bytes.Buffer, c *cli.Command) {
	usage := strings.TrimSpace("coltecd " + c.Name + " " + c.ArgsUsage)
	fmt.Fprintf(b, "\n### %s\n\n    %s\n\n%s.\n", c.Name, usage, strings.ToUpper(c.Usage[:1])+c.Usage[1:])
	if len(c.VisibleFlags()) > 0 {
		b.WriteString("\n")
		docFlags(b, c.VisibleFlags())
	}
}

func docFlags(b *bytes.Buffer, flags []cli.Flag) {
	b.WriteString("| flag | meaning |\n|---|---|\n")
	for _, f := range flags {
		names, text, _ := strings.Cut(f.String(), "\t")
		fmt.Fprintf(b, "| `%s` | %s |\n", names, strings.TrimSuffix(strings.TrimSpace(text), " (default: false)"))
	}
}

func TestEveryVerbIsInAFileOfItsName(t *testing.T) {
	shared := map[string]string{"pause": "units", "resume": "units", "restart": "units", "reload": "units", "version": "version"}
	for _, c := range newApp(&program{}).VisibleCommands() {
		name := c.Name
		if shared[name] != "" {
			name = shared[name]
		}
		if _, err := os.Stat("cmd_" + name + ".go"); err != nil {
			t.Error(err)
		}
	}
}
