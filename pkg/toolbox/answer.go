package toolbox

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"unicode"

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
	beside
}

// beside is what there is beside an error.
type beside struct {
	Answer any      `json:"answer,omitempty"`
	Notes  []string `json:"notes,omitempty"`
}

// answered is the result of a call that was answered. Its words are the same in JSON: a text of the
// workspace is a value there, and cannot look like a line of ours.
func answered(got outcome) *mcp.CallToolResult {
	a := answer{Exit: got.code, Answer: valueOf(got), Notes: got.notes}
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: compact(a)}}, StructuredContent: a}
}

// toAgree is the next step beside what a program says of a workspace that nobody agreed to.
const toAgree = "whether that is agreed to is for a person to decide: tell them, and do not do it for them"

// failed is the result of one that was not: the error and its hints in a line each, and then, as
// JSON, what else there is.
func failed(got outcome) *mcp.CallToolResult {
	var t trouble
	t.Error.Message, t.Error.Hints, t.Error.Exit = text(got.err.Error()), []string{}, got.code
	words := "error: " + oneLine(t.Error.Message)
	hints := hint.Of(got.err)
	if got.code == cmdline.CodeUntrusted {
		hints = append(hints, toAgree)
	}
	for _, h := range hints {
		h = text(h)
		t.Error.Hints = append(t.Error.Hints, h)
		words += "\nhint: " + oneLine(h)
	}
	t.Answer, t.Notes = valueOf(got), got.notes
	if t.Answer != nil || len(t.Notes) > 0 {
		words += "\n" + compact(beside{t.Answer, t.Notes})
	}
	return &mcp.CallToolResult{IsError: true, Content: []mcp.Content{&mcp.TextContent{Text: words}}, StructuredContent: t}
}

// oneLine is a text on one line.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// text is what others wrote without what is no text: control characters, and those that show
// nothing and can spell a text that a model reads and no person sees. Those that join what is
// shown, as in an emoji or in Persian, stay where at most two of them are in a row.
func text(s string) string {
	row := joinsMost // of those that show nothing, so far
	return strings.Map(func(r rune) rune {
		if !showsNothing(r) {
			row = 0
			return r
		}
		if row++; row > joinsMost || r != 0x200c && r != 0x200d && (r < 0xfe00 || r > 0xfe0f) {
			return '?'
		}
		return r
	}, cmdline.Plain(s))
}

// joinsMost is how many an emoji has between two signs: U+FE0F U+200D.
const joinsMost = 2

// showsNothing reports whether a character is invisible: Default_Ignorable_Code_Point of Unicode (UAX 44),
// which has format characters but for those before numbers, and interlinear annotations.
func showsNothing(r rune) bool {
	return unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) || unicode.Is(unicode.Cf, r) && !unicode.Is(unicode.Prepended_Concatenation_Mark, r)
}

// tooLarge is said in the place of an answer that does not fit.
const tooLarge = "the answer is larger than 512 KiB and left out: ask for less, by path, replica or lines"

// valueOf is an answer as a value, without anything that is no text; nil where there is none.
func valueOf(got outcome) any {
	switch {
	case got.json && got.cut > 0:
		return tooLarge
	case got.json:
		if v, ok := parsed(got.text); ok {
			return plain(v)
		}
	case got.cut > 0:
		rest := got.text
		if _, whole, _ := strings.Cut(rest, "\n"); whole != "" {
			rest = whole // without the line that was cut
		}
		return "(what came before is left out)\n" + text(rest)
	}
	if got.text == "" {
		return nil
	}
	return text(got.text)
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

// plain is a JSON value whose texts are text.
func plain(value any) any {
	switch v := value.(type) {
	case string:
		return text(v)
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		clean := make(map[string]any, len(v))
		for name, x := range v {
			clean[text(name)] = plain(x)
		}
		return clean
	}
	return value
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
