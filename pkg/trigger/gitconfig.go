package trigger

import "strings"

// setting is one of a git configuration. The key has no subsection: section.name.
type setting struct{ section, key, value string }

// gitSettings reads a configuration as git does. Where git gives up it goes on with the next
// line: another git may take what this one refuses.
func gitSettings(text string) (all []setting) {
	p := configText{rest: strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n")}
	section := ""
	for p.rest != "" {
		switch c := p.rest[0]; {
		case isSpace(c):
			p.rest = p.rest[1:]
		case c == '#' || c == ';':
			p.line()
		case c == '[':
			section = p.section()
		case isLetter(c):
			name, value := p.pair()
			all = append(all, setting{section, section + "." + name, value})
		default:
			p.rest = p.rest[1:]
		}
	}
	return all
}

// configText is what is still to be read.
type configText struct{ rest string }

// line takes the rest of the line: a comment has no next one.
func (p *configText) line() {
	_, p.rest, _ = strings.Cut(p.rest, "\n")
}

// section takes [name], [name.sub] or [name "sub"], and gives the name.
func (p *configText) section() string {
	p.rest = strings.TrimLeft(p.rest[1:], " \t")
	i := 0
	for i < len(p.rest) && isKey(p.rest[i]) {
		i++
	}
	name := strings.ToLower(p.rest[:i])
	for quoted := false; i < len(p.rest) && p.rest[i] != '\n'; i++ {
		switch c := p.rest[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ']' && !quoted:
			p.rest = p.rest[i+1:]
			return name
		}
	}
	p.rest = p.rest[min(i, len(p.rest)):]
	return name
}

// pair takes a name, and what is after its equals sign.
func (p *configText) pair() (name, value string) {
	i := 0
	for i < len(p.rest) && isKey(p.rest[i]) {
		i++
	}
	name = strings.ToLower(p.rest[:i])
	p.rest = strings.TrimLeft(p.rest[i:], " \t\v\f\r")
	if !strings.HasPrefix(p.rest, "=") {
		return name, "" // alone it is true
	}
	p.rest = p.rest[1:]
	return name, strings.TrimSpace(p.value())
}

// value takes a value: quotes go, what is escaped is read, and a line may go on.
func (p *configText) value() string {
	var b strings.Builder
	quoted, comment := false, false
	for i := 0; i < len(p.rest); i++ {
		c := p.rest[i]
		switch {
		case c == '\n':
			p.rest = p.rest[i+1:]
			return b.String()
		case comment:
		case !quoted && (c == '#' || c == ';'):
			comment = true
		case c == '"':
			quoted = !quoted
		case c == '\\' && i+1 < len(p.rest):
			i++
			if next := p.rest[i]; next != '\n' {
				b.WriteByte(unescaped(next))
			}
		default:
			b.WriteByte(c)
		}
	}
	p.rest = ""
	return b.String()
}

func unescaped(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	}
	return c
}

func isSpace(c byte) bool  { return strings.IndexByte(" \t\n\v\f\r", c) >= 0 }
func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isKey(c byte) bool    { return isLetter(c) || c >= '0' && c <= '9' || c == '-' }
