package cmdline

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/pkg/hint"
)

// errInterrupted is the cause of a context that a signal ended.
var errInterrupted = errors.New("interrupted")

// Run is a whole program: it runs a command line, prints its error, and gives the
// exit code, which codeOf finds for an error. A panic is an error too. The signals
// end the context of a verb; one that takes them over itself may. A second one ends the program
// at once, as it does any other: the verb may be in the middle of what does not look at its context.
func Run(ctx context.Context, app *cli.App, args []string, codeOf func(error) int, signals ...os.Signal) (code int) {
	words := Arrange(app, args)
	plainSwitches(app.Flags, app.Commands)
	if app.Metadata == nil {
		app.Metadata = map[string]any{}
	}
	app.Metadata[givenWords] = words
	fail := func(w io.Writer, err error) { Fail(w, told(app, err)) }
	if wantsJSON(args) {
		fail = func(w io.Writer, err error) { failJSON(w, told(app, err), codeOf(err)) }
	}
	defer func() {
		if v := recover(); v != nil {
			fail(app.ErrWriter, Internal(v))
			code = CodeFailed
		}
	}()
	ctx, stop := interruptible(ctx, signals)
	defer stop()
	err := app.RunContext(ctx, words)
	if err != nil && (errors.Is(context.Cause(ctx), errInterrupted) || errors.Is(err, errInterrupted)) && !errors.As(err, new(Exit)) {
		return CodeInterrupted
	}
	if err == nil {
		err = arrived(app.Writer)
	}
	if _, gone := os.Getwd(); err != nil && errors.Is(gone, fs.ErrNotExist) {
		err = hint.Wrap(err, "the folder that you are in was removed: cd to another one")
	}
	fail(app.ErrWriter, err)
	return codeOf(err)
}

// plainSwitches has the help not say of each switch that it is off unless it is given.
func plainSwitches(flags []cli.Flag, commands []*cli.Command) {
	for _, f := range flags {
		if b, ok := f.(*cli.BoolFlag); ok && !b.Value {
			b.DisableDefaultText = true
		}
	}
	for _, c := range commands {
		plainSwitches(c.Flags, c.Subcommands)
	}
}

// wantsJSON reports whether a command line asks for an answer in JSON.
func wantsJSON(words []string) bool {
	for _, word := range words[1:] {
		if word == "--" {
			return false
		}
		if name, _ := flagName(word); name == "json" && strings.HasPrefix(word, "-") {
			return !strings.HasSuffix(word, "=false")
		}
	}
	return false
}

func interruptible(ctx context.Context, signals []os.Signal) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	c := make(chan os.Signal, 1)
	signal.Notify(c, signals...)
	go func() {
		select {
		case <-c:
			signal.Stop(c)
			cancel(errInterrupted)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(c)
		cancel(nil)
	}
}
