package filter

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/coltec/coltec/pkg/hint"
)

// What can be wrong with a pattern, beside a bad regular expression.
var (
	errStars    = hint.Wrap(errors.New("more than two stars in a row"), `"*" matches within a path element, "**" across them; write \* for a star`)
	errBracket  = hint.Wrap(errors.New(`"]" without "["`), `write \] for a bracket`)
	errClass    = hint.Wrap(errors.New(`"[" without "]"`), `write \[ for a bracket`)
	errEmpty    = hint.Wrap(errors.New("empty character class"), `name the characters that it shall not match: [!abc]`)
	errUnopened = hint.Wrap(errors.New(`"}" without "{"`), `write \} for a brace`)
	errUnclosed = hint.Wrap(errors.New(`"{" without "}"`), `write \{ for a brace`)
	errRegexp   = hint.Wrap(errors.New(`"{{" without "}}"`), `close the regular expression with "}}"`)
)

// compileGlob returns the regular expression of a pattern.
func compileGlob(glob string) (*regexp.Regexp, error) {
	expr, err := translate(glob)
	if err != nil {
		return nil, err
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, hint.Wrap(fmt.Errorf("it reads as the regular expression %q: %w", expr, err),
			"see https://rclone.org/filtering/ for what a pattern may hold")
	}
	return re, nil
}

// translate rewrites a pattern as a regular expression, exactly as rclone does,
// oddities included: what stands in brackets or behind a backslash is handed
// through, so \d is a digit and [[:alpha:]] a letter.
func translate(glob string) (string, error) {
	t := translator{out: []byte("(^|/)")}
	if rest, anchored := strings.CutPrefix(glob, "/"); anchored {
		glob, t.out = rest, []byte("^")
	}
	for _, c := range glob {
		if err := t.next(c); err != nil {
			return "", err
		}
		t.last = c
	}
	if err := t.end(); err != nil {
		return "", err
	}
	return string(t.out) + "$", nil
}

// mode is what a translator is in the midst of.
type mode int

const (
	inGlob   mode = iota
	escaped       // just after a backslash
	inClass       // between [ and ]
	inRegexp      // between {{ and }}
	atEnd         // just after }}: one more brace belongs to the expression
)

// translator holds the state of one translation.
type translator struct {
	out     []byte
	mode    mode
	last    rune // the character before
	stars   int  // stars in a row, not yet written
	braces  int  // open {
	classes int  // open [, which rclone counts as if they nested
	opened  bool // just after the [ of a class
	negated bool // just after the ! or ^ of a class
}

// put writes a character as it is.
func (t *translator) put(c rune) { t.out = utf8.AppendRune(t.out, c) }

// next takes one character, according to the mode.
func (t *translator) next(c rune) error {
	if t.mode == atEnd && c != '}' {
		t.mode = inGlob
	}
	switch t.mode {
	case escaped:
		t.put(c)
		t.mode = inGlob
	case inRegexp:
		t.regexp(c)
	case atEnd: // the last "}" was the expression's own: the end is here
		t.out[len(t.out)-1] = '}'
		t.put(')')
	case inClass:
		return t.class(c)
	default:
		return t.glob(c)
	}
	return nil
}

// regexp takes a character between {{ and }}.
func (t *translator) regexp(c rune) {
	if c == '}' && t.last == '}' {
		t.out[len(t.out)-1] = ')'
		t.mode = atEnd
		return
	}
	t.put(c)
}

// class takes a character between [ and ]. A negated class does not match the
// slash, as "?" does not.
func (t *translator) class(c rune) error {
	if t.opened && (c == '!' || c == '^') {
		t.opened, t.negated = false, true
		t.out = append(t.out, "^/"...)
		return nil
	}
	if t.negated && c == ']' {
		return errEmpty
	}
	t.opened, t.negated = false, false
	t.put(c)
	switch c {
	case '[':
		t.classes++
	case ']':
		if t.classes--; t.classes == 0 {
			t.mode = inGlob
		}
	}
	return nil
}

// glob takes a character of the pattern proper.
func (t *translator) glob(c rune) error {
	if c == '*' {
		t.stars++
		return nil
	}
	if err := t.flush(); err != nil {
		return err
	}
	switch c {
	case '\\':
		t.put(c)
		t.mode = escaped
	case '?':
		t.out = append(t.out, "[^/]"...)
	case '[':
		t.put(c)
		t.mode, t.classes, t.opened = inClass, 1, true
	case ']':
		return errBracket
	case '{', '}', ',':
		return t.brace(c)
	case '.', '+', '(', ')', '|', '^', '$':
		t.out = append(t.out, '\\', byte(c))
	default:
		t.put(c)
	}
	return nil
}

// brace takes the characters of {a,b}, which nests, and the start of {{…}}.
func (t *translator) brace(c rune) error {
	switch {
	case c == '{' && t.braces > 0 && t.last == '{':
		// The parenthesis of the first brace is closed by the end of the expression.
		t.mode = inRegexp
		t.braces--
	case c == '{':
		t.braces++
		t.put('(')
	case c == '}' && t.braces == 0:
		return errUnopened
	case c == '}':
		t.braces--
		t.put(')')
	case t.braces > 0:
		t.put('|')
	default:
		t.put(c)
	}
	return nil
}

// flush writes the stars that have come so far.
func (t *translator) flush() error {
	switch t.stars {
	case 0:
	case 1:
		t.out = append(t.out, "[^/]*"...)
	case 2:
		t.out = append(t.out, ".*"...)
	default:
		return errStars
	}
	t.stars = 0
	return nil
}

// end checks that nothing is left open.
func (t *translator) end() error {
	switch {
	case t.stars > 2:
		return errStars
	case t.mode == inClass:
		return errClass
	case t.braces > 0:
		return errUnclosed
	case t.mode == inRegexp:
		return errRegexp
	}
	return t.flush()
}

// parentGlobs returns patterns, deepest first, for the directories in which a
// file of glob can be. Each ends in "/", or is "/**" where that may be anywhere.
// The root is left out: it is always entered.
func parentGlobs(glob string) []string {
	if opaque(glob) {
		return []string{"/**"}
	}
	for strings.Contains(glob, "//") {
		glob = strings.ReplaceAll(glob, "//", "/")
	}
	var parents []string
	everywhere := true
	for {
		cut, stars := strings.LastIndex(glob, "/"), strings.LastIndex(glob, "**")
		if cut < 0 && stars < 0 {
			break
		}
		everywhere = false
		parent := glob[:max(cut, stars)]
		glob = parent
		if stars > cut {
			parent += "**"
		}
		if parent += "/"; parent != "/" && (len(parents) == 0 || parents[len(parents)-1] != parent) {
			parents = append(parents, parent)
		}
	}
	if everywhere {
		return []string{"/**"}
	}
	return parents
}

// opaque reports whether rclone gives up on finding the directories of a pattern:
// where a regular expression or nested braces are in it, or where a brace holds
// what crosses path elements.
func opaque(glob string) bool {
	if strings.Contains(glob, "}}") {
		return true
	}
	for i := range len(glob) {
		if glob[i] != '{' {
			continue
		}
		body := glob[i+1:]
		end := strings.IndexAny(body, "{}")
		if end < 0 {
			return false
		}
		body, closing := body[:end], body[end]
		if closing == '{' || strings.Contains(body, "**") || strings.Contains(body, "/") {
			return true
		}
	}
	return false
}

// quote writes a literal name as a pattern.
func quote(name string) string {
	return quoter.Replace(name)
}

var quoter = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `{`, `\{`, `}`, `\}`)
