package jsonc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tailscale/hujson"
)

// ErrThere is the error of a member that an object has already.
var ErrThere = errors.New("it is there already")

const mark = "\ufeff" // byte order mark

// parsed is a text with its outermost object. Offsets count in text.
type parsed struct {
	mark string // before text
	text []byte
	top  *hujson.Object
	at   hujson.Value // of top
}

func parse(src []byte) (*parsed, error) {
	if _, err := Standard(src); err != nil {
		return nil, err
	}
	p := &parsed{text: src}
	if text, ok := bytes.CutPrefix(src, []byte(mark)); ok {
		p.mark, p.text = mark, text
	}
	v, err := hujson.Parse(append(bytes.Clone(p.text), '\n'))
	if err != nil {
		return nil, worded(err)
	}
	top, ok := v.Value.(*hujson.Object)
	if !ok {
		return nil, errors.New("it is not an object")
	}
	p.top, p.at = top, v
	return p, nil
}

// member finds a member by its name; nil without one. One that is there twice is an error:
// programs take one or the other.
func member(o *hujson.Object, name string) (m *hujson.ObjectMember, at int, err error) {
	at = -1
	for i := range o.Members {
		text, ok := o.Members[i].Name.Value.(hujson.Literal)
		if !ok || text.String() != name {
			continue
		}
		if m != nil {
			return nil, -1, fmt.Errorf("the key %q is given twice in one object", name)
		}
		m, at = &o.Members[i], i
	}
	return m, at, nil
}

// child is the object of a member of the outermost one; nil when there is none.
func (p *parsed) child(name string) (*hujson.Object, *hujson.ObjectMember, error) {
	m, _, err := member(p.top, name)
	if m == nil || err != nil {
		return nil, nil, err
	}
	o, ok := m.Value.Value.(*hujson.Object)
	if !ok {
		return nil, nil, fmt.Errorf("the value of %q is not an object", name)
	}
	return o, m, nil
}

// splice is a text to be put at an offset.
type splice struct {
	at   int
	text string
}

func (p *parsed) put(list ...splice) []byte {
	out := []byte(p.mark)
	done := 0
	for _, s := range list {
		out = append(append(out, p.text[done:s.at]...), s.text...)
		done = s.at
	}
	return append(out, p.text[done:]...)
}

// cut is the text without some parts of it, which are in order and do not overlap.
func (p *parsed) cut(parts ...[2]int) []byte {
	out := []byte(p.mark)
	done := 0
	for _, c := range parts {
		out = append(out, p.text[done:c[0]]...)
		done = c[1]
	}
	return append(out, p.text[done:]...)
}

// Add puts a member into the object that the outermost one has under the name in, at its
// end; made reports that there was no such object, and that it was made for it. Nothing
// else of the text changes, comments and order included. A member that is there already is
// ErrThere.
func Add(src []byte, in, name string, value json.RawMessage) (out []byte, made bool, err error) {
	p, err := parse(src)
	if err != nil {
		return nil, false, err
	}
	o, m, err := p.child(in)
	if err != nil {
		return nil, false, err
	}
	line := p.line()
	text := quote(name) + ": " + string(value)
	if o != nil {
		if there, _, err := member(o, name); there != nil || err != nil {
			return nil, false, errors.Join(err, ErrThere)
		}
		return p.put(p.place(o, m.Value, text, line, 2)...), false, nil
	}
	inner := " "
	end := " "
	if p.tall(p.top, p.at) {
		inner, end = line+p.unit()+p.unit(), line+p.unit()
	}
	text = quote(in) + ": {" + inner + text + end + "}"
	return p.put(p.place(p.top, p.at, text, line, 1)...), true, nil
}

func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // a text
	}
	return strings.TrimSpace(b.String())
}

// line is how the text ends its lines.
func (p *parsed) line() string {
	if bytes.Contains(p.text, []byte("\r\n")) {
		return "\r\n"
	}
	return "\n"
}

// unit is what the text indents a level by.
func (p *parsed) unit() string {
	if len(p.top.Members) > 0 {
		if s, ok := p.indent(p.top.Members[0].Name.StartOffset); ok && s != "" {
			return s
		}
	}
	return "  "
}

// indent is what is before an offset on its line, if that is only space.
func (p *parsed) indent(at int) (string, bool) {
	start := bytes.LastIndexByte(p.text[:at], '\n') + 1
	s := string(p.text[start:at])
	return s, start > 0 && strings.Trim(s, " \t") == ""
}

// tall reports whether the members of an object have lines of their own.
func (p *parsed) tall(o *hujson.Object, v hujson.Value) bool {
	return len(o.Members) > 0 && bytes.IndexByte(p.text[v.StartOffset:o.Members[0].Name.StartOffset], '\n') >= 0
}

// place is how the text of a member comes to the end of an object.
func (p *parsed) place(o *hujson.Object, v hujson.Value, text, line string, depth int) []splice {
	if len(o.Members) == 0 {
		return []splice{{v.StartOffset + 1, text}}
	}
	last := o.Members[len(o.Members)-1]
	at, sep := last.Value.EndOffset, " "
	tall := p.tall(o, v)
	if tall {
		in, ok := p.indent(last.Name.StartOffset)
		if !ok {
			in = strings.Repeat(p.unit(), depth)
		}
		sep = line + in
	}
	before, after := ",", ""
	if last.Value.AfterExtra != nil { // a comma ends the object
		at += len(last.Value.AfterExtra) + 1
		before, after = "", ","
	}
	to := at
	if tall {
		to = p.remark(at, v.EndOffset)
	}
	if before == "" || to == at {
		return []splice{{to, before + sep + text + after}}
	}
	return []splice{{at, before}, {to, sep + text + after}}
}

// remark is the end of what is said about a value on its line, behind an offset: what is put
// there must not come between.
func (p *parsed) remark(at, most int) int {
	rest := p.text[at:most]
	end := bytes.IndexByte(rest, '\n')
	if end < 0 {
		return at
	}
	rest = bytes.TrimSuffix(rest[:end], []byte("\r"))
	if bytes.HasPrefix(bytes.TrimLeft(rest, " \t"), []byte("//")) {
		return at + len(rest)
	}
	return at
}

// Get is the JSON of a member of the object that the outermost one has under the name in; nil
// when there is none.
func Get(src []byte, in, name string) (json.RawMessage, error) {
	p, err := parse(src)
	if err != nil {
		return nil, err
	}
	o, _, err := p.child(in)
	if o == nil || err != nil {
		return nil, err
	}
	m, _, err := member(o, name)
	if m == nil || err != nil {
		return nil, err
	}
	return Standard(bytes.TrimSpace(p.text[m.Value.StartOffset:m.Value.EndOffset]))
}

// Remove takes away what Add put there, so that the text is again what it was. made is what
// Add said: an object that has nothing else is removed with it then.
func Remove(src []byte, in, name string, made bool) ([]byte, error) {
	p, err := parse(src)
	if err != nil {
		return nil, err
	}
	o, m, err := p.child(in)
	if o == nil || err != nil {
		return src, err
	}
	there, at, err := member(o, name)
	if there == nil || err != nil {
		return src, err
	}
	if made && len(o.Members) == 1 && p.bare(m.Value, *there) {
		_, at, err := member(p.top, in)
		return p.cut(p.parts(p.top, at)...), err
	}
	return p.cut(p.parts(o, at)...), nil
}

// bare reports whether an object has nothing but one member, no comment either.
func (p *parsed) bare(v hujson.Value, m hujson.ObjectMember) bool {
	rest := string(p.text[v.StartOffset+1:m.Name.StartOffset]) + string(p.text[m.Value.EndOffset:v.EndOffset-1])
	return strings.Trim(rest, " \t\r\n,") == ""
}

// parts are what goes with the member at an index: it, its line or the space before it, and one comma.
func (p *parsed) parts(o *hujson.Object, i int) [][2]int {
	m := o.Members[i]
	start, end := m.Name.StartOffset, m.Value.EndOffset
	if s, ok := p.indent(start); ok && p.mayJoin(m) {
		start -= len(s) + 1
		if start > 0 && p.text[start-1] == '\r' {
			start--
		}
	} else if i > 0 && p.text[start-1] == ' ' {
		start--
	}
	if comma := end + len(m.Value.AfterExtra); i < len(o.Members)-1 || m.Value.AfterExtra != nil {
		return [][2]int{{start, end}, {comma, comma + 1}}
	}
	if i == 0 {
		return [][2]int{{start, end}}
	}
	before := o.Members[i-1].Value
	comma := before.EndOffset + len(before.AfterExtra)
	return [][2]int{{comma, comma + 1}, {start, end}}
}

// mayJoin reports whether what follows a member may come to the line before it: not into a
// comment.
func (p *parsed) mayJoin(m hujson.ObjectMember) bool {
	if !bytes.Contains(m.Name.BeforeExtra, []byte("//")) {
		return true
	}
	rest := p.text[m.Value.EndOffset+len(m.Value.AfterExtra):]
	rest = bytes.TrimLeft(bytes.TrimPrefix(rest, []byte(",")), " \t\r")
	return bytes.HasPrefix(rest, []byte("\n"))
}
