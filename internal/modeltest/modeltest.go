// Package modeltest plays the APIs that coding agents talk to, for tests: Messages of Anthropic,
// Responses and chat of OpenAI, and that of Gemini, all as streams. Each request is answered with
// a nonce of its own, so that a later request shows what an agent remembers.
package modeltest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Model is a server on loopback. Any goroutine may use it.
type Model struct {
	URL string

	mu    sync.Mutex
	asked []string // the bodies of requests, in their order
	gates []*gate
	shut  []*gate // which hold what waits at them, and nothing that comes
	uses  []*use
}

// gate has answers wait after their beginning.
type gate struct {
	text    string        // in the requests that are meant
	reached chan struct{} // closed when one has come
	opened  chan struct{} // closed when they go on
	reach   func()
}

// Start starts one; it ends with the test, and with it each answer that is held back. What else
// an agent asks for is not there.
func Start(t *testing.T) *Model {
	t.Helper()
	m := &Model{}
	mux := http.NewServeMux()
	for path, answer := range m.APIs() {
		mux.HandleFunc("POST "+path, answer)
	}
	s := httptest.NewServer(mux)
	m.URL = s.URL
	t.Cleanup(s.Close)
	t.Cleanup(s.CloseClientConnections)
	return m
}

// APIs are what it answers, by path.
func (m *Model) APIs() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"/v1/messages": m.answers(anthropic), "/v1/responses": m.answers(openAI), "/v1/chat/completions": m.answers(openAIChat),
		"/v1beta/models/{call}": m.answers(gemini), "/backend-api/codex/responses": m.answers(openAI),
	}
}

// HoldBack has the answers of requests with that text wait until all are let go on. The
// channel is closed when one waits.
func (m *Model) HoldBack(text string) (reached <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := &gate{text: text, reached: make(chan struct{}), opened: make(chan struct{})}
	g.reach = sync.OnceFunc(func() { close(g.reached) })
	m.gates = append(m.gates, g)
	return g.reached
}

// HoldNoMore has answers to what comes from now on wait for nothing; those that wait still do.
func (m *Model) HoldNoMore() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shut, m.gates = append(m.shut, m.gates...), nil
}

// GoOn lets all go on that wait.
func (m *Model) GoOn() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, g := range slices.Concat(m.gates, m.shut) {
		close(g.opened)
	}
	m.gates, m.shut = nil, nil
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

// OpencodeConfig is an opencode.json of the same kind.
func (m *Model) OpencodeConfig() string {
	return `{"model": "fake/fake", "small_model": "fake/fake", "autoupdate": false, "share": "disabled",
"provider": {"fake": {"npm": "@ai-sdk/openai-compatible", "name": "fake", "options": {"baseURL": "` + m.URL + `/v1", "apiKey": "{env:FAKE_KEY}"},
"models": {"fake": {"name": "fake"}}}}}`
}

// GeminiSettings is a settings.json with which Gemini CLI takes a key from its environment.
const GeminiSettings = `{"security": {"auth": {"selectedType": "gemini-api-key"}}, "general": {"disableAutoUpdate": true},
"privacy": {"usageStatisticsEnabled": false}, "telemetry": {"enabled": false}, "model": {"name": "gemini-2.5-flash"}}`

// Variables are those with which agents ask the model and nobody else, with a key.
func (m *Model) Variables(key string) map[string]string {
	return map[string]string{
		"ANTHROPIC_BASE_URL": m.URL, "ANTHROPIC_API_KEY": key, "FAKE_KEY": key,
		"DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "OPENCODE_DISABLE_MODELS_FETCH": "true",
		"GOOGLE_GEMINI_BASE_URL": m.URL, "GEMINI_API_KEY": key, "GEMINI_CLI_TRUST_WORKSPACE": "true",
		"COPILOT_PROVIDER_BASE_URL": m.URL + "/v1", "COPILOT_PROVIDER_TYPE": "openai", "COPILOT_PROVIDER_API_KEY": key,
		"COPILOT_MODEL": "fake", "COPILOT_OFFLINE": "true", "COPILOT_AUTO_UPDATE": "false",
	}
}

// take notes what is asked, and gives the nonce to answer, and the gate before it.
func (m *Model) take(body string) (nonce string, before *gate) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, body)
	if i := slices.IndexFunc(m.gates, func(g *gate) bool { return strings.Contains(body, g.text) }); i >= 0 {
		before = m.gates[i]
	}
	return fmt.Sprintf("nonce-%04d-of-the-model", len(m.asked)), before
}

// event is one of a stream: its kind, "" where the API has none, and its other fields.
type event struct {
	kind   string
	fields map[string]any
}

// script is how an API says a text: what comes before it is waited, and the rest.
type script func(text string) (before, after []event)

func (m *Model) answers(say script) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		nonce, gate := m.take(string(body))
		before, after := say(nonce)
		if x, y, ok := m.useFor(string(body)); ok {
			before, after = x, y
		}
		w.Header().Set("Content-Type", "text/event-stream")
		stream(w, before)
		if gate != nil {
			gate.reach()
			select {
			case <-gate.opened:
			case <-r.Context().Done():
				return
			}
		}
		stream(w, after)
	}
}

func stream(w http.ResponseWriter, events []event) {
	for _, e := range events {
		if e.kind != "" {
			e.fields["type"] = e.kind
		}
		b, err := json.Marshal(e.fields)
		if err != nil {
			panic(err)
		}
		if e.kind != "" {
			fmt.Fprintf(w, "event: %s\n", e.kind)
		}
		fmt.Fprintf(w, "data: %s\n\n", b)
	}
	w.(http.Flusher).Flush()
}

type object = map[string]any

// anthropic says a text as https://docs.anthropic.com/en/api/messages-streaming has it.
func anthropic(text string) (before, after []event) {
	message := object{
		"id": "msg_" + text, "type": "message", "role": "assistant", "model": "claude-fake", "content": []any{},
		"stop_reason": nil, "stop_sequence": nil, "usage": object{"input_tokens": 1, "output_tokens": 1},
	}
	before = []event{
		{"message_start", object{"message": message}},
		{"content_block_start", object{"index": 0, "content_block": object{"type": "text", "text": ""}}},
		{"content_block_delta", object{"index": 0, "delta": object{"type": "text_delta", "text": "I say "}}},
	}
	return before, []event{
		{"content_block_delta", object{"index": 0, "delta": object{"type": "text_delta", "text": text}}},
		{"content_block_stop", object{"index": 0}},
		{"message_delta", object{"delta": object{"stop_reason": "end_turn", "stop_sequence": nil}, "usage": object{"output_tokens": 9}}},
		{"message_stop", object{}},
	}
}

// openAI says a text as https://platform.openai.com/docs/api-reference/responses-streaming has it.
func openAI(text string) (before, after []event) {
	id, said := "resp_"+text, "I say "+text
	item := object{
		"type": "message", "id": "msg_" + text, "role": "assistant", "status": "completed",
		"content": []any{object{"type": "output_text", "text": said, "annotations": []any{}}},
	}
	begun := object{"type": "message", "id": "msg_" + text, "role": "assistant", "status": "in_progress", "content": []any{}}
	before = []event{
		{"response.created", object{"response": object{"id": id, "object": "response", "status": "in_progress", "output": []any{}}}},
		{"response.output_item.added", object{"output_index": 0, "item": begun}},
		{"response.output_text.delta", object{"item_id": "msg_" + text, "output_index": 0, "content_index": 0, "delta": "I say "}},
	}
	return before, []event{
		{"response.output_text.delta", object{"item_id": "msg_" + text, "output_index": 0, "content_index": 0, "delta": text}},
		{"response.output_item.done", object{"output_index": 0, "item": item}},
		{"response.completed", object{"response": object{
			"id": id, "object": "response", "status": "completed", "output": []any{item},
			"usage": object{
				"input_tokens": 1, "output_tokens": 9, "total_tokens": 10,
				"input_tokens_details": object{"cached_tokens": 0}, "output_tokens_details": object{"reasoning_tokens": 0},
			},
		}}},
	}
}

// openAIChat says a text as https://platform.openai.com/docs/api-reference/chat-streaming has it.
func openAIChat(text string) (before, after []event) {
	chunk := func(delta object, end any) event {
		return event{"", object{"id": "c_" + text, "object": "chat.completion.chunk", "created": 1, "model": "fake",
			"choices": []any{object{"index": 0, "delta": delta, "finish_reason": end}}}}
	}
	return []event{chunk(object{"role": "assistant", "content": "I say "}, nil)},
		[]event{chunk(object{"content": text}, nil), chunk(object{}, "stop")}
}

// gemini says a text as https://ai.google.dev/api/generate-content has it.
func gemini(text string) (before, after []event) {
	part := func(text string, end any) event {
		c := object{"index": 0, "content": object{"role": "model", "parts": []any{object{"text": text}}}}
		if end != nil {
			c["finishReason"] = end
		}
		return event{"", object{"candidates": []any{c}, "usageMetadata": object{"promptTokenCount": 1, "candidatesTokenCount": 9, "totalTokenCount": 10}}}
	}
	return []event{part("I say ", nil)}, []event{part(text, "STOP")}
}
