package scaffold

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/coltec/coltec/pkg/jsonc"
	"github.com/coltec/coltec/pkg/yamlfile"
)

// number is one as it was written: whoever reads the file decides what 010 is.
type number string

// MarshalYAML gives it without quotes.
func (n number) MarshalYAML() ([]byte, error) { return []byte(n), nil }

// orderedYAML reads YAML and keeps the order of keys, and numbers as they were written.
func orderedYAML(b []byte) (any, error) {
	const mark = "\x00" // that no text has
	var v any
	err := yamlfile.UnmarshalWritten(b, &v, mark, yaml.UseOrderedMap())
	return numbers(v, mark), err
}

// numbers makes marked texts numbers.
func numbers(v any, mark string) any {
	switch v := v.(type) {
	case string:
		if text, ok := strings.CutPrefix(v, mark); ok {
			return number(text)
		}
	case []any:
		for i := range v {
			v[i] = numbers(v[i], mark)
		}
	case yaml.MapSlice:
		for i := range v {
			v[i].Key, v[i].Value = keyText(v[i].Key, mark), numbers(v[i].Value, mark)
		}
	}
	return v
}

// keyText is a key as text: no other is written.
func keyText(key any, mark string) string {
	if key == nil {
		return "null"
	}
	return strings.TrimPrefix(fmt.Sprint(key), mark)
}

// orderedJSON reads JSON with comments and keeps the order of keys.
func orderedJSON(b []byte) (any, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, nil
	}
	b, err := jsonc.Standard(b)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return element(d)
}

// element is the next value of JSON that is valid.
func element(d *json.Decoder) (any, error) {
	start, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch start {
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := element(d)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	case json.Delim('{'):
		object := yaml.MapSlice{}
		seen := map[string]bool{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			if name, _ := key.(string); seen[name] {
				return nil, fmt.Errorf("the key %q is given twice in one object: programs take one or the other", name)
			} else {
				seen[name] = true
			}
			v, err := element(d)
			if err != nil {
				return nil, err
			}
			object = append(object, yaml.MapItem{Key: key, Value: v})
		}
		_, err = d.Token()
		return object, err
	}
	return start, nil
}

// overlay lays upper over lower by keys: objects are merged, lists get what they
// lack, the rest is replaced. Comments of a YAML file stay when upper adds only
// top-level keys; those of a JSON file do not.
func overlay(name string, lower, upper []byte) ([]byte, error) {
	read := orderedYAML
	switch path.Ext(name) {
	case ".json", ".jsonc":
		read = orderedJSON
	case ".yaml", ".yml":
	default:
		return nil, fmt.Errorf("only .json and .yaml can be merged by keys, not %s", name)
	}
	a, err := read(lower)
	if err != nil {
		return nil, err
	}
	b, err := read(upper)
	if err != nil {
		return nil, err
	}
	switch path.Ext(name) {
	case ".json", ".jsonc":
		var out, flat bytes.Buffer
		if err := writeJSON(&flat, combine(a, b)); err != nil {
			return nil, err
		}
		err := json.Indent(&out, flat.Bytes(), "", "  ")
		out.WriteByte('\n')
		return out.Bytes(), err
	}
	if adds(a, b) {
		lower, upper = yamlfile.Text(lower), yamlfile.Text(upper)
		return append(append(bytes.TrimRight(lower, "\n"), '\n'), upper...), nil
	}
	return yaml.Marshal(combine(a, b))
}

// adds reports whether no top-level key of upper is in lower.
func adds(lower, upper any) bool {
	l, ok := lower.(yaml.MapSlice)
	u, ok2 := upper.(yaml.MapSlice)
	return ok && ok2 && !slices.ContainsFunc(u, func(i yaml.MapItem) bool { return index(l, i.Key) >= 0 })
}

func index(m yaml.MapSlice, key any) int {
	return slices.IndexFunc(m, func(i yaml.MapItem) bool { return i.Key == key })
}

func combine(lower, upper any) any {
	switch u := upper.(type) {
	case yaml.MapSlice:
		l, ok := lower.(yaml.MapSlice)
		if !ok {
			return u
		}
		l = slices.Clone(l)
		for _, item := range u {
			if i := index(l, item.Key); i >= 0 {
				l[i].Value = combine(l[i].Value, item.Value)
			} else {
				l = append(l, item)
			}
		}
		return l
	case []any:
		l, ok := lower.([]any)
		if !ok {
			return u
		}
		l = slices.Clone(l)
		for _, v := range u {
			if !slices.ContainsFunc(l, func(o any) bool { return reflect.DeepEqual(o, v) }) {
				l = append(l, v)
			}
		}
		return l
	}
	return upper
}

func writeJSON(b *bytes.Buffer, v any) error {
	switch v := v.(type) {
	case yaml.MapSlice:
		b.WriteByte('{')
		for i, item := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeJSON(b, fmt.Sprint(item.Key)); err != nil {
				return err
			}
			b.WriteByte(':')
			if err := writeJSON(b, item.Value); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeJSON(b, item); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	default:
		e := json.NewEncoder(b)
		e.SetEscapeHTML(false)
		return e.Encode(v)
	}
	return nil
}
