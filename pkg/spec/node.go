package spec

import (
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// nodeLimit bounds what aliases of aliases can grow to. A spec has hundreds.
const nodeLimit = 100_000

// decoder fills Go values from YAML nodes and notes every problem it meets.
type decoder struct {
	*problems
	src     *source
	anchors map[string]ast.Node
	open    map[string]bool // anchors being followed: an alias inside its own anchor has no end
	left    int             // nodes until nodeLimit
}

// entry is one key of a mapping with its value.
type entry struct {
	key   string
	at    position
	value ast.Node
}

// entries lists the keys of a mapping; those merged by << come last and only
// where the mapping has none of its own.
func (d *decoder) entries(path string, n ast.Node) ([]entry, bool) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		what := path
		if path == "" {
			what = "the spec"
		}
		d.fail(path, n, "%s must be a mapping (key: value), not %s", what, kind(n))
		return nil, false
	}
	var own, merged []entry
	seen := map[string]position{}
	for _, v := range values {
		if v.Key == nil || v.Value == nil {
			continue
		}
		if v.Key.IsMergeKey() {
			merged = append(merged, d.merge(path, v.Value)...)
			continue
		}
		e, ok := d.entry(v)
		if !ok {
			continue
		}
		if first, double := seen[e.key]; double {
			d.add(e.at, "%s is given twice: first in line %d; keep one", name(path, e.key), first.line)
			continue
		}
		seen[e.key] = d.inside(e.at)
		own = append(own, e)
	}
	for _, e := range merged {
		if _, ok := seen[e.key]; !ok {
			seen[e.key] = e.at
			own = append(own, e)
		}
	}
	return own, true
}

// name is a path with a key that may be anything, for an error.
func name(path, key string) string {
	if shown(key) == "the value" {
		return "a key of " + path
	}
	return join(path, key)
}

// entry reads one key.
func (d *decoder) entry(v *ast.MappingValueNode) (entry, bool) {
	if !isScalar(v.Key) {
		d.add(d.place(v.Key), "a key must be a plain word")
		return entry{}, false
	}
	return entry{text(v.Key), d.place(v.Key), v.Value}, true
}

// merge lists the keys that << brings in: of one mapping or a list of them.
func (d *decoder) merge(path string, n ast.Node) []entry {
	var all []entry
	d.resolved(n, func(n ast.Node) {
		if seq, ok := n.(*ast.SequenceNode); ok {
			for _, item := range seq.Values {
				all = append(all, d.merge(path, item)...)
			}
			return
		}
		all, _ = d.entries(join(path, "<<"), n)
	})
	return all
}

// isScalar reports whether a node is one text, number or word.
func isScalar(n ast.Node) bool {
	switch n.(type) {
	case *ast.StringNode, *ast.LiteralNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode, *ast.NullNode:
		return true
	}
	return false
}

// text is a scalar as it was written, without quotes: 1.10 stays 1.10.
func text(n ast.Node) string {
	switch n := n.(type) {
	case nil:
		return ""
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		if n.Value == nil {
			return ""
		}
		return n.Value.Value
	}
	if tk := n.GetToken(); tk != nil {
		return tk.Value
	}
	return ""
}

// kind names what a node is, for an error.
func kind(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.IntegerNode, *ast.FloatNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.NullNode:
		return "nothing"
	}
	return "a text"
}

// place is where a node begins: for a mapping its first key, since its own
// token is the first colon.
func (d *decoder) place(n ast.Node) position {
	switch m := n.(type) {
	case nil:
		return position{}
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 && m.Values[0].Key != nil {
			return d.place(m.Values[0].Key)
		}
	case *ast.MappingValueNode:
		if m.Key != nil {
			return d.place(m.Key)
		}
	}
	return placeOf(n.GetToken())
}

func placeOf(tk *token.Token) position {
	if tk == nil || tk.Position == nil {
		return position{}
	}
	return position{tk.Position.Line, tk.Position.Column}
}

// resolved calls use with the node that n stands for: what an alias refers to,
// what an anchor or a standard tag is put on.
func (d *decoder) resolved(n ast.Node, use func(ast.Node)) {
	if d.left--; d.left < 0 {
		if d.left == -1 {
			d.add(d.place(n), "the spec has more than %d values: aliases repeat too much", nodeLimit)
		}
		return
	}
	switch n := n.(type) {
	case nil:
		return
	case *ast.AnchorNode:
		name := text(n.Name)
		d.anchors[name] = n.Value
		d.open[name] = true
		d.resolved(n.Value, use)
		d.open[name] = false
	case *ast.AliasNode:
		d.alias(n, use)
	case *ast.TagNode:
		if tag := n.Start.Value; !strings.HasPrefix(tag, "!!") {
			d.add(d.place(n), "a tag has no meaning here: remove it")
			return
		}
		d.resolved(n.Value, use)
	default:
		use(n)
	}
}

// alias follows an alias to its anchor.
func (d *decoder) alias(n *ast.AliasNode, use func(ast.Node)) {
	name := text(n.Value)
	target, ok := d.anchors[name]
	switch {
	case !ok:
		d.add(d.place(n), "the alias refers to an anchor that is not defined above: write &name before the value that is meant")
	case d.open[name]:
		d.add(d.place(n), "the alias refers to an anchor that it is part of: write the value out")
	default:
		d.open[name] = true
		d.resolved(target, use)
		d.open[name] = false
	}
}

// fail notes that the value at path cannot be read.
func (d *decoder) fail(path string, n ast.Node, format string, args ...any) {
	d.src.failed[path] = true
	d.add(d.place(n), format, args...)
}
