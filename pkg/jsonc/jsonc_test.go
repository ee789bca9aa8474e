package jsonc

import (
	"strings"
	"testing"
)

func TestStandard(t *testing.T) {
	for src, want := range map[string]string{
		"{\"a\": 1, // said\r\n}": "{\"a\": 1}", "\ufeff{}": "{}", "{} // at the end": "{}", strings.Repeat("[", 500) + strings.Repeat("]", 500): strings.Repeat("[", 500) + strings.Repeat("]", 500),
	} {
		got, err := Standard([]byte(src))
		if plain := strings.Join(strings.Fields(string(got)), " "); err != nil || strings.ReplaceAll(plain, " }", "}") != want {
			t.Errorf("%q: %q, %v", src, got, err)
		}
	}
	for name, src := range map[string]string{
		"lists": strings.Repeat("[", 2<<20), "objects": strings.Repeat(`{"]":`, 1<<19), "comments between": strings.Repeat("/**/{\"a\":[", 1<<18),
		"carriage return": "{} // said\r\"privileged\": true,\n", "half": `{"a":`, "a second mark": "\ufeff\ufeff{}",
	} {
		if b, err := Standard([]byte(src)); err == nil {
			t.Errorf("%s: %.20q", name, b)
		}
	}
}

// An error names line and column, and no library.
func TestErrorsAreWorded(t *testing.T) {
	for text, want := range map[string]string{"{\n \"image\": \"x\"\n": "line ", "{\"a\": }": "line 1, column ", "[1,,2]": "line 1, column ", "{a: 1}": "line 1, column ", "": "line "} {
		_, err := Standard([]byte(text))
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
		if _, err := Get([]byte(text), "", "a"); err != nil && strings.Contains(err.Error(), "hujson") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
