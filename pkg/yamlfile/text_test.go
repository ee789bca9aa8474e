package yamlfile

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A comment behind a text of several lines became a part of the text, and one command two,
// when an editor on Windows had saved the file. The values are those of PyYAML.
func TestTextsOfSeveralLines(t *testing.T) {
	for name, c := range map[string]struct{ src, want string }{
		"a flag and a comment":      {"a: node server.js\n  --watch # reload\n", "node server.js --watch"},
		"a comment in its own line": {"a: node server.js\n  --watch\n  # reload\n", "node server.js --watch"},
		"comments, and the next":    {"a: one\n  -x # c\n\n  # d\nb: two\n", "one -x"},
		"a flag, deeper":            {"a: one\n  --two\n    --three\n", "one --two --three"},
		"a dash":                    {"a: two\n  - z  # c: d\n", "two - z"},
		"an empty line":             {"a: one\n\n  -x # c\n", "one\n-x"},
		"from the next line":        {"a:\n  one\n  -x # c\n", "one -x"},
		"no comment":                {"a: one\n  --two#three\n", "one --two#three"},
		"a comment behind a tab":    {"a: one\n  --two\t# c\n", "one --two"},
		"double quotes":             {"a: \"one\n  two\\\n  three\"\n", "one twothree"},
		"single quotes":             {"a: 'one\n  two\n\n  # three'\n", "one two\n# three"},
		"a block":                   {"a: |\n  one # two\n  --three\n", "one # two\n--three\n"},
		"a block with a comment":    {"a: | # c\n  one\n  --two # three\n", "one\n--two # three\n"},
		"a folded block":            {"a: >-\n  one\n  two\n\n  three\n", "one two\nthree"},
	} {
		for form, saved := range map[string]string{
			"as it is": c.src, "CRLF": strings.ReplaceAll(c.src, "\n", "\r\n"),
			"CR": strings.ReplaceAll(c.src, "\n", "\r"), "a mark and CRLF": "\ufeff" + strings.ReplaceAll(c.src, "\n", "\r\n"),
		} {
			t.Run(name+", "+form, func(t *testing.T) {
				var v struct{ A, B string }
				if err := Unmarshal([]byte(saved), &v); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, v.A); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// What is no YAML was read as text.
func TestTextsThatEnd(t *testing.T) {
	for src, want := range map[string]string{
		"a: one\n  --two # c\n  three\n":  "[3:8] a text cannot go on after a comment",
		"a: one\n  -b: two\n":             "[2:10] mapping value is not allowed in this context",
		"a: one\n  --two:\n":              "[2:9] mapping value is not allowed in this context",
		"- one\n  -x # c\n\n  # d\n  y\n": "[5:4] a text cannot go on after a comment",
		"a:\n  b: one\n    -c: two # d\n": "[3:16] mapping value is not allowed in this context",
		"a: one # c\n  --two\n":           "[2:3] value is not allowed in this context",
	} {
		var v any
		if err := Unmarshal([]byte(src), &v); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, %v", src, v, err)
		}
		if _, err := Parse([]byte(src)); err == nil {
			t.Errorf("%q: parsed", src)
		}
	}
}
