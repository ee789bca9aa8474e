package modeltest

import (
	"encoding/json"
	"fmt"
	"strings"
)

// use is a tool of coltecd mcp that the model wants to be used, once, in answer to a prompt.
type use struct {
	prompt, tool, id string
	input            string // JSON
}

// UseTool has the model answer a prompt with the use of a tool, where the tool is offered.
func (m *Model) UseTool(prompt, tool string, input object) (id string) {
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
func (m *Model) useFor(body string) (before, after []event, ok bool) {
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
