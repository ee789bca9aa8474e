package toolbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/order"
)

// Bounds of a call.
const (
	questionPatience = 2 * time.Minute
	actionPatience   = 30 * time.Minute // a hop may build an image
	endPatience      = 10 * time.Second // from the interrupt to the kill
	answerMost       = 512 << 10        // bytes: more is of no use to an agent
	linesMost        = 50               // that a program says beside its answer: the last ones
	lineMost         = 4 << 10          // bytes of each
	progressMost     = 200              // notifications
)

// errLate is the cause of the end of a call that took too long.
var errLate = errors.New("it took too long")

// outcome is what came of a call.
type outcome struct {
	code  int // exit code
	json  bool
	text  string   // the answer
	cut   int64    // how many bytes of it there are more than fit
	notes []string // what was said beside it
	err   error
}

// run has the program carry an order out. It tells progress each line that is said beside the
// answer.
func (b *toolbox) run(ctx context.Context, o order.Order, argv []string, progress func(line string)) outcome {
	patience := questionPatience
	if o.Changes {
		patience = actionPatience
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errLate)
	defer cancel()
	answer, said := &kept{tail: !o.JSON()}, &lines{progress: progress}
	cmd := exec.CommandContext(ctx, b.Program, argv...)
	cmd.Env, cmd.Stdout, cmd.Stderr = b.Environ, answer, said
	cmd.Cancel = func() error { return interrupt(cmd.Process) }
	cmd.WaitDelay = endPatience
	err := cmd.Run()
	said.end()
	got := outcome{json: o.JSON(), text: answer.text.String(), cut: answer.cut, notes: said.list}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil && err != nil:
		got.err = stopped(o, context.Cause(ctx), patience)
	case err == nil:
	case errors.As(err, &exit):
		got.code = exit.ExitCode()
		if !o.Answered(got.code) || got.text == "" && o.JSON() {
			got.notes, got.err = failure(got.notes, got.code)
		}
	default:
		got.err = fmt.Errorf("cannot run %s: %w", b.Name, err)
	}
	return got
}

// stopped is the error of a call that was ended before its time.
func stopped(o order.Order, cause error, patience time.Duration) error {
	err := errors.New("cancelled")
	if errors.Is(cause, errLate) {
		err = fmt.Errorf("%s took longer than %s, and was interrupted", o.Name, patience)
	}
	if o.Changes {
		err = hint.Wrap(err, "some of it may have been done, and what coltecd had begun goes on: see status and checkpoints")
	}
	return err
}

// interrupt asks a program to end, as Ctrl-C does; where a system has no such thing, it ends it.
func interrupt(p *os.Process) error {
	if err := p.Signal(os.Interrupt); err == nil || errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return p.Kill()
}

// failure is what a program that failed says of it, with its hints, and what it said before.
func failure(notes []string, code int) (rest []string, err error) {
	rest = notes
	var hints []string
	for len(rest) > 0 && err == nil {
		last := rest[len(rest)-1]
		rest = rest[:len(rest)-1]
		if message, more, ok := inJSON(last); ok {
			hints, err = append(more, hints...), errors.New(message)
		} else if text, ok := strings.CutPrefix(last, "hint: "); ok {
			hints = append([]string{text}, hints...)
		} else if text, ok := strings.CutPrefix(last, "error: "); ok {
			err = errors.New(text)
		} else {
			hints, rest = nil, append(rest, last)
			break
		}
	}
	if err == nil {
		rest, err = notes, fmt.Errorf("it ended with exit code %d", code)
	}
	for _, h := range slices.Backward(hints) { // the outermost is the first
		err = hint.Wrap(err, "%s", h)
	}
	return rest, err
}

// lines are what a program says, line by line, as text.
type lines struct {
	progress func(line string)
	list     []string
	begun    bytes.Buffer
}

// Write implements io.Writer.
func (l *lines) Write(b []byte) (int, error) {
	for _, c := range b {
		switch {
		case c == '\n':
			l.end()
		case l.begun.Len() < lineMost:
			l.begun.WriteByte(c)
		}
	}
	return len(b), nil
}

// end ends a line.
func (l *lines) end() {
	line := strings.TrimSpace(cmdline.Plain(l.begun.String()))
	l.begun.Reset()
	if line == "" {
		return
	}
	if len(l.list) == linesMost {
		l.list = l.list[1:]
	}
	l.list = append(l.list, line)
	l.progress(line)
}

// kept is as much of an answer as fits: its beginning, or its end.
type kept struct {
	tail bool
	text bytes.Buffer
	cut  int64
}

// Write implements io.Writer. It takes everything: a program that is not listened to ends in the
// middle of what it does.
func (k *kept) Write(b []byte) (int, error) {
	n := len(b)
	if k.tail {
		k.text.Write(b)
		if over := k.text.Len() - answerMost; over > 0 {
			k.text.Next(over)
			k.cut += int64(over)
		}
		return n, nil
	}
	fits := min(n, answerMost-k.text.Len())
	k.text.Write(b[:fits])
	k.cut += int64(n - fits)
	return n, nil
}
