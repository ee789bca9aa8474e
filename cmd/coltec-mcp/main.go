// Command coltec-mcp serves the workspace that it is in to an agent, by the Model Context
// Protocol on standard input and output. coltecd mcp becomes it; the coltecd beside it does
// what the tools ask for.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/toolbox"
)

// version is set when a release is built.
var version = ""

// errInterrupted is the cause of an end by a signal.
var errInterrupted = errors.New("interrupted")

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, cmdline.PlainWriter{Writer: os.Stderr})) }

// run is the whole program. Its result is the exit code.
func run(args []string, in io.Reader, out, talk io.Writer) int {
	o := toolbox.Options{Environ: os.Environ(), Name: "coltecd", Version: version}
	flags := flag.NewFlagSet("coltec-mcp", flag.ContinueOnError)
	flags.SetOutput(talk)
	flags.BoolVar(&o.AllowAll, "allow-actions", false, "allow all tools")
	flags.Func("allow", "allow the tool `NAME` too (may be repeated)", func(name string) error {
		o.Allow = append(o.Allow, name)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return cmdline.CodeUsage
	}
	if flags.Arg(0) == "version" {
		fmt.Fprintln(out, "coltec-mcp version "+version)
		return cmdline.CodeOK
	}
	self, err := os.Executable()
	if err != nil {
		cmdline.Fail(talk, fmt.Errorf("cannot tell which program this is: %w", err))
		return cmdline.CodeFailed
	}
	o.Program = filepath.Join(filepath.Dir(self), "coltecd")
	ctx, stop := interruptible()
	defer stop()
	err = toolbox.Serve(ctx, o, in, out)
	if errors.Is(err, errInterrupted) {
		return cmdline.CodeInterrupted
	}
	cmdline.Fail(talk, err)
	return cmdline.CodeOf(err)
}

// interruptible is a context that SIGINT and SIGTERM end.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
			cancel(errInterrupted)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { signal.Stop(signals); cancel(nil) }
}
