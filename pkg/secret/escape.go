package secret

import (
	"bytes"
	"strconv"
	"strings"
)

// decoded is a character that the next n bytes of a text may stand for.
type decoded struct {
	char byte
	n    int
}

// longestEscape is how much of a text decode looks at.
const longestEscape = 16

// introduces has the bytes that an escape, or a break of lines, begins with.
var introduces = func() (is [256]bool) {
	for _, c := range []byte("\\%&+'\"\n\r=") {
		is[c] = true
	}
	return is
}()

// decode returns the characters that text may begin with: what stands there, or what
// it says in the escapes of URLs, JSON, programming languages, shells, SQL, CSV and
// XML. Escapes that were escaped again are read too.
func decode(out []decoded, text []byte) []decoded {
	out = append(out[:0], decoded{text[0], 1})
	switch text[0] {
	case '%':
		rest := text[1:]
		for range 3 {
			rest = bytes.TrimPrefix(rest, []byte("25"))
		}
		out = number(out, len(text)-len(rest), rest, 2, 16)
		if r := out[len(out)-1]; r.char == '+' {
			out = append(out, decoded{' ', r.n})
		}
		if len(rest) < len(text)-1 { // the last 25 may be the character itself
			out = append(out, decoded{'%', len(text) - len(rest)})
		}
	case '+':
		out = append(out, decoded{' ', 1})
	case '\\':
		out = backslash(out, text)
	case '&':
		out = entity(out, text[1:])
	case '\'':
		for _, quoted := range []string{`''`, `'\''`, `'"'"'`} {
			if bytes.HasPrefix(text, []byte(quoted)) {
				out = append(out, decoded{'\'', len(quoted)})
			}
		}
	case '"':
		if bytes.HasPrefix(text, []byte(`""`)) {
			out = append(out, decoded{'"', 2})
		}
	}
	return out
}

// number reads so many digits behind so many bytes.
func number(out []decoded, before int, text []byte, digits, base int) []decoded {
	if len(text) < digits {
		return out
	}
	if n, err := strconv.ParseUint(string(text[:digits]), base, 16); err == nil && n < 0x100 {
		out = append(out, decoded{byte(n), before + digits})
	}
	return out
}

// control are the letters that stand for control characters.
var control = strings.NewReplacer("n", "\n", "r", "\r", "t", "\t", "b", "\b", "f", "\f", "v", "\v", "a", "\a", "e", "\x1b")

// backslash reads what a run of backslashes begins.
func backslash(out []decoded, text []byte) []decoded {
	run := 1
	for run < 8 && run < len(text) && text[run] == '\\' {
		run++
	}
	for n := 2; n <= run; n *= 2 {
		out = append(out, decoded{'\\', n})
	}
	if run == len(text) {
		return out
	}
	switch c := text[run]; {
	case c == 'u':
		out = number(out, run+1, text[run+1:], 4, 16)
	case c == 'x':
		out = number(out, run+1, text[run+1:], 2, 16)
	case '0' <= c && c <= '3':
		out = number(out, run, text[run:], 3, 8)
	case 'a' <= c && c <= 'z':
		if meant := control.Replace(string(c)); meant[0] != c {
			out = append(out, decoded{meant[0], run + 1})
		}
	case ' ' <= c && c < 0x7f:
		out = append(out, decoded{c, run + 1})
	}
	return out
}

// entities are the characters that XML has names for.
var entities = map[string]byte{"amp": '&', "lt": '<', "gt": '>', "quot": '"', "apos": '\''}

// entity reads what follows an ampersand.
func entity(out []decoded, text []byte) []decoded {
	end := bytes.IndexByte(text[:min(len(text), longestEscape-1)], ';')
	if end < 0 {
		return out
	}
	name := string(text[:end])
	if c, ok := entities[name]; ok {
		return append(out, decoded{c, end + 2})
	}
	if digits, ok := strings.CutPrefix(name, "#"); ok {
		if hex, ok := strings.CutPrefix(strings.ToLower(digits), "x"); ok {
			digits = "0x" + hex
		}
		if n, err := strconv.ParseUint(digits, 0, 16); err == nil && n < 0x80 {
			out = append(out, decoded{byte(n), end + 2})
		}
	}
	return out
}

// lineBreaks are what else a wrapped text has between two characters, as it is or as
// a program's string has it. A shell's backslash, and the equals sign of mail, may be
// before it.
var lineBreaks = []string{"\r\n", "\\\n", "=\n", "=\r\n", `\n`, `\r\n`, `\\n`, `\\r\\n`}

// lineBreak is the length of a break of lines that text begins with, and of the
// indent behind it; 0 when there is none.
func lineBreak(text []byte) int {
	switch text[0] {
	case '\n': // the usual one
		return 1 + indent(text[1:])
	case '\r', '\\', '=':
	default:
		return 0
	}
	for _, s := range lineBreaks {
		if bytes.HasPrefix(text, []byte(s)) {
			return len(s) + indent(text[len(s):])
		}
	}
	return 0
}

// indent is how many spaces and tabs text begins with, of a few.
func indent(text []byte) (n int) {
	for n < min(len(text), longestEscape) && (text[n] == ' ' || text[n] == '\t') {
		n++
	}
	return n
}
