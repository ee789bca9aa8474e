// Command coltec-mcp serves the workspace that it is in to an agent, by the Model Context
// Protocol on standard input and output. coltecd mcp becomes it; the coltecd beside it does
// what the tools ask for.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/toolbox"
)

// version is set when a release is built.
var version = "dev"

func main() {
	os.Exit(cmdline.Run(context.Background(), newApp(), os.Args, cmdline.CodeOf, syscall.SIGINT, syscall.SIGTERM))
}

// newApp is the command line. coltecd mcp says what its flags mean.
func newApp() *cli.App {
	return &cli.App{
		Name:                      "coltec-mcp",
		Usage:                     "what coltecd mcp becomes",
		Version:                   version,
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true,
		ErrWriter:                 cmdline.PlainWriter{Writer: os.Stderr},
		ExitErrHandler:            func(*cli.Context, error) {}, // the default ends the process
		OnUsageError:              cmdline.OnUsageError,
		Flags:                     []cli.Flag{&cli.StringSliceFlag{Name: "allow"}, &cli.BoolFlag{Name: "allow-actions"}},
		Commands: []*cli.Command{{Name: "version", Action: func(c *cli.Context) error {
			_, err := fmt.Fprintln(c.App.Writer, "coltec-mcp version "+version)
			return err
		}}},
		Action: serve,
	}
}

func serve(c *cli.Context) error {
	if c.Args().Present() {
		return cmdline.NoVerb(c)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot tell which program this is: %w", err)
	}
	return toolbox.Serve(c.Context, toolbox.Options{
		Program: filepath.Join(filepath.Dir(self), "coltecd"), Environ: os.Environ(), Name: "coltecd", Version: version,
		Allow: c.StringSlice("allow"), AllowAll: c.Bool("allow-actions"),
	}, os.Stdin, os.Stdout)
}
