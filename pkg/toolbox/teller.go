package toolbox

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/coltec/coltec/internal/cmdline"
)

// Bounds of what an agent is told while it waits for a call.
const (
	burst     = 200         // so many notifications come as they are said,
	pace      = time.Second // and then one in this time
	linesHeld = 256         // that an agent has not taken yet: others are not told
)

// teller tells an agent what a program says, and that it goes on where it says nothing: many
// clients give up on a call of which they hear nothing for a minute. Who says something to it
// never waits for the agent.
type teller struct {
	lines chan string
	begun atomic.Bool
	ended chan struct{}
}

// newTeller tells nobody where tell is nil. tell may wait for the agent.
func newTeller(what string, beat time.Duration, tell func(message string)) *teller {
	t := &teller{lines: make(chan string, linesHeld), ended: make(chan struct{})}
	if tell == nil {
		close(t.ended)
		return t
	}
	go t.run(what, beat, tell)
	return t
}

// run is the goroutine that tells.
func (t *teller) run(what string, beat time.Duration, tell func(message string)) {
	defer close(t.ended)
	since, told, last := time.Now(), 0, time.Now()
	ticks := time.NewTicker(beat)
	defer ticks.Stop()
	for {
		var message string
		select {
		case line, more := <-t.lines:
			if !more {
				return
			}
			if told >= burst && time.Since(last) < pace {
				continue
			}
			message = line
		case <-ticks.C:
			if time.Since(last) < beat {
				continue
			}
			how := "waits for its turn"
			if t.begun.Load() {
				how = "is under way"
			}
			message = fmt.Sprintf("%s %s, for %s by now", what, how, cmdline.Span(time.Since(since)))
		}
		told, last = told+1, time.Now()
		tell(message)
	}
}

// say has a line told, or left out where too many wait to be.
func (t *teller) say(line string) {
	select {
	case t.lines <- line:
	default:
	}
}

// end returns when all has been told.
func (t *teller) end() {
	close(t.lines)
	<-t.ended
}

// notifying is how the agent of a call is told; nil where it did not ask for that.
func notifying(ctx context.Context, req *mcp.CallToolRequest) func(message string) {
	token := req.Params.GetProgressToken()
	if token == nil {
		return nil
	}
	said := 0.0
	return func(message string) {
		said++
		// Who does not take it is told all of it in the answer.
		_ = req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: token, Progress: said, Message: message})
	}
}
