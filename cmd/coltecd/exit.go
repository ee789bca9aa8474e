package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/coltec/coltec/pkg/control"
)

// The exit codes; codes says what they mean.
const (
	codeOK          = 0
	codeFailed      = 1
	codeUsage       = 2
	codeStopped     = 3
	codeUnknown     = 4
	codeInvalid     = 5
	codeInterrupted = 130
)

// codes is the one table of exit codes, printed by --help and in docs/cli.md.
var codes = []struct {
	code int
	text string
}{
	{codeOK, "done; status: running, and nothing needs attention"},
	{codeFailed, "failed; status: running, and something needs attention"},
	{codeUsage, "wrong usage"},
	{codeStopped, "status: not running, or disabled"},
	{codeUnknown, "status: cannot tell"},
	{codeInvalid, "the spec is not valid"},
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

// exit is an error with a code of its own. Without a cause nothing is printed:
// the answer said it all.
type exit struct {
	code  int
	cause error
}

func (e exit) Error() string {
	if e.cause == nil {
		return ""
	}
	return e.cause.Error()
}
func (e exit) Unwrap() error { return e.cause }

// usage is the error of a wrong call.
func usage(format string, args ...any) error {
	return exit{codeUsage, fmt.Errorf(format, args...)}
}

// internal is the error of a panic.
func internal(v any) error { return fmt.Errorf("internal error: %v", v) }

// codeOf gives the exit code of an error.
func codeOf(err error) int {
	var e exit
	switch {
	case err == nil:
		return codeOK
	case errors.As(err, &e):
		return e.code
	case errors.Is(err, control.ErrInvalidSpec):
		return codeInvalid
	default:
		return codeFailed
	}
}
