package jsonc

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const element = `{"of": "ours"}`

func isOurs(v json.RawMessage) bool { return strings.Contains(string(v), "ours") }

// TestAppend: what others wrote stays as it is, and what is undone is as it was.
func TestAppend(t *testing.T) {
	for name, tt := range map[string]struct{ in, want string }{
		"nothing":             {"{}\n", "{\"hooks\": { \"Stop\": [{\"of\": \"ours\"}] }}\n"},
		"other settings":      {"{\n  \"model\": \"x\"\n}\n", "{\n  \"model\": \"x\",\n  \"hooks\": {\n    \"Stop\": [{\"of\": \"ours\"}]\n  }\n}\n"},
		"other hooks":         {"{\n  \"hooks\": {\n    \"Start\": []\n  }\n}\n", "{\n  \"hooks\": {\n    \"Start\": [],\n    \"Stop\": [{\"of\": \"ours\"}]\n  }\n}\n"},
		"one of the same":     {"{\n  \"hooks\": {\n    \"Stop\": [\n      {\"a\": 1} // mine\n    ]\n  }\n}\n", "{\n  \"hooks\": {\n    \"Stop\": [\n      {\"a\": 1}, // mine\n      {\"of\": \"ours\"}\n    ]\n  }\n}\n"},
		"one, on one line":    {`{"hooks": {"Stop": [{"a": 1}]}}`, `{"hooks": {"Stop": [{"a": 1}, {"of": "ours"}]}}`},
		"a comma at its end":  {"{\"hooks\": {\"Stop\": [\n\t1,\n]}}", "{\"hooks\": {\"Stop\": [\n\t1,\n\t{\"of\": \"ours\"},\n]}}"},
		"text, not an object": {`{"hooks": {"Stop": ["a", 2, null]}}`, `{"hooks": {"Stop": ["a", 2, null, {"of": "ours"}]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Append([]byte(tt.in), "hooks", "Stop", json.RawMessage(element))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Error(diff)
			}
			back, err := Drop(got, "hooks", "Stop", isOurs)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.in, string(back)); diff != "" {
				t.Errorf("undone: %s", diff)
			}
		})
	}
}

// What stands around ours, and what was added after it, stays when ours goes.
func TestDropAfterEdits(t *testing.T) {
	for in, want := range map[string]string{
		`{"hooks": {"Stop": [{"of": "ours"}, 1, {"of": "ours"}]}}`:      `{"hooks": {"Stop": [ 1]}}`,
		`{"hooks": {"Stop": [{"of": "ours"}], "Start": []}}`:            `{"hooks": { "Start": []}}`,
		"{\"hooks\": {\"Stop\": [\n  // why\n  {\"of\": \"ours\"}\n]}}": "{\"hooks\": {\"Stop\": [\n  // why\n]}}",
		`{"hooks": {"Stop": []}}`:                                       `{"hooks": {"Stop": []}}`,
		`{"hooks": {}}`:                                                 `{"hooks": {}}`,
		`{}`:                                                            `{}`,
	} {
		got, err := Drop([]byte(in), "hooks", "Stop", isOurs)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s: %s", in, diff)
		}
	}
}

// A file in which the place is something else is not edited on a guess.
func TestAppendRefuses(t *testing.T) {
	for _, in := range []string{``, `{`, `[]`, `{"hooks": []}`, `{"hooks": {"Stop": {}}}`, `{"hooks": {"Stop": [], "Stop": []}}`, `{"hooks": {}, "hooks": {}}`} {
		if got, err := Append([]byte(in), "hooks", "Stop", json.RawMessage(element)); err == nil {
			t.Errorf("%s: %s", in, got)
		}
	}
}

// FuzzAppend: to append and to drop is to do nothing, and what is appended is all that is.
func FuzzAppend(f *testing.F) {
	for _, s := range []string{"{}", "{\"hooks\": {\"Stop\": [1, // a\n 2]}}", "\ufeff{\r\n \"hooks\": {\"Stop\": [\r\n{}\r\n,]},\r\n}", "{\"hooks\": /* a */ {\"Stop\" /* b */ : [ /* c */ 1 /* d */ , /* e */ ] /* f */ }}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		got, err := Append(src, "hooks", "Stop", json.RawMessage(element))
		if err != nil || strings.Contains(string(src), "ours") {
			return
		}
		want := values(t, src)
		hooks, _ := want["hooks"].(map[string]any)
		if hooks == nil {
			hooks = map[string]any{}
		}
		was, listed := hooks["Stop"].([]any)
		hooks["Stop"] = append(append([]any{}, was...), map[string]any{"of": "ours"})
		want["hooks"] = hooks
		if now := values(t, got); !reflect.DeepEqual(want, now) {
			t.Fatalf("%q became %q", src, got)
		}
		back, err := Drop(got, "hooks", "Stop", isOurs)
		if err != nil {
			t.Fatalf("%q became %q: %v", src, got, err)
		}
		if len(was) > 0 && string(back) != string(src) {
			t.Fatalf("%q became %q, then %q", src, got, back)
		}
		if listed && len(was) == 0 {
			return // an empty list, or an empty object, goes with ours
		}
		if _, was := values(t, src)["hooks"].(map[string]any); !was && string(back) != string(src) {
			t.Fatalf("%q became %q, then %q", src, got, back)
		}
	})
}
