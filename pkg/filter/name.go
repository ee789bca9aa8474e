package filter

import (
	"strings"
	"unicode/utf8"
)

// rclone does not show names raw. It replaces characters that a terminal or a
// remote may stumble over, and quotes names that already hold a replacement.
// Its filters see the replaced names.
const (
	quoteMark  = '‛' // stands before a character that would else read as a replacement
	symbolNull = '␀' // the first of the symbols for the control characters 0 to 31
	symbolDel  = '␡'
	wideSlash  = '／' // how a "/" within a name would be shown
	wideDot    = "．" // how the names "." and ".." would be shown
)

// shown returns the path under the names that rclone's filters see.
func shown(path string) string {
	if plain(path) {
		return path
	}
	elements := strings.Split(path, "/")
	for i, e := range elements {
		elements[i] = shownElement(e)
	}
	return strings.Join(elements, "/")
}

// plain reports whether the path surely is shown as it is. All marks of const
// above that change anything begin with the byte 0xE2.
func plain(path string) bool {
	for i := range len(path) {
		if c := path[i]; c < ' ' || c == 0x7f || c == 0xe2 {
			return false
		}
	}
	return true
}

// shownElement rewrites one name. rclone reads it as if slashes, dots and NULs
// were replaced in it already, and then replaces all it replaces.
func shownElement(name string) string {
	const quotedDot = string(quoteMark) + wideDot
	if name == quotedDot || name == quotedDot+quotedDot {
		return name
	}
	var out strings.Builder
	for len(name) > 0 {
		r, n := utf8.DecodeRuneInString(name)
		if pair := quotedPair(name); pair > 0 {
			out.WriteString(name[:pair])
			n = pair
		} else if r == utf8.RuneError {
			out.WriteString(name[:n]) // the byte itself, when it is not UTF-8
		} else {
			writeShown(&out, r)
		}
		name = name[n:]
	}
	return out.String()
}

// quotedPair returns the length of the quoted character that name begins with,
// 0 if it does not begin with one.
func quotedPair(name string) int {
	first, n := utf8.DecodeRuneInString(name)
	second, m := utf8.DecodeRuneInString(name[n:])
	if first != quoteMark || (second != quoteMark && second != symbolNull && second != wideSlash) {
		return 0
	}
	return n + m
}

// writeShown writes a character that stands alone.
func writeShown(out *strings.Builder, r rune) {
	switch {
	case r < ' ':
		r += symbolNull
	case r == 0x7f:
		r = symbolDel
	case r == quoteMark, r == symbolDel, r > symbolNull && r < symbolNull+' ':
		out.WriteRune(quoteMark)
	}
	out.WriteRune(r)
}
