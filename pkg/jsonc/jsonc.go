// Package jsonc reads JSON with comments that somebody else may have written: without a
// full stack, and so that it says one thing to all programs.
package jsonc

import (
	"bytes"
	"errors"
	"strings"

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
	b, err := hujson.Standardize(append(bytes.Clone(src), '\n')) // a comment may end the file
	return b, worded(err)
}

// worded is an error of the library, which names line and column, without the library's own name.
func worded(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.TrimPrefix(err.Error(), "hujson: "))
}
