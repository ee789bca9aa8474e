// Package yamlfile reads YAML that somebody else may have written: in bounded time,
// without a crash, and with errors that show nothing of it.
package yamlfile

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// What a file has at most: far above one that people write. The parser takes a time that
// grows with the square of each (6000 keys of one map: some seconds), and stack with the last.
const (
	sizeMost     = 256 << 10
	entriesMost  = 6000 // lines; as many commas
	bracketsMost = 4000 // beginnings of lists, maps and keys, tags and anchors
)

var errSecond = errors.New("it has a second document: only the first would count here")

// Unmarshal reads YAML into v. Errors say where, and do not quote the lines there, as the
// parser's own do: one may hold what nobody should see.
func Unmarshal(b []byte, v any, opts ...yaml.DecodeOption) error {
	return guarded(b, func() error {
		root, err := parse(b)
		if root == nil || err != nil {
			return err
		}
		return yaml.NodeToValue(root, v, opts...)
	})
}

// Parse is the document of a file that another program reads, too; nil of an empty one. It
// refuses what is text to the one and the end of a line to the other.
func Parse(b []byte) (root ast.Node, err error) {
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	if bytes.ContainsFunc(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), odd) {
		return nil, errors.New("it has control characters, or ends of lines that only some programs take for one")
	}
	err = guarded(b, func() (err error) {
		root, err = parse(b)
		return err
	})
	return root, err
}

func odd(r rune) bool {
	switch r {
	case '\n', '\t':
		return false
	case '\u2028', '\u2029', '\ufeff', '\ufffd':
		return true
	}
	return r < ' ' || r >= 0x7f && r < 0xa0
}

func parse(b []byte) (root ast.Node, err error) {
	f, err := Document(b)
	if err != nil {
		return nil, err
	}
	for _, d := range f.Docs {
		if d.Body == nil || d.Body.Type() == ast.DirectiveType || d.Body.Type() == ast.CommentType {
			continue
		}
		if root != nil {
			return nil, errSecond
		}
		root = d.Body
	}
	return root, nil
}

// guarded calls what parses b, if that ends soon.
func guarded(b []byte, call func() error) (err error) {
	if err := bounded(b); err != nil {
		return err
	}
	defer func() {
		if recover() != nil { // the parser's own
			err = errors.New("it is not YAML")
		}
	}()
	if err := call(); err != nil {
		return errors.New(yaml.FormatError(err, false, false))
	}
	return nil
}

func bounded(b []byte) error {
	count := func(marks ...string) (n int) {
		for _, mark := range marks {
			n += bytes.Count(b, []byte(mark))
		}
		return n
	}
	switch {
	case len(b) > sizeMost:
		return fmt.Errorf("it has more than %d KiB", sizeMost>>10)
	case count("\n") > entriesMost, count("\r") > entriesMost, count(",") > entriesMost:
		return fmt.Errorf("it has more than %d lines and commas", entriesMost)
	case count("[", "{", "- ", "? ", "!", "&") > bracketsMost:
		return errors.New("it has more lists and maps than any such file")
	}
	return nil
}
