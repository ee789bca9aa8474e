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
	"unicode/utf8"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/order"
)

// Bounds of a call.
const (
	answerMost = 512 << 10 // bytes: more is of no use to an agent
	linesMost  = 50        // that a program says beside its answer: the last ones
	lineMost   = 4 << 10   // bytes of each
	faultMost  = 64 << 10  // bytes of an error in JSON, which may quote two paths
)

// times are how long things may take.
type times struct {
	question time.Duration
	action   time.Duration
	parting  time.Duration // from the interrupt to the kill
	beat     time.Duration // until an agent is told that a call goes on
}

// usual are those of all but tests. A hop may build an image.
var usual = times{question: 2 * time.Minute, action: 30 * time.Minute, parting: 10 * time.Second, beat: 5 * time.Second}

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

// run has the program carry an order out. It says each line that comes beside the answer.
func (b *toolbox) run(ctx context.Context, o order.Order, argv []string, say func(line string)) outcome {
	patience := b.times.question
	if !o.ReadOnly() {
		patience = b.times.action
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errLate)
	defer cancel()
	answer, said := &kept{tail: !o.JSON()}, &lines{say: say}
	cmd := exec.CommandContext(ctx, b.Program, argv...)
	cmd.Env, cmd.Stdout, cmd.Stderr = b.Environ, answer, said
	cmd.Cancel = func() error { return interrupt(cmd.Process) }
	cmd.WaitDelay = b.times.parting
	err := runWithUs(cmd)
	said.end()
	got := outcome{json: o.JSON(), text: answer.text.String(), cut: answer.cut, notes: said.list}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil && err != nil:
		got.err = stopped(o, context.Cause(ctx), patience)
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // it ended well, and what it started holds its output
	case errors.As(err, &exit) && !exit.Exited():
		got.code = exit.ExitCode()
		got.err = begun(o, fmt.Errorf("%s was ended by somebody else: %s", o.Name, exit.ProcessState))
	case exit != nil:
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
	return begun(o, err)
}

// begun says of an order that did not come to its end what may have come of it.
func begun(o order.Order, err error) error {
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
	say   func(line string)
	list  []string
	begun bytes.Buffer
}

// Write implements io.Writer.
func (l *lines) Write(b []byte) (int, error) {
	for _, c := range b {
		switch {
		case c == '\n':
			l.end()
		case l.begun.Len() < faultMost:
			l.begun.WriteByte(c)
		}
	}
	return len(b), nil
}

// end ends a line. An error in JSON is the last one: it is whole, and part of the answer.
func (l *lines) end() {
	line := strings.TrimSpace(text(l.begun.String()))
	l.begun.Reset()
	if line == "" {
		return
	}
	_, _, isError := inJSON(line)
	if !isError {
		line = shortened(line)
		l.say(line)
	}
	if len(l.list) == linesMost {
		l.list = l.list[1:]
	}
	l.list = append(l.list, line)
}

// shortened is a line that is not longer than lineMost.
func shortened(line string) string {
	if len(line) <= lineMost {
		return line
	}
	cut := lineMost
	for !utf8.RuneStart(line[cut]) {
		cut--
	}
	return line[:cut] + "…"
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
