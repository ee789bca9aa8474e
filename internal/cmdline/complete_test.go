package cmdline

import "testing"

// Words as bash has them while they are typed, with quotes that may be open, and as they are meant.
func TestUnquoted(t *testing.T) {
	for typed, want := range map[string]string{
		``: ``, `plain`: `plain`, `a\ b`: `a b`, `"a b`: `a b`, `'a b`: `a b`, `"a b" c`: `a b c`,
		`'it'\''s`: `it's`, `"say \"x\""`: `say "x"`, `"a\b"`: `a\b`, `"\$x"`: `$x`, `'\x'`: `\x`, `a\`: `a`,
		`--flag="a b`: `--flag=a b`, `a\\b`: `a\b`, `é\ ü`: `é ü`, `"'"`: `'`,
	} {
		if got := unquoted(typed); got != want {
			t.Errorf("%s: %q, want %q", typed, got, want)
		}
	}
}
