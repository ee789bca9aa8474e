package spec

import (
	"errors"
	"fmt"
	"strings"
)

// piece is a part of a text: literal, or a variable with what to use without it.
type piece struct {
	literal    string
	name       string
	hasDefault bool
	fallback   []piece
}

// What is wrong with a text that holds variables. They continue a sentence that
// begins with the path, and never repeat the text.
var (
	errUnclosed = errors.New("has a ${ without its }: close it, or write $$ for a dollar")
	errVariable = errors.New("has a ${…} that is not a variable: write ${NAME} or ${NAME:-default}, or $$ for a dollar")
	errBare     = errors.New("has a variable without braces: write ${NAME}, or $$ for a dollar")
)

// pieces splits a text at its variables.
func pieces(text string) ([]piece, error) {
	if bare, ok := strings.CutPrefix(text, "$"); ok && isVariable(bare) && bare == strings.ToUpper(bare) {
		return nil, errBare
	}
	list, rest, err := split(text, false)
	if err == nil && rest != "" {
		return nil, fmt.Errorf("internal error: %d bytes of a text were not split", len(rest))
	}
	return list, err
}

// split reads pieces up to the end of text, or inside a default up to the brace
// that ends it; rest is what comes after that.
func split(text string, inside bool) (list []piece, rest string, err error) {
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			list = append(list, piece{literal: literal.String()})
			literal.Reset()
		}
	}
	for text != "" {
		switch {
		case strings.HasPrefix(text, "$$"):
			literal.WriteByte('$')
			text = text[2:]
		case strings.HasPrefix(text, "${"):
			flush()
			var v piece
			if v, text, err = variable(text[2:]); err != nil {
				return nil, "", err
			}
			list = append(list, v)
		case inside && text[0] == '}':
			flush()
			return list, text[1:], nil
		default:
			literal.WriteByte(text[0])
			text = text[1:]
		}
	}
	if inside {
		return nil, "", errUnclosed
	}
	flush()
	return list, "", nil
}

// variable reads what follows "${".
func variable(text string) (v piece, rest string, err error) {
	end := strings.IndexAny(text, ":}")
	if end < 0 {
		return v, "", errUnclosed
	}
	if v.name = text[:end]; !isVariable(v.name) {
		return v, "", errVariable
	}
	if text[end] == '}' {
		return v, text[end+1:], nil
	}
	fallback, ok := strings.CutPrefix(text[end:], ":-")
	if !ok {
		return v, "", errVariable
	}
	v.hasDefault = true
	v.fallback, rest, err = split(fallback, true)
	return v, rest, err
}

// isVariable reports whether name can be a variable of the environment.
func isVariable(name string) bool {
	for i, r := range name {
		if r != '_' && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}
