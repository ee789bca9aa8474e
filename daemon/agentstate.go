package daemon

import (
	"time"

	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/talks"
)

const (
	// reportSlack is for how long after a report a conversation may grow by what belongs to
	// before it: an agent runs its hook while it writes the last lines.
	reportSlack = time.Second
	// waitSettles is for how long an agent waits before that is told to anybody: one that is run
	// for a single turn ends within that.
	waitSettles = 3 * time.Second
)

// report is what a hook of an agent said last.
type report struct {
	state status.AgentState
	at    time.Time // zero: nothing was said
}

// stateOf is what an agent does, by its conversations, by whether its program runs here, and by
// its hook:
//
//   - what the hook said counts until the conversation goes on with a turn after it, and only
//     while the program runs, but for a failure;
//   - a turn under way is work. One that went no further for two minutes was asked something
//     or interrupted while the program runs, and was cut off where it does not;
//   - without a turn the program waits for a person, where it runs.
func stateOf(f talks.Found, runs bool, said report) status.AgentState {
	if !said.at.IsZero() && (!f.Open || !f.Grew.After(said.at.Add(reportSlack))) {
		switch {
		case said.state == status.AgentFailed:
			return status.AgentFailed
		case !runs && said.state == status.AgentWorking && f.Open:
			return status.AgentFailed
		case !runs:
			return status.AgentDone
		case said.state != status.AgentDone: // else another one of it runs, or it is about to end
			return said.state
		}
		return status.AgentWaits
	}
	switch {
	case f.Working:
		return status.AgentWorking
	case f.Grew.IsZero() && f.Last.IsZero():
		return status.AgentNone
	case runs:
		return status.AgentWaits
	case f.Open:
		return status.AgentFailed
	}
	return status.AgentDone
}
