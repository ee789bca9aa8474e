// Package modeltest plays the APIs that coding agents talk to, for tests: Messages of Anthropic
// and Responses of OpenAI, both as streams. Each request is answered with a nonce of its own, so
// that a later request shows what an agent remembers.
package modeltest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Model is a server on loopback.
type Model struct {
	URL string

	mu    sync.Mutex
	asked []string // the bodies of requests, in their order
}

// Start starts one, which ends with the test. What else an agent asks for is not there.
func Start(t *testing.T) *Model {
	t.Helper()
	m := &Model{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/messages", m.answers(anthropic))
	mux.HandleFunc("POST /v1/responses", m.answers(openAI))
	s := httptest.NewServer(mux)
	m.URL = s.URL
	t.Cleanup(s.Close)
	t.Cleanup(s.CloseClientConnections)
	return m
}

// Asked are the bodies of what was asked from the nth request on, in their order.
func (m *Model) Asked(from int) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.asked[from:]...)
}

// Knew reports whether a request from the nth on has all of these words.
func (m *Model) Knew(from int, words ...string) bool {
	for _, body := range m.Asked(from) {
		missing := false
		for _, w := range words {
			missing = missing || !strings.Contains(body, w)
		}
		if !missing {
			return true
		}
	}
	return false
}

// Nonce is the last one in what an agent printed; "": none.
func Nonce(text string) string {
	const end = "-of-the-model"
	i := strings.LastIndex(text, "nonce-")
	if i < 0 {
		return ""
	}
	j := strings.Index(text[i:], end)
	if j < 0 {
		return ""
	}
	return text[i : i+j+len(end)]
}

// CodexConfig is a config.toml with which Codex asks the model, and no other.
func (m *Model) CodexConfig() string {
	return `model = "fake"
model_provider = "fake"
check_for_update_on_startup = false
[model_providers.fake]
name = "fake"
base_url = "` + m.URL + `/v1"
env_key = "FAKE_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
`
}

// Variables are those with which agents ask the model and nobody else, with a key.
func (m *Model) Variables(key string) map[string]string {
	return map[string]string{
		"ANTHROPIC_BASE_URL": m.URL, "ANTHROPIC_API_KEY": key, "FAKE_KEY": key,
		"DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
	}
}

// event is one of a stream: its kind and its other fields.
type event struct {
	kind   string
	fields map[string]any
}

func (m *Model) answers(say func(text string) []event) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		m.mu.Lock()
		m.asked = append(m.asked, string(body))
		nonce := fmt.Sprintf("nonce-%04d-of-the-model", len(m.asked))
		m.mu.Unlock()
		w.Header().Set("Content-Type", "text/event-stream")
		for _, e := range say(nonce) {
			e.fields["type"] = e.kind
			b, err := json.Marshal(e.fields)
			if err != nil {
				panic(err)
			}
			fmt.Fprintf(w, "event: %s\ndata: %s\n\n", e.kind, b)
		}
	}
}

type object = map[string]any

// anthropic says a text as https://docs.anthropic.com/en/api/messages-streaming has it.
func anthropic(text string) []event {
	message := object{
		"id": "msg_" + text, "type": "message", "role": "assistant", "model": "claude-fake", "content": []any{},
		"stop_reason": nil, "stop_sequence": nil, "usage": object{"input_tokens": 1, "output_tokens": 1},
	}
	return []event{
		{"message_start", object{"message": message}},
		{"content_block_start", object{"index": 0, "content_block": object{"type": "text", "text": ""}}},
		{"content_block_delta", object{"index": 0, "delta": object{"type": "text_delta", "text": "I say " + text}}},
		{"content_block_stop", object{"index": 0}},
		{"message_delta", object{"delta": object{"stop_reason": "end_turn", "stop_sequence": nil}, "usage": object{"output_tokens": 9}}},
		{"message_stop", object{}},
	}
}

// openAI says a text as https://platform.openai.com/docs/api-reference/responses-streaming has it.
func openAI(text string) []event {
	id, said := "resp_"+text, "I say "+text
	item := object{
		"type": "message", "id": "msg_" + text, "role": "assistant", "status": "completed",
		"content": []any{object{"type": "output_text", "text": said, "annotations": []any{}}},
	}
	begun := object{"type": "message", "id": "msg_" + text, "role": "assistant", "status": "in_progress", "content": []any{}}
	usage := object{
		"input_tokens": 1, "output_tokens": 9, "total_tokens": 10,
		"input_tokens_details": object{"cached_tokens": 0}, "output_tokens_details": object{"reasoning_tokens": 0},
	}
	return []event{
		{"response.created", object{"response": object{"id": id, "object": "response", "status": "in_progress", "output": []any{}}}},
		{"response.output_item.added", object{"output_index": 0, "item": begun}},
		{"response.output_text.delta", object{"item_id": "msg_" + text, "output_index": 0, "content_index": 0, "delta": said}},
		{"response.output_item.done", object{"output_index": 0, "item": item}},
		{"response.completed", object{"response": object{"id": id, "object": "response", "status": "completed", "output": []any{item}, "usage": usage}}},
	}
}
