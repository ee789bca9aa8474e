// Command coltecd runs inside a dev container: it supervises what
// .devcontainer/workspace-spec.yaml asks for and keeps the workspace in its
// bucket. Its verbs are cmd_<verb>.go; wire.go joins the rooms.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/coltec/coltec/internal/cmdline"
)

func main() {
	os.Exit(run(context.Background(), os.Args, stdio{os.Stdin, os.Stdout, os.Stderr}, os.Environ()))
}

// stdio is where a person is: out takes the answer, err the talk.
type stdio struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// program is one call of coltecd: who called, with what.
type program struct {
	name string // as called: coltecd or coltec-daemon
	stdio
	environ []string
}

// errInterrupted is the cause of a context that Ctrl-C ended.
var errInterrupted = errors.New("interrupted")

// run is the whole program. Its result is the exit code (see codes).
func run(ctx context.Context, args []string, io stdio, environ []string) (code int) {
	p := &program{name: filepath.Base(args[0]), stdio: io, environ: environ}
	defer func() {
		if v := recover(); v != nil {
			p.fail(cmdline.Internal(v))
			code = codeFailed
		}
	}()
	ctx, stop := interruptible(ctx)
	defer stop()
	app := newApp(p)
	err := app.RunContext(ctx, cmdline.Arrange(app, args))
	if err != nil && errors.Is(context.Cause(ctx), errInterrupted) && !errors.As(err, new(exit)) {
		return codeInterrupted
	}
	p.fail(err)
	return codeOf(err)
}

// interruptible ends the context at Ctrl-C. The verbs that supervise take the
// signals over (see untilSignal).
func interruptible(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGINT)
	go func() {
		select {
		case <-c:
			cancel(errInterrupted)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(c)
		cancel(nil)
	}
}

// fail prints an error and its hints.
func (p *program) fail(err error) { cmdline.Fail(p.err, err) }

// say tells a person what goes on.
func (p *program) say(format string, args ...any) {
	fmt.Fprintln(p.err, cmdline.Plain(fmt.Sprintf(format, args...)))
}

// lookup gives a variable of the environment. An empty one counts as unset.
func (p *program) lookup(name string) (string, bool) { return cmdline.Lookup(p.environ, name) }

func (p *program) env(name string) string {
	v, _ := p.lookup(name)
	return v
}

// disabled tells whether COLTEC_DISABLED says so.
func (p *program) disabled() bool {
	switch strings.ToLower(strings.TrimSpace(p.env("COLTEC_DISABLED"))) {
	case "1", "true", "yes", "on":
		return true
	}
	return false
}
