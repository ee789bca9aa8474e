package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Values are secrets by the name of their environment variable.
type Values map[string]Value

// ValidName reports whether name can be an environment variable, as every shell takes them.
func ValidName(name string) bool {
	const first = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
	return name != "" && strings.Contains(first, name[:1]) && strings.Trim(name, first+"0123456789") == ""
}

// ParseJSON reads a flat JSON object of strings, or what `fnox export -f json`
// prints: {"secrets": {…}, "metadata": {…}}. Errors name the key and never show
// a value.
func ParseJSON(b []byte) (Values, error) {
	b, err := utf8Text(b)
	if err != nil {
		return nil, err
	}
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, jsonError(b, err)
	}
	if inner, ok := doc["secrets"]; ok && bytes.HasPrefix(bytes.TrimSpace(inner), []byte("{")) {
		doc = nil
		if err := json.Unmarshal(inner, &doc); err != nil {
			return nil, jsonError(inner, err)
		}
	}
	values := Values{}
	for name, raw := range doc {
		if !ValidName(name) {
			return nil, fmt.Errorf("%q is not the name of an environment variable", name)
		}
		var text *string
		if err := json.Unmarshal(raw, &text); err != nil || text == nil {
			return nil, fmt.Errorf("the value of %q is %s, not a string", name, kindOf(raw))
		}
		if strings.ContainsRune(*text, 0) {
			return nil, fmt.Errorf("the value of %q holds a NUL byte, which no environment variable can", name)
		}
		values[name] = New(*text)
	}
	return values, nil
}

// utf8Text is a text without the byte order mark that editors on Windows put before it.
func utf8Text(b []byte) ([]byte, error) {
	if bytes.HasPrefix(b, []byte("\xff\xfe")) || bytes.HasPrefix(b, []byte("\xfe\xff")) {
		return nil, errors.New("it is text in UTF-16: save it as UTF-8") // > in PowerShell writes it
	}
	return bytes.TrimPrefix(b, []byte("\ufeff")), nil
}

// jsonError says where the text stops being an object of strings. The decoder's
// own words may quote a character of it, so they are not used.
func jsonError(b []byte, err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		line := 1 + bytes.Count(b[:min(int(syntax.Offset), len(b))], []byte("\n"))
		return fmt.Errorf("line %d: not valid JSON", line)
	}
	return errors.New("not a JSON object of strings")
}

func kindOf(raw []byte) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case 'n':
		return "null"
	case 't', 'f':
		return "true or false"
	default:
		return "a number"
	}
}

// ParseDotenv reads lines NAME=value: comments with #, an optional `export`,
// values bare, in single quotes (as they stand) or in double quotes (with \n,
// \r, \t, \", \\ and \$; over several lines). Nothing is expanded. Errors name
// the line and never show it.
func ParseDotenv(b []byte) (Values, error) {
	values := Values{}
	b, err := utf8Text(b)
	if err != nil {
		return nil, err
	}
	text := strings.ReplaceAll(string(b), "\r\n", "\n")
	for line := 1; text != ""; {
		row, rest, _ := strings.Cut(text, "\n")
		at := line
		trimmed := strings.TrimSpace(row)
		if trimmed == "" || strings.HasPrefix(trimmed, "#") {
			text, line = rest, line+1
			continue
		}
		name, _, found := strings.Cut(row, "=")
		name = strings.TrimSpace(name)
		if after, ok := strings.CutPrefix(name, "export "); ok {
			name = strings.TrimSpace(after)
		}
		if !found || !ValidName(name) {
			return nil, fmt.Errorf("line %d: not NAME=value", at)
		}
		value, used, err := dotenvValue(text[strings.Index(text, "=")+1:])
		if err != nil {
			return nil, fmt.Errorf("line %d: the value of %s %w", at, name, err)
		}
		if strings.ContainsRune(value, 0) {
			return nil, fmt.Errorf("line %d: the value of %s holds a NUL byte", at, name)
		}
		consumed := strings.Index(text, "=") + 1 + used
		line += strings.Count(text[:consumed], "\n")
		text = text[consumed:]
		values[name] = New(value)
	}
	return values, nil
}

// dotenvValue reads one value and its line's end, and how many bytes that took.
func dotenvValue(s string) (value string, used int, err error) {
	lead := len(s) - len(strings.TrimLeft(s, " \t"))
	body := s[lead:]
	if body == "" || body[0] != '"' && body[0] != '\'' {
		row, _, more := strings.Cut(s, "\n")
		used = len(row)
		if more {
			used++
		}
		if i := strings.Index(row, " #"); i >= 0 {
			row = row[:i]
		}
		return strings.TrimSpace(row), used, nil
	}
	quote := body[0]
	var out strings.Builder
	for i := 1; i < len(body); i++ {
		switch c := body[i]; {
		case c == quote:
			row, _, more := strings.Cut(body[i+1:], "\n")
			if tail := strings.TrimSpace(row); tail != "" && tail[0] != '#' {
				return "", 0, errors.New("has text after its closing quote")
			}
			used = lead + i + 1 + len(row)
			if more {
				used++
			}
			return out.String(), used, nil
		case c == '\\' && quote == '"' && i+1 < len(body):
			i++
			out.WriteString(unescape(body[i]))
		default:
			out.WriteByte(c)
		}
	}
	return "", 0, errors.New("has no closing quote")
}

func unescape(c byte) string {
	switch c {
	case 'n':
		return "\n"
	case 'r':
		return "\r"
	case 't':
		return "\t"
	case '"', '\\', '$', '`':
		return string(c)
	default:
		return `\` + string(c)
	}
}
