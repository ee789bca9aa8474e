// Package hint carries the next step beside an error: what a person can do
// about it. Every program prints hints below the error, one a line.
package hint

import (
	"fmt"
	"strings"
	"unicode"
)

// hinted is an error with one next step.
type hinted struct {
	err  error
	step string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }

// Wrap adds a next step to err. A nil err stays nil.
func Wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hinted{err, fmt.Sprintf(format, args...)}
}

// Of returns the next steps that err and the errors it wraps or joins carry,
// outermost first, each once.
func Of(err error) []string {
	var steps []string
	seen := map[string]bool{}
	var walk func(error)
	walk = func(err error) {
		if err == nil {
			return
		}
		if h, ok := err.(*hinted); ok && !seen[h.step] {
			seen[h.step] = true
			steps = append(steps, h.step)
		}
		switch u := err.(type) {
		case interface{ WrappedErrors() []error }: // go-multierror, whose Unwrap is a chain
			for _, e := range u.WrappedErrors() {
				walk(e)
			}
		case interface{ Unwrap() error }:
			walk(u.Unwrap())
		case interface{ Unwrap() []error }:
			for _, e := range u.Unwrap() {
				walk(e)
			}
		}
	}
	walk(err)
	return steps
}

// Sentence is err with its next steps, on one line.
func Sentence(err error) string {
	return strings.Join(append([]string{err.Error()}, Of(err)...), "; ")
}

// plainWord reports whether a shell takes a name as one word, and as it is.
func plainWord(name string) bool {
	odd := func(c rune) bool {
		return !unicode.IsLetter(c) && !unicode.IsNumber(c) && !strings.ContainsRune("@%+=:,./_-", c)
	}
	return name != "" && name[0] != '-' && !strings.ContainsFunc(name, odd)
}

// Word is a name as a person can paste it into a shell, for the commands that next steps name.
func Word(name string) string {
	if plainWord(name) {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}
