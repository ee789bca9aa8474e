package jsonc

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/tailscale/hujson"
)

// items is a list as an object whose members have no names: what is said of where members are
// is so of them.
func items(list *hujson.Array) *hujson.Object {
	o := &hujson.Object{AfterExtra: list.AfterExtra}
	for _, v := range list.Elements {
		o.Members = append(o.Members, hujson.ObjectMember{Name: v, Value: v})
	}
	return o
}

// list is the list that an object has under a name; nil without one.
func (p *parsed) list(in, name string) (*hujson.Object, hujson.Value, error) {
	o, _, err := p.child(in)
	if o == nil || err != nil {
		return nil, hujson.Value{}, err
	}
	m, _, err := member(o, name)
	if m == nil || err != nil {
		return nil, hujson.Value{}, err
	}
	list, ok := m.Value.Value.(*hujson.Array)
	if !ok {
		return nil, hujson.Value{}, fmt.Errorf("the value of %q in %q is not a list", name, in)
	}
	return items(list), m.Value, nil
}

// Append puts an element at the end of the list that has a name in the object that the outermost
// one has under the name in; what of that is not there is made. Nothing else of the text changes,
// comments and order included.
func Append(src []byte, in, name string, element json.RawMessage) ([]byte, error) {
	p, err := parse(src)
	if err != nil {
		return nil, err
	}
	list, at, err := p.list(in, name)
	if err != nil {
		return nil, err
	}
	if list == nil {
		out, _, err := Add(src, in, name, slices.Concat(json.RawMessage("["), element, json.RawMessage("]")))
		return out, err
	}
	return p.put(p.place(list, at, string(element), p.line(), 3)...), nil
}

// Drop takes away the elements of such a list of which ours reports true. A list that has nothing
// else goes too, and the object that it is in when that has nothing else.
func Drop(src []byte, in, name string, ours func(json.RawMessage) bool) ([]byte, error) {
	for {
		p, err := parse(src)
		if err != nil {
			return nil, err
		}
		list, at, err := p.list(in, name)
		if list == nil || err != nil {
			return src, err
		}
		i := slices.IndexFunc(list.Members, func(m hujson.ObjectMember) bool {
			text, err := Standard(p.text[m.Value.StartOffset:m.Value.EndOffset])
			return err == nil && ours(text)
		})
		switch {
		case i < 0:
			return src, nil
		case len(list.Members) == 1 && p.bare(at, list.Members[0]):
			return Remove(src, in, name, true)
		}
		next := p.cut(p.parts(list, i)...)
		if len(next) >= len(src) {
			return nil, errors.New("internal error: what was taken away is there still")
		}
		src = next
	}
}
