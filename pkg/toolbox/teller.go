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
	pace  = time.Second            // from one notification to the next, and from the call to the first
	apart = 100 * time.Millisecond // from the last notification to the answer
)

// teller tells an agent the last that a program said, and that it goes on where it says nothing:
// many clients give up on a call of which they hear nothing for a minute. Who says something to it
// never waits for the agent.
//
// What is said right before the answer is in the answer alone. A client may read both at one time
// and see to the answer first: then the notification is of a call that it does not know, which is
// an error to some, and the end of the connection to others
// (https://github.com/modelcontextprotocol/typescript-sdk/issues/2580).
type teller struct {
	news  atomic.Pointer[string] // the last line, until it is told
	begun atomic.Bool
	over  chan struct{}
	ended chan struct{}
}

// newTeller tells nobody where tell is nil. tell may wait for the agent.
func newTeller(what string, beat time.Duration, tell func(message string)) *teller {
	t := &teller{over: make(chan struct{}), ended: make(chan struct{})}
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
	since := time.Now()
	last, told := since, false
	every := min(pace, beat)
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		select {
		case <-t.over:
			if told {
				time.Sleep(apart - time.Since(last))
			}
			return
		case <-ticks.C:
		}
		line := t.news.Swap(nil)
		switch {
		case line != nil:
			tell(*line)
		case time.Since(last) < beat-every/2: // what was told was told a little after its tick
			continue
		case t.begun.Load():
			tell(fmt.Sprintf("%s is under way, for %s by now", what, cmdline.Span(time.Since(since))))
		default:
			tell(fmt.Sprintf("%s waits for its turn, for %s by now", what, cmdline.Span(time.Since(since))))
		}
		last, told = time.Now(), true
	}
}

// say has a line told, unless another is said before it is time.
func (t *teller) say(line string) { t.news.Store(&line) }

// end returns when nothing more is told, and the answer may be.
func (t *teller) end() {
	close(t.over)
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
