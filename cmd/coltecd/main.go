// Command coltecd runs inside a dev container: it supervises what
// .devcontainer/workspace-spec.yaml asks for and keeps the workspace in its
// bucket. Its verbs are cmd_<verb>.go; the room daemon does the work.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
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
	name    string // as called: coltecd or coltec-daemon
	stdio          // what others wrote goes through out and err, and comes out as text
	raw     stdio  // as they are: for JSON, colours, and what a file or a program is to get
	environ []string
	steps   func(string) string // how commands are told to a person on the host; nil: the caller is here
}

// newProgram makes one that cannot write more than text to a terminal by mistake.
func newProgram(io stdio, environ []string) *program {
	raw := io
	io.out, io.err = cmdline.PlainWriter{Writer: &cmdline.Answer{Writer: io.out}}, cmdline.PlainWriter{Writer: io.err}
	return &program{stdio: io, raw: raw, environ: environ}
}

// run is the whole program. Its result is the exit code (see codes). The verbs that
// supervise take signals over (see daemon.run).
func run(ctx context.Context, args []string, io stdio, environ []string) int {
	p := newProgram(io, environ)
	p.name = filepath.Base(args[0])
	if words, ok := cmdline.Completing(args); ok {
		cmdline.Complete(p.out, newApp(p), words, completer{p}.wordsFor)
		return codeOK
	}
	if cmdline.Yes(p.env(cmdline.WithInput)) {
		ctx = cmdline.UntilInputEnds(ctx, io.in)
	}
	app := newApp(p)
	if workspace := p.env(cmdline.ForHost); workspace != "" {
		p.steps = cmdline.OnHost(app, workspace)
		cmdline.TellSteps(app, p.steps)
	}
	return cmdline.Run(ctx, app, args, codeOf, syscall.SIGINT)
}

// say prints a line of progress for a person.
func (p *program) say(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if p.steps != nil {
		line = p.steps(line)
	}
	fmt.Fprintln(p.err, line)
}

// lookup gives a variable of the environment. An empty one counts as unset.
func (p *program) lookup(name string) (string, bool) { return cmdline.Lookup(p.environ, name) }

func (p *program) env(name string) string {
	v, _ := p.lookup(name)
	return v
}

// disabled reports whether COLTEC_DISABLED is set to a yes.
func (p *program) disabled() bool {
	return cmdline.Yes(p.env("COLTEC_DISABLED"))
}
