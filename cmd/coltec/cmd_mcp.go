package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/pkg/toolbox"
)

func cmdMCP(p *program) *cli.Command {
	return &cli.Command{
		Name:  "mcp",
		Usage: "serve the workspaces to an agent as tools, by the Model Context Protocol",
		Description: `An agent of this host starts it and talks to it on standard input and output:

  claude mcp add coltec -- coltec mcp
  codex mcp add coltec -- coltec mcp

In a container it is coltecd mcp, which is about the workspace there. ` + strings.Join(toolbox.Allowable(true), ", ") + `
change what somebody works on: they are allowed by name, or all of them. What the tools are: docs/tools.md.`,
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "allow", Usage: "allow the tool `NAME` too, which changes what somebody works on (may be repeated)"},
			&cli.BoolFlag{Name: "allow-actions", Usage: "allow all tools"},
		},
		Action: func(c *cli.Context) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("cannot tell which program this is: %w", err)
			}
			return toolbox.Serve(c.Context, toolbox.Options{
				Program: self, Environ: p.environ, Host: true, Name: "coltec", Version: release(),
				Allow: c.StringSlice("allow"), AllowAll: c.Bool("allow-actions"), Which: p.idOf,
			}, p.raw.in, p.raw.out)
		},
	}
}

// idOf is the org/project/env of a workspace that may be named by its folder or a part of its name,
// too; what names none here is as it is.
func (v environment) idOf(ctx context.Context, name string) string {
	w, err := v.open(ctx, name)
	if err != nil {
		return name // the verb says what is wrong
	}
	return w.spec.ID()
}
