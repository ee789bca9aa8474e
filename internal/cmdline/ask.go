package cmdline

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Asker asks the person at a terminal.
type Asker struct {
	In  io.Reader
	Err io.Writer // where questions are shown
}

// Question is answered by yes or no.
type Question struct {
	Text   string
	No     error // of any other answer than yes
	Nobody error // of nobody to ask
}

// Can reports whether there is a person to ask.
func (a Asker) Can() bool {
	in, ok := a.In.(*os.File)
	return ok && IsForeground(in)
}

// Agree asks for a yes; nil is one.
func (a Asker) Agree(ctx context.Context, q Question) error {
	if !a.Can() {
		return q.Nobody
	}
	yes, err := a.Yes(ctx, q.Text)
	if err == nil && !yes {
		err = q.No
	}
	return err
}

// Yes asks a person; only a word for yes is one.
func (a Asker) Yes(ctx context.Context, question string) (bool, error) {
	line, err := a.Line(ctx, question+" [y/N] ")
	answer := strings.ToLower(line)
	return answer == "y" || answer == "yes", err
}

// Line asks a person for a line, which comes without spaces around it.
func (a Asker) Line(ctx context.Context, question string) (string, error) {
	fmt.Fprint(a.Err, question)
	type line struct {
		text string
		err  error
	}
	got := make(chan line, 1)
	go func() { // Ctrl-C must end a read of the terminal
		s, err := bufio.NewReader(a.In).ReadString('\n')
		got <- line{s, err}
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.Err)
		return "", context.Cause(ctx)
	case l := <-got:
		if l.err != nil && !errors.Is(l.err, io.EOF) {
			return "", fmt.Errorf("cannot read the answer: %w", l.err)
		}
		return strings.TrimSpace(l.text), nil
	}
}
