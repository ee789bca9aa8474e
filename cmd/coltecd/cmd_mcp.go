package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/pkg/hint"
)

// toolsName is the program beside coltecd that serves tools: what it links is in the memory of
// nobody who does not use it.
const toolsName = "coltec-mcp"

func cmdMCP(p *program) *cli.Command {
	return &cli.Command{
		Name:  "mcp",
		Usage: "serve the workspace to an agent as tools, by the Model Context Protocol",
		Description: `An agent starts it and talks to it on standard input and output:

  claude mcp add coltec -- coltecd mcp
  codex mcp add coltec -- coltecd mcp

drop, join, pause, resume, rewind and take change what somebody works on: they are allowed by name, or all of
them. What the tools are: docs/tools.md.`,
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "allow", Usage: "allow the tool `NAME` too, which changes what somebody works on (may be repeated)"},
			&cli.BoolFlag{Name: "allow-actions", Usage: "allow all tools"},
		},
		Action: func(c *cli.Context) error { return p.mcp(c) },
	}
}

// mcp becomes the program that serves tools. It ends when that cannot be.
func (p *program) mcp(c *cli.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot tell which program this is: %w", err)
	}
	path := filepath.Join(filepath.Dir(self), toolsName)
	argv := []string{path}
	if c.Bool("allow-actions") {
		argv = append(argv, "--allow-actions")
	}
	for _, name := range c.StringSlice("allow") {
		argv = append(argv, "--allow="+name)
	}
	environ := p.environ
	if config := c.String("config"); config != "" {
		spec, err := p.realPath(config, "--config")
		if err != nil {
			return err
		}
		environ = append(environ[:len(environ):len(environ)], "COLTEC_CONFIG="+spec)
	}
	err = syscall.Exec(path, argv, environ)
	if errors.Is(err, fs.ErrNotExist) {
		return hint.Wrap(fmt.Errorf("there is no %s beside %s", toolsName, self), "coltec up on the host brings it into the container; a release has it")
	}
	return fmt.Errorf("cannot run %s: %w", path, err)
}
