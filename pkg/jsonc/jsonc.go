// Package jsonc reads JSON with comments that somebody else may have written: without a
// full stack, and so that it says one thing to all programs.
package jsonc

import (
	"bytes"
	"errors"

	"github.com/tailscale/hujson"
)

// bracketsMost is far above what a file has that people write. The parser calls itself for
// each one within another, and a stack that is full ends the program.
const bracketsMost = 10000

// Standard is the JSON of a text with comments.
func Standard(src []byte) ([]byte, error) {
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	if bytes.Count(src, []byte("["))+bytes.Count(src, []byte("{")) > bracketsMost {
		return nil, errors.New("it has more lists and objects than any such file")
	}
	if bytes.Contains(bytes.ReplaceAll(src, []byte("\r\n"), nil), []byte("\r")) {
		return nil, errors.New("it has a carriage return that ends no line: some programs take a comment to end there")
	}
	return hujson.Standardize(append(bytes.Clone(src), '\n')) // a comment may end the file
}
