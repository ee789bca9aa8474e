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
		"claude: 1 conversation, last turn 12:03: claude --continue":                {Name: "claude", State: AgentDone, Talks: 1, LastTurn: at(10), Resume: []string{"claude", "--continue"}},
		"codex: 2 conversations, last turn 12:03, working: codex resume --last":     {Name: "codex", State: AgentWorking, Talks: 2, LastTurn: at(10), Resume: []string{"codex", "resume", "--last"}},
		"opencode: last turn 12:03: opencode --continue":                            {Name: "opencode", State: AgentDone, LastTurn: at(10), Resume: []string{"opencode", "--continue"}},
		"claude: 1 conversation, last turn 2026-12-01 00:03: claude --continue":     {Name: "claude", State: AgentDone, Talks: 1, LastTurn: at(22), Resume: []string{"claude", "--continue"}},
		"claude: 1 conversation, last turn 12:03, waits for you: claude --continue": {Name: "claude", State: AgentWaits, Talks: 1, LastTurn: at(10), Resume: []string{"claude", "--continue"}},
		"claude: 1 conversation, last turn 12:03, failed: claude --continue":        {Name: "claude", State: AgentFailed, Talks: 1, LastTurn: at(10), Resume: []string{"claude", "--continue"}},
		"mine: working": {Name: "mine", State: AgentWorking},
	} {
		if got := a.Sentence(now); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestAgentNeed(t *testing.T) {
	now := time.Date(2026, 11, 30, 13, 0, 0, 0, time.UTC)
	since := now.Add(-time.Hour)
	resume := []string{"claude", "--continue"}
	for _, tt := range []struct {
		want  string
		agent Agent
	}{
		{"claude waits for you since 12:00: claude --continue", Agent{Name: "claude", State: AgentWaits, Since: &since, Resume: resume}},
		{"claude has failed: claude --continue", Agent{Name: "claude", State: AgentFailed, Since: &since, Resume: resume}},
		{"mine waits for you", Agent{Name: "mine", State: AgentWaits}},
		{"", Agent{Name: "claude", State: AgentWorking, Since: &since, Resume: resume}},
		{"", Agent{Name: "claude", State: AgentDone, Since: &since, Resume: resume}},
		{"", Agent{Name: "claude", State: AgentNone, Resume: resume}},
	} {
		if got := tt.agent.Need(now); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}
