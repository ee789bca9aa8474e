package rclone

import (
	"strings"
	"testing"
)

func TestEncodeKey(t *testing.T) {
	tests := map[string]string{
		"plain/name": "plain/name",
		"new\nline":  "new␊line",
		"cr\r/x\x7f": "cr␍/x␡",
		"␊":          "‛␊",
		"‛FF":        "‛‛FF",
		"full／width": "full‛／width",
		"．":          "‛．",
		"a/．．/b":     "a/‛．‛．/b",
		"．x":         "．x",
		"\xff\xfe":   "\xff\xfe",
		"caf\xe9␀":   "caf\xe9‛␀",
		"\ufffd":     "\ufffd",
	}
	for key, want := range tests {
		if got := encodeKey(key); got != want {
			t.Errorf("encodeKey(%q) = %q, want %q", key, got, want)
		}
		if got := decodeKey(want); got != key {
			t.Errorf("decodeKey(%q) = %q, want %q", want, got, key)
		}
	}
}

// Any key comes back, and no line of ours is two.
func FuzzEncodeKey(f *testing.F) {
	for _, name := range awkward {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if checkKey(key) != nil {
			return
		}
		encoded := encodeKey(key)
		if strings.ContainsAny(encoded, "\n\r") {
			t.Errorf("%q: %q is more than a line", key, encoded)
		}
		if got := decodeKey(encoded); got != key {
			t.Errorf("%q became %q", key, got)
		}
	})
}
