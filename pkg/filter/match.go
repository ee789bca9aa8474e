package filter

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

const (
	// maxShapes bounds how many alternatives of a pattern are tried one by one.
	// Beyond it a single regular expression is the faster one.
	maxShapes = 16
	// maxScanned and maxDepth leave monstrous patterns to the regular expression,
	// which has its own bound (it refuses to nest deeper than 1000).
	maxScanned = 4096
	maxDepth   = 100
)

// matcher decides whether a name matches a pattern. Most patterns are one of a
// few shapes, which string functions decide ten times faster than a regular
// expression does; that is compiled for the others only.
type matcher struct {
	shapes []shape        // when set, a match of any of them is the answer
	need   string         // else what each match holds: spares most runs of re
	re     *regexp.Regexp // nil when shapes are set
}

// newMatcher compiles a pattern.
func newMatcher(glob string) (*matcher, error) {
	if _, err := translate(glob); err != nil {
		return nil, err
	}
	tokens, anchored, ok := scan(glob)
	if ok {
		if shapes := shapesOf(tokens, anchored); shapes != nil {
			return &matcher{shapes: shapes}, nil
		}
	}
	re, err := compileGlob(glob)
	if err != nil {
		return nil, err
	}
	return &matcher{re: re, need: longestLiteral(tokens)}, nil
}

// match reports whether the name, as shown returns it, matches.
func (m *matcher) match(name string) bool {
	for i := range m.shapes {
		if m.shapes[i].match(name) {
			return true
		}
	}
	if m.re == nil {
		return false
	}
	return (m.need == "" || strings.Contains(name, m.need)) && m.re.MatchString(name)
}

// kind is the kind of a token or a shape.
type kind byte

const (
	literal kind = iota
	star         // *
	stars        // **
	other        // ? or a class
	open         // {
	comma        // , in braces
	closing      // }
)

// token is a piece of a pattern.
type token struct {
	kind kind
	text string // of a literal
}

// scan splits a pattern that translate accepts into tokens. It fails for
// patterns that hand a piece through to the regular expression: a {{…}}, a
// backslash before a letter, a class with more in it than characters. What such
// a piece does to the rest is the expression's to say.
func scan(glob string) (tokens []token, anchored, ok bool) {
	glob, anchored = strings.CutPrefix(glob, "/")
	// A pattern's U+FFFD matches bytes that are not UTF-8, which no literal does.
	if len(glob) > maxScanned || strings.Contains(glob, "{{") || !utf8.ValidString(glob) || strings.ContainsRune(glob, utf8.RuneError) {
		return nil, anchored, false
	}
	depth := 0
	for len(glob) > 0 {
		t, n := nextToken(glob, depth > 0)
		if n == 0 || depth > maxDepth {
			return nil, anchored, false
		}
		switch t.kind {
		case open:
			depth++
		case closing:
			depth--
		}
		tokens, glob = appendToken(tokens, t), glob[n:]
	}
	return tokens, anchored, true
}

// nextToken returns the first token of glob and its length, 0 for a piece that
// only the regular expression understands.
func nextToken(glob string, braced bool) (token, int) {
	switch glob[0] {
	case '*':
		if strings.HasPrefix(glob, "**") {
			return token{kind: stars}, 2
		}
		return token{kind: star}, 1
	case '?':
		return token{kind: other}, 1
	case '[':
		return token{kind: other}, classLen(glob)
	case '{':
		return token{kind: open}, 1
	case '}':
		return token{kind: closing}, 1
	case '\\':
		if len(glob) < 2 || !punctuation(glob[1]) {
			return token{}, 0
		}
		return token{text: glob[1:2]}, 2
	case ',':
		if braced {
			return token{kind: comma}, 1
		}
	}
	n := 1 + strings.IndexAny(glob[1:]+"*", `*?[]{},\`)
	return token{text: glob[:n]}, n
}

// classLen returns the length of a class of plain characters, 0 for another one:
// rclone ends a class elsewhere than regular expressions do when it begins with
// "]" or holds a "[" or "\".
func classLen(glob string) int {
	end := strings.IndexByte(glob, ']')
	if end < 2 || strings.ContainsAny(glob[1:end], `[\`) {
		return 0
	}
	return end + 1
}

// punctuation reports whether a backslash before c makes it literal.
func punctuation(c byte) bool {
	alphanumeric := c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
	return c < utf8.RuneSelf && !alphanumeric
}

// appendToken appends t, joined with a literal before it.
func appendToken(tokens []token, t token) []token {
	if n := len(tokens); t.kind == literal && n > 0 && tokens[n-1].kind == literal {
		// The token before may be shared with another alternative: it is replaced, not changed.
		return append(tokens[:n-1:n-1], token{text: tokens[n-1].text + t.text})
	}
	return append(tokens, t)
}

// longestLiteral returns the longest literal that stands outside of braces.
func longestLiteral(tokens []token) string {
	longest, depth := "", 0
	for _, t := range tokens {
		switch {
		case t.kind == open:
			depth++
		case t.kind == closing:
			depth--
		case depth == 0 && len(t.text) > len(longest):
			longest = t.text
		}
	}
	return longest
}

// shapesOf returns one shape for each alternative of the braces, nil unless all
// of them have one.
func shapesOf(tokens []token, anchored bool) []shape {
	alternatives := expand(tokens)
	shapes := make([]shape, 0, len(alternatives))
	for _, a := range alternatives {
		s, ok := shapeOf(a, anchored)
		if !ok {
			return nil
		}
		shapes = append(shapes, s)
	}
	if len(shapes) == 0 {
		return nil
	}
	return shapes
}

// expand writes the alternatives of the braces out; nil if they are too many.
func expand(tokens []token) [][]token {
	e := expander{tokens: tokens}
	seqs := e.alternatives()
	if e.tooMany {
		return nil
	}
	return seqs
}

// expander is a reader of tokens; pos is the next one.
type expander struct {
	tokens  []token
	pos     int
	tooMany bool
}

// alternatives reads sequences separated by commas up to a closing brace or the
// end.
func (e *expander) alternatives() [][]token {
	done, current := [][]token(nil), [][]token{nil}
	for e.pos < len(e.tokens) && !e.tooMany {
		t := e.tokens[e.pos]
		e.pos++
		switch t.kind {
		case closing:
			return append(done, current...)
		case comma:
			done, current = append(done, current...), [][]token{nil}
		case open:
			current = product(current, e.alternatives())
		default:
			current = product(current, [][]token{{t}})
		}
		e.tooMany = e.tooMany || len(done)+len(current) > maxShapes
	}
	return append(done, current...)
}

// product joins each sequence of a with each of b.
func product(a, b [][]token) [][]token {
	var out [][]token
	for _, x := range a {
		for _, y := range b {
			seq := append([]token(nil), x...)
			for _, t := range y {
				seq = appendToken(seq, t)
			}
			out = append(out, seq)
		}
	}
	return out
}

// form is the form of a shape.
type form byte

const (
	whole   form = iota // text
	tail                // *text
	element             // text*
	below               // text**
	ending              // **text
	holding             // **text**
	inName              // *text*, text without a slash, not anchored
)

// shape is a pattern of one literal with stars about it. Names have no newline
// (see shown), so "**" is anything at all.
type shape struct {
	form     form
	anchored bool
	text     string
	slashed  string // "/" and text: where a pattern that is not anchored may begin
}

// forms are the forms by the kinds of their tokens, a literal being 'l', a star
// '*' and two stars 'd'.
var forms = map[string]form{
	"": whole, "l": whole, "*": tail, "*l": tail, "l*": element,
	"d": below, "ld": below, "dl": ending, "dld": holding, "*l*": inName,
}

// shapeOf returns the shape of a sequence of tokens without braces.
func shapeOf(tokens []token, anchored bool) (shape, bool) {
	var text, signature string
	for _, t := range tokens {
		switch t.kind {
		case literal:
			text, signature = t.text, signature+"l"
		case star:
			signature += "*"
		case stars:
			signature += "d"
		default:
			return shape{}, false
		}
	}
	f, ok := forms[signature]
	if !ok || f == inName && (anchored || strings.Contains(text, "/")) {
		return shape{}, false
	}
	return shape{form: f, anchored: anchored, text: text, slashed: "/" + text}, true
}

// match reports whether the name has the shape.
func (s *shape) match(name string) bool {
	switch s.form {
	case whole:
		return name == s.text || !s.anchored && strings.HasSuffix(name, s.slashed)
	case tail:
		return strings.HasSuffix(name, s.text) && (!s.anchored || noSlash(name[:len(name)-len(s.text)]))
	case element:
		return s.matchElement(name)
	case below:
		return strings.HasPrefix(name, s.text) || !s.anchored && strings.Contains(name, s.slashed)
	case ending:
		return strings.HasSuffix(name, s.text)
	case holding:
		return strings.Contains(name, s.text)
	default: // inName
		return strings.Contains(name[strings.LastIndexByte(name, '/')+1:], s.text)
	}
}

// matchElement matches text*: no slash may follow. The last place where the
// text begins is the one with the least behind it.
func (s *shape) matchElement(name string) bool {
	if rest, ok := strings.CutPrefix(name, s.text); ok && noSlash(rest) {
		return true
	}
	if s.anchored {
		return false
	}
	at := strings.LastIndex(name, s.slashed)
	return at >= 0 && noSlash(name[at+len(s.slashed):])
}

// noSlash reports whether s is within one path element.
func noSlash(s string) bool { return strings.IndexByte(s, '/') < 0 }
