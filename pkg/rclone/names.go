package rclone

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// rclone writes names, in what it reads and prints, in an encoding of its own:
// control characters as their pictures (a newline is "␊"), and what looks like
// such a replacement quoted with "‛". So any name fits into a line, and a
// name that holds one of these characters must be quoted or it is another. Bytes
// that are not UTF-8 pass as they are. See rclone's lib/encoder, "Standard".
const (
	quote     = '‛'
	pictures  = '␀' // the picture of 0; those of 1 to 31 follow
	deleted   = '␡'
	wideSlash = '／'
	wideDot   = '．'
)

// special reports whether r stands for another character unless it is quoted.
func special(r rune) bool {
	return r == quote || r == deleted || r == wideSlash || r >= pictures && r < pictures+0x20
}

// encodeKey writes a key as rclone wants to be told it.
func encodeKey(key string) string { return eachElement(key, encodeName) }

// decodeKey reads a key that rclone printed.
func decodeKey(key string) string { return eachElement(key, decodeName) }

// eachElement applies f to the elements of a path.
func eachElement(path string, f func(string) string) string {
	elems := strings.Split(path, "/")
	for i, elem := range elems {
		elems[i] = f(elem)
	}
	return strings.Join(elems, "/")
}

// dots are the whole names that stand for others; keys hold no "." or "..".
var dots = map[string]string{
	string(wideDot):                   string(quote) + string(wideDot),
	string(wideDot) + string(wideDot): string(quote) + string(wideDot) + string(quote) + string(wideDot),
}

// encodeName encodes one element.
func encodeName(name string) string {
	if quoted, ok := dots[name]; ok {
		return quoted
	}
	var b strings.Builder
	for i, r := range name {
		switch {
		case r == utf8.RuneError:
			_, size := utf8.DecodeRuneInString(name[i:])
			b.WriteString(name[i : i+size]) // as it is: perhaps no UTF-8
		case r > 0 && r < 0x20:
			b.WriteRune(pictures + r)
		case r == 0x7f:
			b.WriteRune(deleted)
		case special(r):
			b.WriteRune(quote)
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// decodeName is the reverse of encodeName.
func decodeName(name string) string {
	for plain, quoted := range dots {
		if name == quoted {
			return plain
		}
	}
	var b strings.Builder
	for i := 0; i < len(name); {
		r, size := utf8.DecodeRuneInString(name[i:])
		next, nextSize := utf8.DecodeRuneInString(name[i+size:])
		switch {
		case r == quote && special(next):
			b.WriteRune(next)
			size += nextSize
		case r == deleted:
			b.WriteByte(0x7f)
		case r == wideSlash:
			b.WriteByte('/') // never in a key of ours
		case r > pictures && r < pictures+0x20:
			b.WriteByte(byte(r - pictures))
		default:
			b.WriteString(name[i : i+size])
		}
		i += size
	}
	return b.String()
}

// checkKey refuses what cannot be a key below a root: rclone would clean it,
// and act on another object.
func checkKey(key string) error {
	switch {
	case key == "", strings.HasPrefix(key, "/"), strings.HasSuffix(key, "/"), strings.ContainsRune(key, 0):
	default:
		for elem := range strings.SplitSeq(key, "/") {
			if elem == "" || elem == "." || elem == ".." {
				return fmt.Errorf("%q is not a clean relative path", key)
			}
		}
		return nil
	}
	return fmt.Errorf("%q is not a clean relative path", key)
}

// badKey is an Error about a key that cannot be.
func badKey(op, key string, err error) error {
	return &Error{Op: op, Key: key, Exit: -1, Class: Config, cause: err, Keys: []string{key},
		step: "give the object a clean relative path"}
}

// keyList returns keys as rclone's standard input, a line each, each once.
func keyList(op, about string, keys []string) ([]byte, error) {
	var list bytes.Buffer
	seen := make(map[string]bool, len(keys))
	for _, key := range keys {
		if err := checkKey(key); err != nil {
			return nil, badKey(op, about, err)
		}
		if seen[key] {
			continue
		}
		seen[key] = true
		list.WriteString(encodeKey(key))
		list.WriteByte('\n')
	}
	return list.Bytes(), nil
}
