package order

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of values: bytes, and the greatest number.
const (
	wordMost   = 200
	pathMost   = 4096
	timeMost   = 100
	textMost   = 1000
	numberMost = 1000
)

// check is the error of a value, to be read after the name of its parameter.
func (k Kind) check(value string) error {
	switch k {
	case Word:
		if strings.IndexFunc(value, unicode.IsSpace) >= 0 {
			return errors.New("is one word: no white space may be in it")
		}
		return named(value, wordMost)
	case Path:
		return named(value, pathMost)
	case Time:
		if strings.ContainsAny(value, "/@") {
			return errors.New("is the name of a checkpoint, a generation's number, how long ago (2h, 3d), or a time")
		}
		return named(value, timeMost)
	case Text:
		return plain(value, textMost)
	case Flag:
		if value != "true" && value != "false" {
			return errors.New("is true or false")
		}
		return nil
	case Number:
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > numberMost || strconv.Itoa(n) != value {
			return fmt.Errorf("is a number from 1 to %d", numberMost)
		}
		return nil
	}
	return fmt.Errorf("is of no known kind (%q)", string(k))
}

// named is the error of what stands for a thing: no flag may be made of it.
func named(value string, most int) error {
	if strings.HasPrefix(value, "-") {
		return errors.New(`may not begin with "-"`)
	}
	return plain(value, most)
}

// plain is the error of a text that is not one line of characters.
func plain(value string, most int) error {
	switch {
	case len(value) > most:
		return fmt.Errorf("is longer than %d bytes", most)
	case !utf8.ValidString(value):
		return errors.New("is not UTF-8")
	case strings.IndexFunc(value, isControl) >= 0:
		return errors.New("has a control character in it, or more than one line")
	}
	return nil
}

// isControl reports whether a character moves a cursor, ends a line, or turns the direction of
// what follows it.
func isControl(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}
