package status

import (
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/hint"
)

// AgentState is what an agent does, as its conversations, its program and its hooks tell.
type AgentState string

// The states of an agent.
const (
	AgentWorking AgentState = "working"       // a turn is under way
	AgentWaits   AgentState = "waits for you" // it runs, and goes on once it is answered
	AgentDone    AgentState = "done"          // the last turn has ended, and it does not run
	AgentFailed  AgentState = "failed"        // it ended in the middle of a turn, says that it failed, or cannot be started
	AgentNone    AgentState = "none"          // it has no conversation here
)

// AgentStates are those that an agent may report of itself, by the words of the command line.
var AgentStates = map[string]AgentState{"working": AgentWorking, "waits": AgentWaits, "done": AgentDone, "failed": AgentFailed}

// Agent is a coding agent of which what lies in the home is carried.
type Agent struct {
	Name         string     `json:"name"`
	State        AgentState `json:"state"`
	Since        *time.Time `json:"since,omitempty"`        // of the state, as far as this coltecd saw it; nil: none
	Talks        int        `json:"talks"`                  // conversations of this workspace; 0 where several lie in one file
	Conversation string     `json:"conversation,omitempty"` // the name of the one that grew last, where it has one of plain letters
	LastTurn     *time.Time `json:"last_turn,omitempty"`    // nil: there is none
	Resume       []string   `json:"resume"`                 // the command that goes on with the last one
}

// Sentence says who was at work and how to go on, as of now; "" where there is nothing to go
// on with: "claude: 1 conversation, last turn 12:03: claude --continue".
func (a Agent) Sentence(now time.Time) string {
	var parts []string
	switch {
	case a.LastTurn == nil && (a.State == AgentNone || a.State == ""):
		return ""
	case a.Talks > 0:
		parts = append(parts, hint.Count(a.Talks, "conversation", "conversations"))
	}
	if a.LastTurn != nil {
		parts = append(parts, "last turn "+clock(*a.LastTurn, now))
	}
	if a.State != AgentDone && a.State != AgentNone {
		parts = append(parts, string(a.State))
	}
	return a.Name + ": " + strings.Join(parts, ", ") + a.goOn()
}

// Need says what an agent needs of a person, as of now; "" for nothing: "claude waits for you
// since 12:03: claude --continue".
func (a Agent) Need(now time.Time) string {
	since := ""
	if a.Since != nil {
		since = " since " + clock(*a.Since, now)
	}
	switch a.State {
	case AgentWaits:
		return a.Name + " waits for you" + since + a.goOn()
	case AgentFailed:
		return a.Name + " has failed" + a.goOn()
	}
	return ""
}

func (a Agent) goOn() string {
	if len(a.Resume) == 0 {
		return ""
	}
	return ": " + strings.Join(a.Resume, " ")
}

// clock is a time for people, with its date where that is not today's.
func clock(t, now time.Time) string {
	t = t.In(now.Location())
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format("15:04")
	}
	return t.Format(time.DateOnly + " 15:04")
}
