package toolbox

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/hint"
)

// answer is what an agent gets in structured form.
type answer struct {
	Exit   int      `json:"exit"`             // the program's exit code; status has 1 where something needs attention
	Answer any      `json:"answer,omitempty"` // JSON, or a text
	Notes  []string `json:"notes,omitempty"`  // what was said beside it
}

// trouble is the same of a call that failed.
type trouble struct {
	Error struct {
		Message string   `json:"message"`
		Hints   []string `json:"hints"` // next steps, for a person
		Exit    int      `json:"exit"`
	} `json:"error"`
	Answer any      `json:"answer,omitempty"`
	Notes  []string `json:"notes,omitempty"`
}

// answered is the result of a call that was answered.
func answered(got outcome) *mcp.CallToolResult {
	value, isJSON := valueOf(got)
	a := answer{Exit: got.code, Answer: value, Notes: got.notes}
	text := inWords(value, got.notes)
	if isJSON {
		text = compact(a)
	}
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}, StructuredContent: a}
}

// failed is the result of one that was not.
func failed(got outcome) *mcp.CallToolResult {
	var t trouble
	t.Error.Message, t.Error.Hints, t.Error.Exit = cmdline.Plain(got.err.Error()), []string{}, got.code
	text := "error: " + t.Error.Message
	for _, h := range hint.Of(got.err) {
		h = cmdline.Plain(h)
		t.Error.Hints = append(t.Error.Hints, h)
		text += "\nhint: " + h
	}
	if got.text != "" {
		t.Answer, _ = valueOf(got)
	}
	t.Notes = got.notes
	if rest := inWords(t.Answer, got.notes); t.Answer != nil || len(got.notes) > 0 {
		text += "\n" + rest
	}
	return &mcp.CallToolResult{IsError: true, Content: []mcp.Content{&mcp.TextContent{Text: text}}, StructuredContent: t}
}

// tooLarge is said in the place of an answer that does not fit.
const tooLarge = "the answer is larger than 512 KiB and left out: ask for less, by path, replica or lines"

// valueOf is an answer as a value, without anything that is no text, and whether it is JSON.
func valueOf(got outcome) (value any, isJSON bool) {
	switch {
	case got.json && got.cut > 0:
		return tooLarge, false
	case got.json:
		if v, ok := parsed(got.text); ok {
			return plain(v), true
		}
	case got.cut > 0:
		_, rest, _ := strings.Cut(got.text, "\n") // of the line that was cut
		return cmdline.Plain("(what came before is left out)\n" + rest), false
	}
	if got.text == "" {
		return nil, false
	}
	return cmdline.Plain(got.text), false
}

// parsed is a text as the one JSON value that it is.
func parsed(text string) (value any, ok bool) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if dec.Decode(&value) != nil {
		return nil, false
	}
	_, err := dec.Token()
	return value, err == io.EOF
}

// plain is a JSON value whose texts are Plain.
func plain(value any) any {
	switch v := value.(type) {
	case string:
		return cmdline.Plain(v)
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		clean := make(map[string]any, len(v))
		for name, x := range v {
			clean[cmdline.Plain(name)] = plain(x)
		}
		return clean
	}
	return value
}

// inWords is an answer that is a text, with what was said beside it.
func inWords(value any, notes []string) string {
	var parts []string
	switch v := value.(type) {
	case nil:
	case string:
		parts = append(parts, strings.TrimRight(v, "\n"))
	default:
		parts = append(parts, compact(v))
	}
	if parts = append(parts, notes...); len(parts) == 0 {
		return "done"
	}
	return strings.Join(parts, "\n")
}

// compact is a value as JSON on one line.
func compact(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // texts, numbers, and lists of them
	}
	return strings.TrimSpace(b.String())
}

// inJSON is the error of a program as it says it for programs.
func inJSON(line string) (message string, hints []string, ok bool) {
	var f cmdline.Failure
	if !strings.HasPrefix(line, `{"error":`) || json.Unmarshal([]byte(line), &f) != nil {
		return "", nil, false
	}
	return f.Error.Message, f.Error.Hints, true
}
