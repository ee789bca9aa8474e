package agents

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

// model plays the APIs that agents talk to: Messages of Anthropic, Responses and chat of
// OpenAI, and that of Gemini, all as streams. It answers each request with a nonce of its own, and keeps what it was
// asked.
type model struct {
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

// newModel starts one; it ends with the test, and with it each answer that is held back.
func newModel(t *testing.T) *model {
	t.Helper()
	m := &model{}
	mux := http.NewServeMux()
	for path, answer := range m.apis() {
		mux.HandleFunc("POST "+path, answer)
	}
	s := httptest.NewServer(mux) // what else an agent asks for is not there
	m.URL = s.URL
	t.Cleanup(s.Close)
	t.Cleanup(s.CloseClientConnections)
	return m
}

// apis are what it answers, by path.
func (m *model) apis() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"/v1/messages": m.answers(anthropic), "/v1/responses": m.answers(openAI), "/v1/chat/completions": m.answers(openAIChat),
		"/v1beta/models/{call}": m.answers(gemini), "/backend-api/codex/responses": m.answers(openAI),
	}
}

// holdBack has the answers of requests with that text wait until all are let go on. The
// channel is closed when one waits.
func (m *model) holdBack(text string) (reached <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := &gate{text: text, reached: make(chan struct{}), opened: make(chan struct{})}
	g.reach = sync.OnceFunc(func() { close(g.reached) })
	m.gates = append(m.gates, g)
	return g.reached
}

// holdNoMore has answers to what comes from now on wait for nothing; those that wait still do.
func (m *model) holdNoMore() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shut, m.gates = append(m.shut, m.gates...), nil
}

// goOn lets all go on that wait.
func (m *model) goOn() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, g := range slices.Concat(m.gates, m.shut) {
		close(g.opened)
	}
	m.gates, m.shut = nil, nil
}

// requests are the bodies of what was asked from the nth request on.
func (m *model) requests(from int) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.asked[from:]...)
}

// take notes what is asked, and gives the nonce to answer, and the gate before it.
func (m *model) take(body string) (nonce string, before *gate) {
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

func (m *model) answers(say script) http.HandlerFunc {
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

// nonceIn is the nonce in what an agent printed; "": none.
func nonceIn(text string) string {
	i := strings.LastIndex(text, "nonce-")
	if i < 0 {
		return ""
	}
	end := strings.Index(text[i:], "-of-the-model")
	if end < 0 {
		return ""
	}
	return text[i : i+end+len("-of-the-model")]
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
