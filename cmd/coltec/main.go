// Command coltec runs on the host: it makes workspaces, brings their containers
// up with their secrets, keeps them apart and shows them all. Its verbs are
// cmd_<verb>.go.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/secret"
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
	stdio                     // what others wrote goes through out and err, and comes out as text
	raw         stdio         // as they are: for JSON, colours, and what a file or a program is to get
	agreements                // of the user, and the environment that says where they are
	fileSecrets secret.Values // what --secrets-file has, once it was read
}

// newProgram makes one that cannot write more than text to a terminal by mistake.
func newProgram(io stdio, environ []string) *program {
	raw := io
	io.out, io.err = cmdline.PlainWriter{Writer: &cmdline.Answer{Writer: io.out}}, cmdline.PlainWriter{Writer: io.err}
	return &program{stdio: io, raw: raw, agreements: agreements{environment{environ}}}
}

// run is the whole program. Its result is the exit code (see codes).
func run(ctx context.Context, args []string, io stdio, environ []string) int {
	p := newProgram(io, environ)
	if words, ok := cmdline.Completing(args); ok {
		cmdline.Complete(p.out, newApp(p), words, completion{p}.words)
		return cmdline.CodeOK
	}
	ctx = rclone.Telling(ctx, func(path string) { p.say("waiting for the answer of %s version", hint.Word(path)) })
	return cmdline.Run(ctx, newApp(p), args, cmdline.CodeOf, syscall.SIGINT, syscall.SIGTERM)
}

// say prints a line of progress for a person.
func (p *program) say(format string, args ...any) {
	fmt.Fprintf(p.err, format+"\n", args...)
}

// verbatim is where the bytes of files go.
func (p *program) verbatim() io.Writer { return cmdline.Verbatim(p.out, p.raw.out) }

// printJSON answers in JSON.
func (p *program) printJSON(v any) error { return cmdline.PrintJSON(p.raw.out, v) }
