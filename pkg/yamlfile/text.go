package yamlfile

import (
	"bytes"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Text is the text of a file that any editor may have saved: without a byte order mark,
// and each line ended by a line feed. The parser joins the lines of a quoted text only if
// they end so, and counts a line that ends otherwise twice.
func Text(b []byte) []byte {
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(b, []byte("\r"), []byte("\n"))
}

// Document parses a text as the parser does, except for what that reads otherwise than
// YAML 1.2 says. Errors have a place (GetToken) and words (GetMessage).
func Document(b []byte, opts ...parser.Option) (*ast.File, error) {
	tokens := lexer.Tokenize(string(Text(b)))
	if err := fold(tokens); err != nil {
		return nil, err
	}
	return parser.Parse(tokens, 0, opts...)
}

// Said of a plain text of several lines.
const (
	saidComment = "a text cannot go on after a comment: move the comment, or quote the text"
	saidKey     = "mapping value is not allowed in this context"
)

// fold gives the plain texts of several lines the value that YAML says (7.3.3, 6.5). The
// lexer takes all that follows a line that begins with a dash as text as it stands:
// comments, keys and the ends of lines.
func fold(tokens token.Tokens) error {
	block := false // the next text is the content of | or >
	for _, tk := range tokens {
		switch tk.Type {
		case token.LiteralType, token.FoldedType:
			block = true
		case token.CommentType:
		case token.StringType:
			if !block && strings.ContainsRune(strings.TrimSpace(tk.Origin), '\n') {
				value, said := plain(tk.Origin)
				if said != "" {
					return &yaml.SyntaxError{Message: said, Token: tk}
				}
				tk.Value = value
			}
			block = false
		default:
			block = false
		}
	}
	return nil
}

// plain is the value of a plain text as it stands in the file, or what is wrong with it.
func plain(origin string) (value, said string) {
	var out strings.Builder
	breaks, ended := 0, false
	for line := range strings.SplitSeq(strings.TrimSpace(origin), "\n") {
		line, comment := uncommented(strings.Trim(line, " \t"))
		switch {
		case line == "":
			breaks++
			ended = ended || comment
			continue
		case ended:
			return "", saidComment
		case strings.HasSuffix(line, ":") || strings.Contains(line, ": ") || strings.Contains(line, ":\t"):
			return "", saidKey
		}
		switch {
		case out.Len() == 0:
		case breaks == 0:
			out.WriteByte(' ')
		default:
			out.WriteString(strings.Repeat("\n", breaks))
		}
		out.WriteString(line)
		breaks, ended = 0, comment
	}
	return out.String(), ""
}

// uncommented is a line without the comment at its end, and whether it had one.
func uncommented(line string) (text string, comment bool) {
	for i := range len(line) {
		if line[i] == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			return strings.TrimRight(line[:i], " \t"), true
		}
	}
	return line, false
}

// UnmarshalWritten is Unmarshal, with numbers as texts: the mark, and what was written. 010
// is not 8 then, and 1.10 not 1.1.
func UnmarshalWritten(b []byte, v any, mark string, opts ...yaml.DecodeOption) error {
	return guarded(b, func() error {
		root, err := parse(b)
		if root == nil || err != nil {
			return err
		}
		return yaml.NodeToValue(written(root, mark), v, opts...)
	})
}

// written is a node with its numbers as texts.
func written(n ast.Node, mark string) ast.Node {
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		tk := *n.GetToken()
		tk.Type, tk.Value = token.StringType, mark+tk.Value
		return ast.String(&tk)
	case *ast.MappingNode:
		for _, pair := range n.Values {
			written(pair, mark)
		}
	case *ast.MappingValueNode:
		n.Value = written(n.Value, mark)
		if key, ok := written(n.Key, mark).(ast.MapKeyNode); ok {
			n.Key = key
		}
	case *ast.SequenceNode:
		for i, item := range n.Values {
			n.Values[i] = written(item, mark)
		}
	case *ast.AnchorNode:
		n.Value = written(n.Value, mark)
	}
	return n
}
