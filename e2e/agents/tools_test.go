package agents

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// use is a tool of coltecd mcp that the model wants to be used, once, in answer to a prompt.
type use struct {
	prompt, tool, id string
	input            string // JSON
}

// usesTool has the model answer a prompt with the use of a tool, where the tool is offered.
func (m *model) usesTool(prompt, tool string, input object) (id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, err := json.Marshal(input)
	if err != nil {
		panic(err)
	}
	u := &use{prompt, tool, fmt.Sprintf("use_of_the_model_%d", len(m.uses)), string(b)}
	m.uses = append(m.uses, u)
	return u.id
}

// useFor is what a request is to be answered with, where that is the use of a tool.
func (m *model) useFor(body string) (before, after []event, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, u := range m.uses {
		switch {
		case !strings.Contains(body, u.prompt) || strings.Contains(body, u.id):
		case strings.Contains(body, `"name":"mcp__coltec__`+u.tool+`"`):
			before, after = u.anthropic()
			return before, after, true
		case strings.Contains(body, `"name":"mcp__coltec"`):
			before, after = u.openAI()
			return before, after, true
		}
	}
	return nil, nil, false
}

// anthropic says a use as https://docs.anthropic.com/en/api/messages-streaming has it.
func (u *use) anthropic() (before, after []event) {
	before, after = anthropic("")
	return before[:1], append([]event{
		{"content_block_start", object{"index": 0, "content_block": object{"type": "tool_use", "id": u.id, "name": "mcp__coltec__" + u.tool, "input": object{}}}},
		{"content_block_delta", object{"index": 0, "delta": object{"type": "input_json_delta", "partial_json": u.input}}},
		{"content_block_stop", object{"index": 0}},
		{"message_delta", object{"delta": object{"stop_reason": "tool_use", "stop_sequence": nil}, "usage": object{"output_tokens": 9}}},
	}, after[len(after)-1])
}

// openAI says a use as https://platform.openai.com/docs/guides/function-calling has it: a function of
// a namespace.
func (u *use) openAI() (before, after []event) {
	before, after = openAI("")
	item := object{"type": "function_call", "id": "fc_" + u.id, "call_id": u.id, "namespace": "mcp__coltec", "name": u.tool, "arguments": u.input, "status": "completed"}
	done := after[len(after)-1]
	done.fields["response"].(object)["output"] = []any{item}
	return before[:1], []event{
		{"response.output_item.added", object{"output_index": 0, "item": item}},
		{"response.output_item.done", object{"output_index": 0, "item": item}},
		done,
	}
}

// Real agents have the tools of coltecd mcp: one takes a checkpoint before it works, and goes back to
// that. Its conversation goes on with what the tools said, as the rewind is of the folder alone.
func TestAgentRewinds(t *testing.T) {
	w := newWorld(t)
	w.inHome("tools.json", `{"mcpServers": {"coltec": {"command": "`+coltecd+`", "args": ["mcp", "--allow", "rewind"]}}}`)
	w.inHome(".codex/config.toml", w.readHome(".codex/config.toml")+"[mcp_servers.coltec]\ncommand = \""+coltecd+"\"\nargs = [\"mcp\", \"--allow\", \"rewind\"]\ndefault_tools_approval_mode = \"approve\"\n")
	claude := []string{"claude", "--settings", `{"env": {"ENABLE_TOOL_SEARCH": "false"}}`, "--mcp-config", filepath.Join(w.home(), "tools.json"), "--strict-mcp-config", "--allowedTools", "mcp__coltec__checkpoint,mcp__coltec__rewind"}
	notes := filepath.Join(w.work(), "notes.txt")
	w.write(notes, "one")
	w.start()
	for _, a := range usual {
		first, next := a.first, a.next
		if a.name == "claude" {
			first, next = append(claude[:len(claude):len(claude)], "-p"), append(claude[:len(claude):len(claude)], "--continue", "-p")
		}
		name, keep, back := "by-"+a.name, "keep this state, "+a.name, "go back to it, "+a.name
		id := w.model.usesTool(keep, "checkpoint", object{"name": name, "message": "before I work"})
		w.do(a, first, keep).holds(t, id, "before I work", `\"generation\":`)
		w.write(notes, "two")
		w.coltecd("sync")
		id = w.model.usesTool(back, "rewind", object{"at": name, "path": w.work()})
		w.do(a, next, back).holds(t, keep, id, "before-rewind-")
		if b, err := os.ReadFile(w.real(w.at, notes)); string(b) != "one" {
			t.Errorf("%s: the file is %q, %v", a.name, b, err)
		}
		w.do(a, next, "the third question").holds(t, keep, back, id, "before-rewind-")
		if list := w.coltecd("checkpoints"); !strings.Contains(list, name) || !strings.Contains(list, "before-rewind-") {
			t.Errorf("checkpoints: %s", list)
		}
	}
	w.stop()
}
