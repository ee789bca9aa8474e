// Package secret holds values that must not be printed: credentials of a
// remote, passwords, the environment of a service. A Value redacts itself under
// every verb of fmt, in JSON, in text encodings and in log/slog. Any package may
// use it; only code that hands the value to a child process calls Reveal. A Redactor
// hides values in texts of others.
package secret

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what is shown in place of a value. Logs use the same mark, so one
// search finds every place where something was hidden.
const Redacted = "********"

// Value is a text that cannot be printed. The zero Value is the empty text.
//
// The text is the result of a function: fmt reaches unexported fields of a struct
// without calling their methods, and go-cmp and dumpers follow pointers too, but
// none of them calls a function.
type Value struct{ text func() string }

// New returns a Value that holds text.
func New(text string) Value {
	if text == "" {
		return Value{}
	}
	return Value{func() string { return text }}
}

// Reveal returns the text. Call it only where the text goes to its user: the
// environment or the standard input of a child.
func (v Value) Reveal() string {
	if v.text == nil {
		return ""
	}
	return v.text()
}

// Empty reports whether there is no text.
func (v Value) Empty() bool { return v.text == nil }

// Equal reports whether both hold the same text, in a time that does not depend on
// where they differ. go-cmp uses it too.
func (v Value) Equal(other Value) bool {
	return subtle.ConstantTimeCompare([]byte(v.Reveal()), []byte(other.Reveal())) == 1
}

// String returns the mark, never the text; an empty Value gives "".
func (v Value) String() string {
	if v.Empty() {
		return ""
	}
	return Redacted
}

// Format writes the mark for every verb and flag; a Stringer alone would leak
// through %d and %x.
func (v Value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, v.String()) }

// LogValue gives log/slog the mark.
func (v Value) LogValue() slog.Value { return slog.StringValue(v.String()) }

// MarshalText gives text encodings the mark.
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// MarshalJSON gives encoding/json the mark.
func (v Value) MarshalJSON() ([]byte, error) { return []byte(`"` + v.String() + `"`), nil }

// MarshalYAML gives YAML encoders the mark.
func (v Value) MarshalYAML() (any, error) { return v.String(), nil }
