package cmdline

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"
)

// Who follows ends when nobody reads any more, whatever is written, and goes on as long as somebody may.
func TestWhileHeard(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, out := range []io.Writer{w, file, io.Discard} {
		if unread(out) {
			t.Errorf("nobody reads %T", out)
		}
	}
	heard, stop := WhileHeard(t.Context(), w)
	defer stop()
	r.Close()
	select {
	case <-heard.Done():
	case <-time.After(time.Minute):
		t.Fatal("nobody reads, and it goes on")
	}
	if !errors.Is(context.Cause(heard), errInterrupted) {
		t.Errorf("it ends with %v", context.Cause(heard))
	}
	other, stop := WhileHeard(t.Context(), file)
	stop()
	if <-other.Done(); errors.Is(context.Cause(other), errInterrupted) {
		t.Error("a stop is an interrupt")
	}
}

func TestUntilInputEnds(t *testing.T) {
	in, says := io.Pipe()
	ctx := UntilInputEnds(t.Context(), in)
	if _, err := io.WriteString(says, "this is for nobody"); err != nil || ctx.Err() != nil {
		t.Errorf("%v, %v", err, ctx.Err())
	}
	says.Close()
	select {
	case <-ctx.Done():
	case <-time.After(time.Minute):
		t.Fatal("the end of input does not end it")
	}
	if !errors.Is(context.Cause(ctx), errInterrupted) {
		t.Errorf("it ends with %v", context.Cause(ctx))
	}
}
