// Package agentpage shows what is known of agents. Both programs have a verb that does.
package agentpage

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/agents"
	"github.com/coltec/coltec/pkg/hint"
)

// Show is the verb: the agent of the first argument, or all, for people on w and in JSON on
// raw.
func Show(c *cli.Context, w, raw io.Writer) error {
	list, err := find(c.Args().First())
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return cmdline.PrintJSON(raw, list)
	}
	return show(w, list)
}

// Words are the known agents, as a shell completes their names.
func Words() (list []cmdline.Candidate) {
	for _, a := range agents.All() {
		list = append(list, cmdline.Candidate{Word: a.Name, Text: a.Title})
	}
	return list
}

// find are the agents to be shown: all for "". An error names those that are known.
func find(name string) ([]agents.Agent, error) {
	if name == "" {
		return agents.All(), nil
	}
	a, is := agents.Find(name)
	if !is {
		names := map[string]string{}
		for _, known := range agents.Names() {
			names[known] = known
		}
		text := "no agent is known as " + cmdline.OneLine(name)
		if near := cmdline.Nearest(name, names); near != "" {
			text += " (did you mean " + near + "?)"
		}
		return nil, hint.Wrap(cmdline.Usage("%s", text),
			"known are %s; another one takes an include in the spec: docs/agents.md", strings.Join(agents.Names(), ", "))
	}
	return []agents.Agent{a}, nil
}

// show shows one agent whole, and several as a table.
func show(w io.Writer, list []agents.Agent) error {
	if len(list) == 1 {
		return one(w, list[0])
	}
	t := cmdline.Table{{"NAME", "PROGRAM", "SEEN WITH", "GOES ON BY"}}
	for _, a := range list {
		t = append(t, []string{a.Name, a.Title, a.Seen, strings.Join(a.Resume, " ")})
	}
	_, err := fmt.Fprint(w, t)
	return err
}

func one(w io.Writer, a agents.Agent) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, as it was seen with version %s\n", a.Title, a.Seen)
	b.WriteString("\ntravels, of the home:\n")
	for _, p := range a.Carry {
		fmt.Fprintf(&b, "  %s\n", p)
	}
	b.WriteString("\nstays on each machine:\n")
	for _, l := range a.Leave {
		fmt.Fprintf(&b, "  %s: %s\n", l.Path, l.Why)
	}
	b.WriteString("\nlogins, which stay unless the spec says logins: travel:\n")
	for _, p := range a.Logins {
		fmt.Fprintf(&b, "  %s\n", p)
	}
	fmt.Fprintf(&b, "\n%s, where it is set, moves ~/%s: that does not travel then\n", a.Variable.Name, a.Variable.Instead)
	if a.Hooks.Form != "" {
		fmt.Fprintf(&b, "hooks: true in the spec has it tell what it does, by ~/%s\n", a.Hooks.File)
	}
	fmt.Fprintf(&b, "to go on with the last conversation: %s\n", strings.Join(a.Resume, " "))
	_, err := io.WriteString(w, b.String())
	return err
}
