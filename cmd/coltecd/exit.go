package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/control"
)

// The exit codes; codes has what they mean.
const (
	codeOK          = cmdline.CodeOK
	codeFailed      = cmdline.CodeFailed
	codeUsage       = cmdline.CodeUsage
	codeStopped     = 3
	codeUnknown     = 4
	codeInvalid     = 5
	codeOnlyHere    = cmdline.CodeOnlyHere
	codeTimeout     = cmdline.CodeTimeout
	codeKept        = cmdline.CodeKept
	codeInterrupted = cmdline.CodeInterrupted
)

// codes is the one table of exit codes, printed by --help and in docs/cli.md.
var codes = []struct {
	code int
	text string
}{
	{codeOK, "done; status: running, and nothing needs attention"},
	{codeFailed, "failed; status: running, and something needs attention"},
	{codeUsage, "wrong usage"},
	{codeStopped, "status, wait: not running, or disabled"},
	{codeUnknown, "status: cannot tell"},
	{codeInvalid, "the spec is not valid"},
	{codeOnlyHere, "sync, stop, run, restart REPLICA: done, but something is on this machine only; what is known of it is named"},
	{codeTimeout, "start --wait, wait: not so far within --timeout; it continues in the background"},
	{codeKept, "stop, run: everything is in the bucket, but the lease could not be given back; another machine waits until it runs out"},
	{codeInterrupted, "interrupted (Ctrl-C)"},
}

// codeTable is the table as text.
func codeTable(indent string) string {
	var b strings.Builder
	for _, c := range codes {
		fmt.Fprintf(&b, "%s%-3d  %s\n", indent, c.code, c.text)
	}
	return b.String()
}

// exit is an error with a code of its own.
type exit = cmdline.Exit

// codeOf gives the exit code of an error.
func codeOf(err error) int {
	switch {
	case errors.As(err, new(exit)):
		return cmdline.CodeOf(err)
	case errors.Is(err, control.ErrInvalidSpec):
		return codeInvalid
	case errors.Is(err, account.ErrOnlyHere):
		return codeOnlyHere
	case errors.Is(err, account.ErrKept):
		return codeKept
	}
	return cmdline.CodeOf(err)
}
