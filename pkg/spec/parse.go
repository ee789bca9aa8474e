// Package spec reads .devcontainer/workspace-spec.yaml: it parses strictly,
// fills in defaults, checks every rule that one file alone can break, and
// reports all problems at once with line and column. It knows the format of the
// file and nothing of rclone, processes or sockets; coltecd and coltec both use
// it. Specs of the earlier tool load unchanged; what is not acted on is listed by
// NotActedOn.
//
// A Spec holds texts as they were written, ${VAR} included: Target and the
// Expand methods fill in variables at run time, remote by remote, so that a
// missing credential blocks one replica and not the workspace.
package spec

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/wholefile"
	"github.com/coltec/coltec/pkg/yamlfile"
)

//go:generate go run ./internal/genschema workspace-spec.schema.json

//go:embed workspace-spec.schema.json
var schema []byte

// Schema returns the JSON Schema of the format, for editors.
func Schema() []byte { return bytes.Clone(schema) }

const (
	// sizeLimit of a spec. Real ones have a few KB. The YAML parser needs time with the
	// square of the size in the worst case (2.6 s at 64 KiB, seen with a key a line) and
	// stack in proportion to it.
	sizeLimit = 64 << 10
	// depthLimit of nested brackets and dashes. The format needs 8; the YAML
	// parser recurses, and a stack overflow cannot be recovered.
	depthLimit = 64
)

// Load reads and parses the spec at path.
func Load(path string) (*Spec, error) {
	src, err := wholefile.Read(path, wholefile.ByHand)
	if errors.Is(err, os.ErrNotExist) {
		return nil, hint.Wrap(fmt.Errorf("cannot read spec %q: %w", path, os.ErrNotExist), `make one with "coltec new", or name another with COLTEC_CONFIG`)
	}
	if errors.Is(err, wholefile.ErrIrregular) || errors.Is(err, wholefile.ErrTooLarge) {
		return nil, hint.Wrap(fmt.Errorf("cannot read spec %q: %w", path, errors.Unwrap(err)), "something else is in its place: see ls -l %s", hint.Word(path))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read spec %q: %w", path, errors.Unwrap(err))
	}
	return Parse(path, src)
}

// Parse reads a spec; file is its name in errors. The error lists all problems,
// each as file:line:col: text; see Problems.
func Parse(file string, src []byte) (*Spec, error) {
	src = yamlfile.Text(src)
	ps := newProblems(file, string(src))
	root, ok := read(ps, src)
	if !ok {
		return nil, ps.err()
	}
	s := &Spec{src: &source{file: file, keys: map[string]position{"": {1, 1}}, at: map[string]position{}, failed: map[string]bool{}, odd: map[string]string{}}}
	d := &decoder{problems: ps, src: s.src, anchors: map[string]ast.Node{}, open: map[string]bool{}, left: nodeLimit}
	d.value("", root, reflect.ValueOf(s).Elem(), field{})
	for _, places := range []map[string]position{s.src.keys, s.src.at} { // notices speak of them, too
		for path, at := range places {
			places[path] = ps.inside(at)
		}
	}
	if !s.src.failed[""] {
		adopt(s)
		fill(s)
		check(s, ps)
	}
	if err := ps.err(); err != nil {
		return nil, err
	}
	return s, nil
}

// read turns the text into the one document it must hold.
func read(ps *problems, src []byte) (root ast.Node, ok bool) {
	start := position{1, 1}
	if len(src) > sizeLimit {
		ps.add(start, "the file is larger than %d KiB: this is not a workspace spec", sizeLimit>>10)
		return nil, false
	}
	if at, bad := unreadable(src); bad {
		ps.add(at, "the file is not plain UTF-8 text: save it as UTF-8 and remove control characters")
		return nil, false
	}
	if at, deep := tooDeep(src); deep {
		ps.add(at, "the file is nested deeper than %d levels: check the brackets and dashes here", depthLimit)
		return nil, false
	}
	file, err := parseYAML(src)
	if err != nil {
		at, text := syntax(err)
		ps.add(at, "cannot parse: %s", text)
		return nil, false
	}
	for _, doc := range file.Docs {
		if doc == nil || doc.Body == nil || doc.Body.Type() == ast.DirectiveType {
			continue
		}
		if root != nil {
			ps.add(placeOf(doc.Body.GetToken()), "a second document begins here: a spec is one; remove the line ---")
			return nil, false
		}
		root = doc.Body
	}
	if root == nil || root.Type() == ast.NullType || root.Type() == ast.CommentType {
		ps.add(start, `the spec is empty: it needs at least "name: dev" and "metadata: {org: …, project: …}"`)
		return nil, false
	}
	return root, true
}

// parseYAML parses the text.
func parseYAML(src []byte) (*ast.File, error) {
	return guarded(func() (*ast.File, error) { return yamlfile.Document(src, parser.AllowDuplicateMapKey()) })
}

// guarded calls parse. Versions of the parser have panicked on odd input; that is
// reported as text that cannot be parsed, which it is.
func guarded(parse func() (*ast.File, error)) (file *ast.File, err error) {
	defer func() {
		if recover() != nil {
			file, err = nil, errPanic
		}
	}()
	return parse()
}

var errPanic = errors.New("the YAML is malformed; look for a colon, quote or bracket that is missing or in excess")

// syntax is the place and the text of a syntax error. The error's own text would
// quote the source line.
func syntax(err error) (position, string) {
	var e interface {
		GetMessage() string
		GetToken() *token.Token
	}
	if !errors.As(err, &e) {
		return position{1, 1}, errPanic.Error()
	}
	text := e.GetMessage()
	for _, known := range advice {
		if strings.Contains(text, known.part) {
			return placeOf(e.GetToken()), known.say
		}
	}
	if strings.ContainsAny(text, "\"'`\n") { // it may quote a part of the file
		text = errPanic.Error()
	}
	return placeOf(e.GetToken()), text
}

// advice says in other words what the YAML parser says most often.
var advice = []struct{ part, say string }{
	{"found character '\t'", "a tab is not allowed here: indent with spaces"},
	{"tab character", "a tab is not allowed here: indent with spaces"},
	{"mapping value is not allowed", "a key is not allowed here: check the indentation, and quote a text that has a colon and a space"},
	{"unexpected key name", "a line here has no colon, or is indented wrongly"},
	{"value is not allowed in this context", "a value is not allowed here: check the indentation here and in the line above"},
	{"non-map value is specified", "a line here has no colon after its key"},
	{"sequence end token ']'", "the bracket [ that opens here is not closed"},
	{"flow mapping end token '}'", "the brace { that opens here is not closed"},
	{"',' or '}' must be", "a comma or the closing brace } is missing here"},
	{"',' or ']' must be", "a comma or the closing bracket ] is missing here"},
	{"end character of double-quoted", "the quote \" that opens here is not closed"},
	{"end character of single-quoted", "the quote ' that opens here is not closed"},
	{"invalid key for this map", "a key must be a plain word"},
	{"YAML version", "the %YAML line names a version that is not known: remove the line"},
	{"header", "the options after | or > are not known: write | or > alone"},
	{"reserved character", "a text begins with a character that YAML reserves: put the text in quotes"},
	{"escape", "a text in double quotes has a backslash that means nothing: double it, or use single quotes"},
}

// unreadable finds bytes that no text has.
func unreadable(src []byte) (position, bool) {
	at := position{1, 1}
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRune(src[i:])
		if r == utf8.RuneError && n == 1 || r < ' ' && r != '\n' && r != '\r' && r != '\t' {
			return at, true
		}
		at.col++
		if r == '\n' {
			at = position{at.line + 1, 1}
		}
		i += n
	}
	return at, false
}

// tooDeep finds a place with more nesting than depthLimit, counting brackets
// wherever they stand and, line by line, the marks and the spaces at the beginning.
func tooDeep(src []byte) (position, bool) {
	depth := 0
	for n, line := range strings.Split(string(src), "\n") {
		body := strings.TrimLeft(line, " ")
		if indent := len(line) - len(body); indent > 8*depthLimit {
			return position{n + 1, indent + 1}, true
		}
		lead := body[:len(body)-len(strings.TrimLeft(body, "-?!&: \t"))]
		if marks := len(lead) - strings.Count(lead, " "); marks > depthLimit {
			return position{n + 1, 1}, true
		}
		for i, r := range line {
			switch r {
			case '[', '{':
				depth++
			case ']', '}':
				depth = max(depth-1, 0)
			}
			if depth > depthLimit {
				return position{n + 1, utf8.RuneCountInString(line[:i]) + 1}, true
			}
		}
	}
	return position{}, false
}
