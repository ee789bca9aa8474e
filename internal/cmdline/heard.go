package cmdline

import (
	"context"
	"io"
	"time"
)

// WithInput is the variable by which coltec tells what it runs in a container to end with its input:
// docker exec leaves a program there when its own end comes, but closes its input.
const WithInput = "COLTEC_WITH_INPUT"

// UntilInputEnds is a context that ends, as at Ctrl-C, when in does. Nothing else reads in.
func UntilInputEnds(ctx context.Context, in io.Reader) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, in) // however it ends
		cancel(errInterrupted)
	}()
	return ctx
}

// heardEvery is how often it is looked whether anybody reads.
const heardEvery = 500 * time.Millisecond

// WhileHeard is a context that ends, as at Ctrl-C, when out is a pipe that nobody reads any more: who
// follows something that says nothing would never be told by a write.
func WhileHeard(ctx context.Context, out io.Writer) (heard context.Context, stop func()) {
	heard, cancel := context.WithCancelCause(ctx)
	go func() {
		for tick := time.NewTicker(heardEvery); ; {
			if unread(out) {
				cancel(errInterrupted)
			}
			select {
			case <-tick.C:
			case <-heard.Done():
				tick.Stop()
				return
			}
		}
	}()
	return heard, func() { cancel(nil) }
}
