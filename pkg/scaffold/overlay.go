package scaffold

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"slices"

	"github.com/goccy/go-yaml"

	"github.com/coltec/coltec/pkg/yamlfile"
)

// ordered reads JSON or YAML and keeps the order of keys.
func ordered(b []byte) (any, error) {
	var v any
	err := yamlfile.Unmarshal(b, &v, yaml.UseOrderedMap())
	return v, err
}

// overlay lays upper over lower by keys: objects are merged, lists get what they
// lack, the rest is replaced. Comments of a YAML file stay when upper adds only
// top-level keys.
func overlay(name string, lower, upper []byte) ([]byte, error) {
	a, err := ordered(lower)
	if err != nil {
		return nil, err
	}
	b, err := ordered(upper)
	if err != nil {
		return nil, err
	}
	switch path.Ext(name) {
	case ".json":
		var out, flat bytes.Buffer
		if err := writeJSON(&flat, combine(a, b)); err != nil {
			return nil, err
		}
		err := json.Indent(&out, flat.Bytes(), "", "  ")
		out.WriteByte('\n')
		return out.Bytes(), err
	case ".yaml", ".yml":
		if adds(a, b) {
			return append(append(bytes.TrimRight(slices.Clone(lower), "\n"), '\n'), upper...), nil
		}
		return yaml.Marshal(combine(a, b))
	}
	return nil, fmt.Errorf("only .json and .yaml can be merged by keys, not %s", name)
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
