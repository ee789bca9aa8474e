package status

import (
	"fmt"
	"strings"
	"time"
)

// AgentState is what an agent does, as its conversations tell.
type AgentState string

// The states of an agent.
const (
	AgentWorking AgentState = "working" // a turn is under way
	AgentDone    AgentState = "done"    // the last turn has ended, or went no further
	AgentNone    AgentState = "none"    // it has no conversation here
)

// Agent is a coding agent of which what lies in the home is carried.
type Agent struct {
	Name     string     `json:"name"`
	State    AgentState `json:"state"`
	Talks    int        `json:"talks"`               // conversations of this workspace; 0 where several lie in one file
	LastTurn *time.Time `json:"last_turn,omitempty"` // nil: there is none
	Resume   []string   `json:"resume"`              // the command that goes on with the last one
}

// Sentence says who was at work and how to go on, as of now; "" where there is nothing to go
// on with: "claude: 1 conversation, last turn 12:03: claude --continue".
func (a Agent) Sentence(now time.Time) string {
	if a.LastTurn == nil {
		return ""
	}
	at, layout := a.LastTurn.In(now.Location()), time.DateOnly+" 15:04"
	if at.Format(time.DateOnly) == now.Format(time.DateOnly) {
		layout = "15:04"
	}
	count := ""
	switch a.Talks {
	case 0:
	case 1:
		count = "1 conversation, "
	default:
		count = fmt.Sprintf("%d conversations, ", a.Talks)
	}
	doing := ""
	if a.State == AgentWorking {
		doing = ", working"
	}
	return fmt.Sprintf("%s: %slast turn %s%s: %s", a.Name, count, at.Format(layout), doing, strings.Join(a.Resume, " "))
}
