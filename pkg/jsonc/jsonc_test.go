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
