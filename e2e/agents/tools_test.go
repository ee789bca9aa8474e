package agents

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// use is a tool that the model wants to be used, once, in answer to a prompt.
type use struct {
	prompt, tool, id string
	input            string // JSON
}

// usesTool has the model answer a prompt with the use of a tool, where the tool is offered.
func (m *model) usesTool(prompt, tool string, input object) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, err := json.Marshal(input)
	if err != nil {
		panic(err)
	}
	m.uses = append(m.uses, &use{prompt, tool, fmt.Sprintf("toolu_of_the_model_%d", len(m.uses)), string(b)})
}

// useFor is the use that a request is to be answered with; nil: none.
func (m *model) useFor(body string) *use {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, u := range m.uses {
		if strings.Contains(body, u.prompt) && strings.Contains(body, `"`+u.tool+`"`) && !strings.Contains(body, u.id) {
			return u
		}
	}
	return nil
}

// events say a use as https://docs.anthropic.com/en/api/messages-streaming has it.
func (u *use) events() (before, after []event) {
	before, after = anthropic("")
	return before[:1], append([]event{
		{"content_block_start", object{"index": 0, "content_block": object{"type": "tool_use", "id": u.id, "name": u.tool, "input": object{}}}},
		{"content_block_delta", object{"index": 0, "delta": object{"type": "input_json_delta", "partial_json": u.input}}},
		{"content_block_stop", object{"index": 0}},
		{"message_delta", object{"delta": object{"stop_reason": "tool_use", "stop_sequence": nil}, "usage": object{"output_tokens": 9}}},
	}, after[len(after)-1])
}

// A real agent has the tools of coltecd mcp: it takes a checkpoint before it works, and goes back to
// that. Its conversation goes on with what the tools said, as the rewind is of the folder alone.
func TestAgentRewinds(t *testing.T) {
	w := newWorld(t)
	claude, _ := pick("claude")
	w.inHome("tools.json", `{"mcpServers": {"coltec": {"command": "`+coltecd+`", "args": ["mcp", "--allow", "rewind"]}}}`)
	turn := func(more ...string) []string {
		return append([]string{"claude", "--settings", `{"env": {"ENABLE_TOOL_SEARCH": "false"}}`, "--mcp-config", filepath.Join(w.home(), "tools.json"), "--strict-mcp-config", "--allowedTools", "mcp__coltec__checkpoint,mcp__coltec__rewind"}, more...)
	}
	notes := filepath.Join(w.work(), "notes.txt")
	w.write(notes, "one")
	w.start()
	w.model.usesTool("keep this state", "mcp__coltec__checkpoint", object{"name": "by-agent", "message": "before I work"})
	w.do(claude, turn("-p"), "keep this state").holds(t, "tool_result", "toolu_of_the_model_0", "before I work", `\"generation\":`)
	w.write(notes, "two")
	w.coltecd("sync")
	w.model.usesTool("go back to it", "mcp__coltec__rewind", object{"at": "by-agent", "path": w.work()})
	w.do(claude, turn("--continue", "-p"), "go back to it").holds(t, "keep this state", "tool_result", "toolu_of_the_model_1", "before-rewind-")
	w.do(claude, turn("--continue", "-p"), "the third question").holds(t, "keep this state", "go back to it", "before-rewind-", "toolu_of_the_model_1")
	if b, err := os.ReadFile(w.real(w.at, notes)); string(b) != "one" {
		t.Errorf("the file is %q, %v", b, err)
	}
	if list := w.coltecd("checkpoints"); !strings.Contains(list, "by-agent") || !strings.Contains(list, "before I work") || !strings.Contains(list, "before-rewind-") {
		t.Errorf("checkpoints: %s", list)
	}
	w.stop()
}
