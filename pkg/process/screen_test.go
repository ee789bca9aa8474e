package process

import (
	"syscall"
	"testing"

	"github.com/coltec/coltec/internal/sample"
)

// A child on a terminal has one, is the leader of its session, and what it draws comes as text;
// its end is told, and nothing of it is left.
func TestScreen(t *testing.T) {
	sample.Long(t)
	out := newOutput()
	script := `test -t 0 && test -t 1 && test -t 2 && printf '\033[1mdrawn\033[0m at %s\r\n' "$(stty size)"; sleep 1000 & wait`
	c, err := Start(Spec{Argv: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, Screen: true, Quiet: true}, out)
	if err != nil {
		t.Fatal(err)
	}
	out.expect(t, "drawn at 48 160\n")
	c.Signal(syscall.SIGTERM)
	within(t, "its end", func() { c.Wait() })
	if c.Left() {
		c.Signal(syscall.SIGKILL)
	}
	within(t, "the rest", c.Reap)
}
