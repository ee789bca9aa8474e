package toolbox

import "testing"

// Some that show nothing were let through: selectors of variants, fillers, joiners in a row.
func TestText(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"text", "a\tb\nc é 漢 \u00a0", "a\tb\nc é 漢 \u00a0"},
		{"an emoji", "\u2764\ufe0f\u200d\U0001f525, \U0001f469\u200d\U0001f467.txt", "\u2764\ufe0f\u200d\U0001f525, \U0001f469\u200d\U0001f467.txt"},
		{"Persian", "\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"},
		{"an Arabic sign before numbers", "\u06001", "\u06001"},
		{"tags", "a\U000e0041\U000e007f", "a??"},
		{"selectors of variants", "a\ufe00\ufe01\ufe02\ufe03\U000e0100\U000e01ef", "a\ufe00\ufe01????"},
		{"joiners in a row", "a\u200c\u200d\u200c\u200db", "a\u200c\u200d??b"},
		{"joiners that join nothing", "\u200c\u200d", "??"},
		{"fillers", "\u115f\u1160\u3164\uffa0\u034f\u17b4\u180b", "???????"},
		{"a space without width", "a\u200bb\u2060c\ufeffd\u00ade", "a?b?c?d?e"},
		{"what turns text around", "a\u202eb\u2066c\u200fd", "a?b?c?d"},
		{"no UTF-8", "a\xffb", "a\ufffdb"},
	} {
		if got := text(tt.in); got != tt.want {
			t.Errorf("%s: %+q, want %+q", tt.name, got, tt.want)
		}
	}
}
