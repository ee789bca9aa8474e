package daemon

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/coltec/coltec/pkg/control"
)

// ErrAtOnce is the end by a second signal.
var ErrAtOnce = errors.New("ended at once, by a second signal: what was not pushed is pushed after the next start")

// stopRequest asks run for the end.
type stopRequest struct {
	timeout time.Duration
	why     string
	by      os.Signal // nil: no signal asked
}

// handedOn is the signal by which the keeper hands on one of its own. Who ends all processes
// of a name, or of a service, sends both of us one: together they are the first.
const handedOn = syscall.SIGUSR2

// seconds reports of each further signal whether somebody asked again.
func (r stopRequest) seconds() func(os.Signal) bool {
	asked := map[bool]int{r.by == handedOn: 1}
	return func(sig os.Signal) bool {
		asked[sig == handedOn]++
		return r.by == nil || asked[sig == handedOn] > 1
	}
}

// termination is the end of a daemon, from the first request for it until nothing is left.
type termination struct {
	requests chan stopRequest // to run; has room for the one
	over     chan struct{}    // closed when nothing is left

	mu      sync.Mutex   // guards what follows
	begun   bool         // the end has begun, whoever asked for it
	say     func(string) // prints how the stop goes, for whoever asked for it; nil: nobody did over the socket
	outcome error        // what is on this machine only, or a lease that was not given back; nil: neither
}

func newTermination() termination {
	return termination{requests: make(chan stopRequest, 1), over: make(chan struct{})}
}

// request asks for the end on behalf of say, unless somebody did: then it reports false.
func (t *termination) request(timeout time.Duration, say func(string)) (first bool) {
	t.mu.Lock()
	first = t.say == nil
	if first {
		t.say = say
	}
	t.mu.Unlock()
	if first {
		t.requests <- stopRequest{timeout: timeout, why: "asked for"}
	}
	return first
}

// begin notes that the end has begun without a request: nothing else is begun from now on.
func (t *termination) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begun = true
}

// mute has the stop continue when whoever asked for it went away.
func (t *termination) mute() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.say = func(string) {}
}

// refusal is the error of a request that comes too late.
func (t *termination) refusal() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.say != nil || t.begun {
		return fmt.Errorf("coltecd is %w", control.ErrStopping)
	}
	return nil
}

// tell says to whoever waits for the stop how it goes.
func (t *termination) tell(text string) {
	t.mu.Lock()
	say := t.say
	t.mu.Unlock()
	if say != nil {
		say(text)
	}
}

// setOutcome notes how the stop ended; the first time counts.
func (t *termination) setOutcome(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.outcome == nil {
		t.outcome = err
	}
}

// result is the outcome, as far as it is known yet.
func (t *termination) result() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.outcome
}

// isOver reports whether nothing of coltecd is left but its answers.
func (t *termination) isOver() bool {
	select {
	case <-t.over:
		return true
	default:
		return false
	}
}
