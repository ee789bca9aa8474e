package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coltec/coltec/pkg/console"
	"github.com/coltec/coltec/pkg/hint"
)

// carrier runs this program for what a page asks.
type carrier struct {
	self     string
	environ  []string
	more     func(verb string) []string // flags that a verb gets beside its own
	patience time.Duration              // how long a program that was told to end has for that, and what it leaves behind to let go of its output; 0: parting
}

const (
	// parting is the usual patience.
	parting = 10 * time.Second
	// heldMost is how many bytes of a line are held: an answer in JSON may have a difference of
	// large texts in one.
	heldMost = 16 << 20
)

// carry runs a command line to its end, hands over what it prints, and gives its exit code. Nobody
// answers its questions: its input is empty.
func (k carrier) carry(ctx context.Context, argv []string, say func(console.Line)) (int, error) {
	words := append([]string{argv[0]}, k.more(argv[0])...)
	cmd := exec.CommandContext(ctx, k.self, append(words, argv[1:]...)...)
	if err := shadowed(argv); err != nil {
		return 0, err
	}
	patience := cmp.Or(k.patience, parting)
	cmd.Env, cmd.WaitDelay = k.environ, patience
	ownGroup(cmd)
	defer endsByTerm(cmd, patience)()
	var one sync.Mutex
	out, fail := &liner{one: &one, say: func(s string) { say(console.Line{Text: s}) }}, &liner{one: &one, say: func(s string) { say(console.Line{Text: s, Err: true}) }}
	cmd.Stdout, cmd.Stderr = out, fail
	err := cmd.Run()
	out.end()
	fail.end()
	var ended *exec.ExitError
	if errors.As(err, &ended) && ctx.Err() == nil && ended.Exited() {
		return ended.ExitCode(), nil
	}
	switch {
	case err != nil && ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.Is(err, exec.ErrWaitDelay): // it went well; what it has started, and left, has its output open
		err = nil
	}
	return 0, err
}

// shadowed is the error of the name of a workspace that is that of a folder below the current one, too:
// a verb takes that, and anybody who writes in this folder could have made it. What a page means by
// a name is the workspace that it shows; one that is here it names by its whole path.
func shadowed(argv []string) error {
	i := slices.Index(argv, "--")
	if i < 0 || i+1 == len(argv) {
		return nil
	}
	name, _, _ := strings.Cut(argv[i+1], "@")
	if filepath.IsAbs(name) || !isFolder(name) {
		return nil
	}
	return hint.Wrap(fmt.Errorf("a folder here has the name of the workspace %s, and would be taken for it", name), "start coltec ui in another folder")
}

// liner hands over lines.
type liner struct {
	one  *sync.Mutex // that say is called under: two outputs share it
	say  func(string)
	held []byte // of a line that has not ended
}

// Write implements io.Writer.
func (l *liner) Write(b []byte) (int, error) {
	from := len(l.held) // nothing before it ends a line
	l.held = append(l.held, b...)
	for {
		i := bytes.IndexByte(l.held[from:], '\n')
		switch {
		case i >= 0:
			i += from
		case len(l.held) > heldMost:
			i = len(l.held)
		default:
			return len(b), nil
		}
		l.give(l.held[:i])
		l.held, from = l.held[min(i+1, len(l.held)):], 0
	}
}

func (l *liner) give(line []byte) {
	l.one.Lock()
	defer l.one.Unlock()
	l.say(string(line))
}

// end hands over a last line that nothing ended.
func (l *liner) end() {
	if len(l.held) > 0 {
		l.give(l.held)
	}
}
