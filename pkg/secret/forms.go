package secret

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// MinLength is the length from which values are hidden. Shorter ones ("1", "on",
// "dev") are in half of all lines and protect nothing.
const MinLength = 4

// form is a secret in one encoding: for each character what it may be. How a
// character may be escaped, and where lines may be wrapped, is the reader's to know
// (see decode and lineBreak).
type form []string

// wrapped is the length from which a line break within a form is looked for: shorter
// words are not wrapped, and would be found where there is none.
const wrapped = 8

// leastBase64 is how many characters of base64 must be known: fewer are in other words.
const leastBase64 = 5

// forms are the encodings that a value is looked for in: as it is, as JSON of
// programs that write ASCII only, in hex, and in base64, which has three of each
// value, one for each number of bytes before it in the encoded text.
func forms(value string) []form {
	out := []form{literal(value)}
	if !isASCII(value) {
		out = append(out, anyCase(inUTF16(value)))
	}
	out = append(out, anyCase(hex.EncodeToString([]byte(value))))
	for before := range 3 {
		if f := inBase64(value, before); f != nil {
			out = append(out, f)
		}
	}
	return out
}

// inUTF16 escapes what is not ASCII as JSON and Java do.
func inUTF16(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
			continue
		}
		for _, u := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, `\u%04x`, u)
		}
	}
	return b.String()
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

func literal(s string) form {
	f := make(form, len(s))
	for i := range len(s) {
		f[i] = s[i : i+1]
	}
	return f
}

func anyCase(s string) form {
	f := literal(s)
	for i := range f {
		if c := s[i]; 'a' <= c && c <= 'f' {
			f[i] = string([]byte{c, c - 'a' + 'A'})
		}
	}
	return f
}

// inBase64 is a value in the base64 of a text, with so many bytes (modulo 3) before
// it. The first and the last character may be of neighbours in part: they are what
// the value's bits in them allow.
func inBase64(value string, before int) form {
	first, end := before, before+len(value) // bytes of a text of whole groups
	text := make([]byte, (end+2)/3*3)
	copy(text[first:], value)
	low, high := base64.StdEncoding.EncodeToString(text), ""
	for i := range text {
		if i < first || i >= end {
			text[i] = 0xff
		}
	}
	high = base64.StdEncoding.EncodeToString(text)
	from, to := first*8/6, (end*8+5)/6
	if to-from-2 < leastBase64 {
		return nil
	}
	var f form
	for i := from; i < to; i++ {
		f = append(f, between(low[i], high[i]))
	}
	return f
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// between are the characters whose bits are those that two have in common, in the
// alphabets of base64 for texts and for URLs.
func between(low, high byte) string {
	a, b := strings.IndexByte(alphabet, low), strings.IndexByte(alphabet, high)
	var out []byte
	for i := range len(alphabet) {
		if i&^(a^b) != a&^(a^b) {
			continue
		}
		out = append(out, alphabet[i])
		switch alphabet[i] {
		case '+':
			out = append(out, '-')
		case '/':
			out = append(out, '_')
		}
	}
	return string(out)
}
