package spec

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/pkg/secret"
)

// value fills v from n. A null leaves v as it is and counts as not given.
func (d *decoder) value(path string, n ast.Node, v reflect.Value, f field) {
	d.resolved(n, func(n ast.Node) {
		_, null := n.(*ast.NullNode)
		if null && !isHomePath(path, n) {
			return
		}
		d.src.at[path] = d.place(n)
		if null {
			v.SetString(homeMark)
			return
		}
		if f.idle != "" {
			d.src.idle = append(d.src.idle, Notice{path, d.inside(d.src.key(path)).line, f.idle})
		}
		d.filled(path, n, v, f)
	})
}

// wholes are the types that are read from one scalar.
var (
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
	secretType   = reflect.TypeFor[secret.Value]()
	wordsType    = reflect.TypeFor[Words]()
	wholesType   = reflect.TypeFor[Consistency]()
	agentType    = reflect.TypeFor[Agent]()
	hooksType    = reflect.TypeFor[Hooks]()
)

// filled fills v from a node that is not null, an anchor, an alias or a tag.
func (d *decoder) filled(path string, n ast.Node, v reflect.Value, f field) {
	switch {
	case v.Type() == wordsType && isScalar(n):
		v.Set(reflect.ValueOf(Words{text(n)}))
	case v.Type() == wholesType && isScalar(n):
		all := Consistency{{}}
		d.scalar(path, n, reflect.ValueOf(&all[0].By).Elem(), field{enum: []string{ByFreeze, ByHook}})
		v.Set(reflect.ValueOf(all))
	case v.Type() == agentType && isScalar(n):
		d.src.at[path+".name"] = d.place(n)
		d.scalar(path+".name", n, v.FieldByName("Name"), field{})
	case v.Type() == secretType || v.Kind() != reflect.Struct && isLeaf(v.Kind()):
		d.scalar(path, n, v, f)
	case v.Kind() == reflect.Struct:
		d.structure(path, n, v)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.filled(path, n, v.Elem(), f)
	case v.Kind() == reflect.Slice:
		d.list(path, n, v)
	case v.Type() == hooksType:
		d.points(path, n, v)
	case v.Kind() == reflect.Map:
		d.dictionary(path, n, v)
	case v.Kind() == reflect.Interface:
		d.free(path, n, v)
	default:
		panic(fmt.Sprintf("internal error: no way to read a %s", v.Type()))
	}
}

func isLeaf(k reflect.Kind) bool {
	switch k {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Float64:
		return true
	}
	return false
}

// structure fills the fields of v; unknown, double and missing keys are problems.
func (d *decoder) structure(path string, n ast.Node, v reflect.Value) {
	entries, ok := d.entries(path, n)
	if !ok {
		return
	}
	fields := fieldsOf(v.Type())
	given := map[string]bool{}
	for _, e := range entries {
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == e.key })
		if i < 0 {
			d.unknown(path, e, keysOf(fields))
			continue
		}
		given[e.key] = true
		at := join(path, e.key)
		d.src.keys[at] = e.at
		d.value(at, e.value, v.Field(fields[i].index), fields[i])
	}
	for _, f := range fields {
		if f.required && !d.src.has(join(path, f.key)) {
			at := d.src.key(path)
			if given[f.key] {
				at = d.src.key(join(path, f.key))
			}
			d.add(at, "%s is missing: every %s needs it", join(path, f.key), kindOf(path))
		}
	}
}

// kindOf names what stands at path for a sentence: the last key, without its number.
func kindOf(path string) string {
	if path == "" {
		return "spec"
	}
	path, _, _ = strings.Cut(path[strings.LastIndex(path, ".")+1:], "[")
	switch path {
	case "sync":
		return "sync entry"
	case "remotes", "features", "mounts", "services", "secrets":
		return strings.TrimSuffix(path, "s")
	case "environment":
		return "volume"
	case "consistency":
		return "directory of it"
	case "metadata":
		return "spec"
	case "ready":
		return "probe"
	case "crypt":
		return "crypt remote"
	}
	if hooks.Point(path).Known() {
		return path + " hook"
	}
	return path
}

// keysOf lists the keys of fields.
func keysOf(fields []field) []string {
	var keys []string
	for _, f := range fields {
		keys = append(keys, f.key)
	}
	return keys
}

// unknown says which keys there are.
func (d *decoder) unknown(path string, e entry, known []string) {
	where := ""
	if path != "" {
		where = " in " + path
	}
	what := "unknown key " + shown(e.key)
	if shown(e.key) == "the value" {
		what = "unknown key"
	}
	advice := didYouMean(e.key, known)
	if strings.HasPrefix(path, "persistence.remotes.") && Nearest(e.key, known) == "" && isOption(e.key) {
		advice = ": options of rclone's back end belong under options"
	}
	d.add(e.at, "%s%s%s", what, where, advice)
}

// list fills a slice.
func (d *decoder) list(path string, n ast.Node, v reflect.Value) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fail(path, n, "%s must be a list, not %s%s", path, kind(n), listAdvice(path))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values)))
	for i, item := range seq.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.src.keys[at] = d.place(item)
		d.value(at, item, v.Index(i), field{})
		if !d.src.has(at) && d.left >= 0 && v.Type().Elem().Kind() != reflect.Interface {
			d.add(d.place(item), "%s is empty: remove the entry or fill it", at)
		}
	}
}

// listAdvice is the next step for a list that people often write as one text.
func listAdvice(path string) string {
	if strings.HasSuffix(path, ".command") || strings.HasSuffix(path, ".exec") {
		return `: write [program, argument, …], or [sh, -c, "…"] for a shell's line`
	}
	return ""
}

// points fills the hooks, whose keys are the points of the table.
func (d *decoder) points(path string, n ast.Node, v reflect.Value) {
	entries, ok := d.entries(path, n)
	if !ok {
		return
	}
	all := Hooks{}
	for _, e := range entries {
		point := hooks.Point(e.key)
		if !point.Known() {
			d.unknown(path, e, texts(hooks.Points()))
			continue
		}
		at := join(path, e.key)
		d.src.keys[at] = e.at
		var list []Hook
		d.value(at, e.value, reflect.ValueOf(&list).Elem(), field{})
		if len(list) > 0 {
			all[point] = list
		}
	}
	if len(all) > 0 {
		v.Set(reflect.ValueOf(all))
	}
}

// texts are words as the texts that they are.
func texts[S ~string](words []S) []string {
	var out []string
	for _, w := range words {
		out = append(out, string(w))
	}
	return out
}

// dictionary fills a map from any text to values of one type.
func (d *decoder) dictionary(path string, n ast.Node, v reflect.Value) {
	entries, ok := d.entries(path, n)
	if !ok {
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, e := range entries {
		if shown(e.key) == "the value" {
			d.src.odd[join(path, e.key)] = join(path, fmt.Sprintf("(line %d, column %d)", e.at.line, e.at.col))
		}
		at := d.src.path(path, e.key)
		d.src.keys[at] = e.at
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(at, e.value, item, field{})
		if item.Kind() == reflect.Pointer && item.IsNil() {
			item.Set(reflect.New(item.Type().Elem())) // "primary:" alone is a remote with every default
		}
		v.SetMapIndex(reflect.ValueOf(e.key), item)
	}
}

// free fills an any with text, lists and maps. Nothing in there is looked at.
func (d *decoder) free(path string, n ast.Node, v reflect.Value) {
	switch n.(type) {
	case *ast.SequenceNode:
		var list []any
		d.filled(path, n, reflect.ValueOf(&list).Elem(), field{})
		v.Set(reflect.ValueOf(list))
	case *ast.MappingNode, *ast.MappingValueNode:
		m := map[string]any{}
		d.filled(path, n, reflect.ValueOf(&m).Elem(), field{})
		v.Set(reflect.ValueOf(m))
	case *ast.BoolNode:
		v.Set(reflect.ValueOf(text(n) == "true"))
	default:
		v.Set(reflect.ValueOf(text(n)))
	}
}

// scalar fills a text, a number, a duration and the like.
func (d *decoder) scalar(path string, n ast.Node, v reflect.Value, f field) {
	if !isScalar(n) {
		d.fail(path, n, "%s must be %s, not %s", path, wanted(v.Type()), kind(n))
		return
	}
	if err := setScalar(v, text(n)); err != nil {
		d.fail(path, n, "%s %v", path, err)
		return
	}
	if len(f.enum) > 0 && !slices.Contains(f.enum, text(n)) {
		d.fail(path, n, "%s cannot be %s%s", path, shown(text(n)), didYouMean(text(n), f.enum))
	}
	if f.minimum != "" {
		if least, _ := strconv.ParseFloat(f.minimum, 64); number(v) < least {
			d.fail(path, n, "%s must be at least %s", path, f.minimum)
		}
	}
}

func number(v reflect.Value) float64 {
	if v.CanFloat() {
		return v.Float()
	}
	return float64(v.Int())
}

// setScalar reads text as v's type. Its errors continue a sentence that begins
// with the path, and never repeat the text.
func setScalar(v reflect.Value, text string) error {
	switch v.Type() {
	case secretType:
		v.Set(reflect.ValueOf(secret.New(text)))
		return nil
	case durationType:
		d, err := parseDuration(text)
		v.SetInt(int64(d))
		return err
	case sizeType:
		s, err := parseSize(text)
		v.SetInt(int64(s))
		return err
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil || len(text) == 1 {
			return fmt.Errorf("must be true or false")
		}
		v.SetBool(b)
	case reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || x != x || x > 1e9 {
			return fmt.Errorf("must be a number")
		}
		v.SetFloat(x)
	default:
		i, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("must be a whole number")
		}
		v.SetInt(int64(i))
	}
	return nil
}

// wanted names a type for an error.
func wanted(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration"
	case t == sizeType:
		return "a size"
	case t == secretType || t.Kind() == reflect.String:
		return "a text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	}
	return "a number"
}

// field is what the tags of a struct's field say.
type field struct {
	key      string
	index    int
	idle     string
	required bool
	enum     []string
	minimum  string
}

// fieldsOf lists the fields of a struct that a spec can hold, in their order.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		sf := t.Field(i)
		f := field{key: sf.Tag.Get("yaml"), index: i, idle: sf.Tag.Get("idle")}
		if f.key == "" || f.key == "-" {
			continue
		}
		for part := range strings.SplitSeq(sf.Tag.Get("jsonschema"), ",") {
			switch k, v, _ := strings.Cut(part, "="); k {
			case "required":
				f.required = true
			case "enum":
				f.enum = append(f.enum, v)
			case "minimum":
				f.minimum = v
			}
		}
		fields = append(fields, f)
	}
	return fields
}
