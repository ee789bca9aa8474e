package modeltest

import (
	"encoding/json"
	"fmt"
	"strings"
)

// use is a tool that the model wants to be used, once, in answer to a prompt.
type use struct {
	prompt, tool, id string
	input            string // JSON
}

// UseTool has the model answer a prompt with the use of a tool, where the tool is offered.
func (m *Model) UseTool(prompt, tool string, input object) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, err := json.Marshal(input)
	if err != nil {
		panic(err)
	}
	m.uses = append(m.uses, &use{prompt, tool, fmt.Sprintf("toolu_of_the_model_%d", len(m.uses)), string(b)})
}

// useFor is the use that a request is to be answered with; nil: none.
func (m *Model) useFor(body string) *use {
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
