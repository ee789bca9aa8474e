// Package yamlfile reads YAML that somebody else may have written: in bounded time,
// without a crash, and with errors that show nothing of it.
package yamlfile

import (
	"bytes"
	"errors"

	"github.com/goccy/go-yaml"
)

// bracketsMost is how many lists, maps and keys of that kind may begin: far above what a file has that people write. The
// parser takes a time that grows with the square of their depth.
const bracketsMost = 4000

// Unmarshal reads YAML into v. Errors say where, and do not quote the lines there, as the
// parser's own do: one may hold what nobody should see.
func Unmarshal(b []byte, v any, opts ...yaml.DecodeOption) (err error) {
	brackets := 0
	for _, open := range []string{"[", "{", "- ", "? "} {
		brackets += bytes.Count(b, []byte(open))
	}
	if brackets > bracketsMost {
		return errors.New("it has more lists and maps than any such file")
	}
	defer func() {
		if recover() != nil { // the parser's own
			err = errors.New("it is no YAML")
		}
	}()
	if err := yaml.UnmarshalWithOptions(b, v, opts...); err != nil {
		return errors.New(yaml.FormatError(err, false, false))
	}
	return nil
}
