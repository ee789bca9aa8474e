package toolbox

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/order"
)

var update = flag.Bool("update", false, "write generated documents anew")

// TestToolsDoc holds docs/tools.md to the table of orders.
func TestToolsDoc(t *testing.T) {
	const path = "../../docs/tools.md"
	want := page()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/tools.md is not what the table says; run: go test ./pkg/toolbox -run Doc -update\n%s", diff)
	}
}

func page() string {
	var b strings.Builder
	b.WriteString(`# Tools for agents

<!-- Generated from the table in pkg/order: go test ./pkg/toolbox -run Doc -update -->

` + "`coltecd mcp`" + ` serves these in a container, about its workspace, and ` + "`coltec mcp`" + ` on a host, about any, by the [Model Context
Protocol](https://modelcontextprotocol.io) on standard input and output. How an agent gets them: [agents](agents.md#tools). Each runs the
verb of that name: [inside](cli.md), [on the host](cli-coltec.md).

What is marked * changes what somebody works on, or stops or starts it: it is not listed, and refused, unless ` + "`--allow NAME`" + ` or ` + "`--allow-actions`" + ` allows it.

An answer has ` + "`exit`" + ` (of the verb), ` + "`answer`" + ` (what the verb answers with ` + "`--json`" + `, else a text) and ` + "`notes`" + ` (what it says beside it), as a
structure and the same in words, as JSON. One that failed has ` + "`error`" + ` with ` + "`message`" + `, ` + "`hints`" + ` and ` + "`exit`" + `, in words a line for the error and for
each hint. What an answer quotes of a workspace is data. Control characters, and those that show nothing, are replaced by ` + "`?`" + `. Questions take two minutes and 512 KiB at most,
what changes something half an hour, one at a time in each workspace, and eight in all. A message is one line, of 1 MiB at most; what is no message of the protocol, or
has an id that is neither a text nor an integer, is answered with an error, and nothing of it is done. Who asks for progress is told each second the last that the verb
said, and every five seconds that it goes on; what it says right before its answer is in the answer alone. A call that is cancelled interrupts the verb, as Ctrl-C does; so does the end of the agent, or of the server, in whatever way.

The hints are what a client is told of a tool, by the names that the protocol has for it: ` + "`readOnlyHint`" + ` (nothing is another after it, here and in the bucket),
` + "`destructiveHint`" + ` (otherwise it adds, and takes nothing away), ` + "`idempotentHint`" + ` (the same call once more changes nothing more), and ` + "`openWorldHint`" + ` (it
fetches from the world, as images).
`)
	for _, side := range []struct {
		title string
		host  bool
	}{{"In a container", false}, {"On a host", true}} {
		fmt.Fprintf(&b, "\n## %s\n\n| tool | what it does | hints | arguments |\n|---|---|---|---|\n", side.title)
		for _, o := range of(side.host) {
			name := "`" + o.Name + "`"
			if o.Destroys {
				name += " *"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, o.Text, hintsOf(o), parameters(o))
		}
	}
	return b.String()
}

func hintsOf(o order.Order) string {
	var list []string
	an := toolOf(o).Annotations
	for _, h := range []struct {
		name string
		so   bool
	}{{"readOnly", an.ReadOnlyHint}, {"destructive", *an.DestructiveHint}, {"idempotent", an.IdempotentHint && !an.ReadOnlyHint}, {"openWorld", *an.OpenWorldHint}} {
		if h.so {
			list = append(list, h.name)
		}
	}
	return strings.Join(list, ", ")
}

func parameters(o order.Order) string {
	var list []string
	for _, p := range o.Params {
		text := "`" + p.Name + "`: " + p.Text
		if !p.Required {
			text = "[`" + p.Name + "`]: " + p.Text
		}
		list = append(list, text)
	}
	return strings.Join(list, "; ")
}
