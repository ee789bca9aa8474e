package status

import (
	"testing"
	"time"
)

func TestAgentSentence(t *testing.T) {
	zone := time.FixedZone("east", 2*3600)
	now := time.Date(2026, 11, 30, 13, 0, 0, 0, zone)
	at := func(h int) *time.Time { t := time.Date(2026, 11, 30, h, 3, 0, 0, time.UTC); return &t }
	for want, a := range map[string]Agent{
		"": {Name: "claude", State: AgentNone, Resume: []string{"claude", "--continue"}},
		"claude: 1 conversation, last turn 12:03: claude --continue":            {Name: "claude", State: AgentDone, Talks: 1, LastTurn: at(10), Resume: []string{"claude", "--continue"}},
		"codex: 2 conversations, last turn 12:03, working: codex resume --last": {Name: "codex", State: AgentWorking, Talks: 2, LastTurn: at(10), Resume: []string{"codex", "resume", "--last"}},
		"opencode: last turn 12:03: opencode --continue":                        {Name: "opencode", State: AgentDone, LastTurn: at(10), Resume: []string{"opencode", "--continue"}},
		"claude: 1 conversation, last turn 2026-12-01 00:03: claude --continue": {Name: "claude", State: AgentDone, Talks: 1, LastTurn: at(22), Resume: []string{"claude", "--continue"}},
	} {
		if got := a.Sentence(now); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
