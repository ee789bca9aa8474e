// Command coltec runs on the host: it makes workspaces, brings their containers
// up with their secrets, keeps them apart and shows them all. Its verbs are
// cmd_<verb>.go.
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

// program is one call of coltec: who called, with what.
type program struct {
	stdio
	environ []string
}

// run is the whole program. Its result is the exit code (see codes).
func run(ctx context.Context, args []string, io stdio, environ []string) int {
	p := &program{stdio: io, environ: environ}
	return cmdline.Run(ctx, newApp(p), args, cmdline.CodeOf, syscall.SIGINT, syscall.SIGTERM)
}

// say tells a person what goes on.
func (p *program) say(format string, args ...any) {
	fmt.Fprintln(p.err, cmdline.Plain(fmt.Sprintf(format, args...)))
}

// env gives a variable of the environment, "" when it is not set.
func (p *program) env(name string) string {
	v, _ := cmdline.Lookup(p.environ, name)
	return v
}

// printJSON answers in JSON.
func (p *program) printJSON(v any) error { return cmdline.PrintJSON(p.out, v) }

// binDirs are where the programs for containers may be: COLTEC_BIN, or beside
// this program.
func (p *program) binDirs() []string {
	if dir := p.env("COLTEC_BIN"); dir != "" {
		return []string{dir}
	}
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		return nil
	}
	return []string{filepath.Dir(self)}
}
