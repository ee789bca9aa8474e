package spec

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// node is as much of a JSON Schema as the generator writes.
type node struct {
	Ref         string           `json:"$ref"`
	Defs        map[string]*node `json:"$defs"`
	Type        string           `json:"type"`
	Description string           `json:"description"`
	Properties  map[string]*node `json:"properties"`
	Additional  json.RawMessage  `json:"additionalProperties"`
	Required    []string         `json:"required"`
	Items       *node            `json:"items"`
	OneOf       []*node          `json:"oneOf"`
	Enum        []any            `json:"enum"`
	Pattern     string           `json:"pattern"`
	Minimum     *float64         `json:"minimum"`
	Default     any              `json:"default"`
}

func parseSchema(t *testing.T) *node {
	t.Helper()
	var root node
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	return &root
}

// target follows a reference.
func (n *node) target(root *node) *node {
	if n.Ref == "" {
		return n
	}
	return root.Defs[strings.TrimPrefix(n.Ref, "#/$defs/")]
}

// schemaPaths lists every field, such as persistence.sync[].name.
func schemaPaths(t *testing.T) []string {
	t.Helper()
	root := parseSchema(t)
	var paths []string
	var walk func(path string, n *node)
	walk = func(path string, n *node) {
		n = n.target(root)
		for key, p := range n.Properties {
			paths = append(paths, join(path, key))
			walk(join(path, key), p)
		}
		if n.Items != nil {
			walk(path+"[]", n.Items)
		}
		var values node
		if json.Unmarshal(n.Additional, &values) == nil && values.Ref != "" {
			walk(path+".*", &values)
		}
	}
	walk("", root)
	slices.Sort(paths)
	return paths
}

// validate lists where value breaks the schema.
func validate(root, n *node, path string, value any) []string {
	n = n.target(root)
	if value == nil {
		return nil // the parser takes null as not given; editors may warn
	}
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, path+": "+fmt.Sprintf(format, args...)) }
	if n.Type != "" && !slices.Contains(jsonTypes(value), n.Type) {
		say("%T is no %s", value, n.Type)
		return wrong
	}
	if len(n.Enum) > 0 && !slices.ContainsFunc(n.Enum, func(e any) bool { return reflect.DeepEqual(e, value) }) {
		say("%v is not among %v", value, n.Enum)
	}
	if text, ok := value.(string); ok && n.Pattern != "" && !regexp.MustCompile(n.Pattern).MatchString(text) {
		say("%q does not match %s", text, n.Pattern)
	}
	if n.Minimum != nil && reflect.ValueOf(value).CanConvert(reflect.TypeFor[float64]()) {
		if x := reflect.ValueOf(value).Convert(reflect.TypeFor[float64]()).Float(); x < *n.Minimum {
			say("%v is less than %v", x, *n.Minimum)
		}
	}
	if len(n.OneOf) > 0 {
		fits := 0
		for _, one := range n.OneOf {
			if len(validate(root, one, path, value)) == 0 {
				fits++
			}
		}
		if fits != 1 {
			say("fits %d of %d", fits, len(n.OneOf))
		}
	}
	switch value := value.(type) {
	case []any:
		for i, item := range value {
			if n.Items != nil {
				wrong = append(wrong, validate(root, n.Items, fmt.Sprintf("%s[%d]", path, i), item)...)
			}
		}
	case map[string]any:
		for _, key := range n.Required {
			if _, ok := value[key]; !ok {
				say("%s is missing", key)
			}
		}
		for _, key := range slices.Sorted(maps.Keys(value)) {
			var rest node
			switch p := n.Properties[key]; {
			case p != nil:
				wrong = append(wrong, validate(root, p, join(path, key), value[key])...)
			case string(n.Additional) == "false":
				say("unknown key %s", key)
			case json.Unmarshal(n.Additional, &rest) == nil:
				wrong = append(wrong, validate(root, &rest, join(path, key), value[key])...)
			}
		}
	}
	return wrong
}

// jsonTypes are the schema's names for what YAML gave.
func jsonTypes(value any) []string {
	switch value.(type) {
	case string:
		return []string{"string"}
	case bool:
		return []string{"boolean"}
	case []any:
		return []string{"array"}
	case map[string]any:
		return []string{"object"}
	case float64:
		return []string{"number"}
	}
	return []string{"number", "integer"}
}

// TestExamplesFitTheSchema holds that editors find nothing wrong with what the
// parser accepts.
func TestExamplesFitTheSchema(t *testing.T) {
	root := parseSchema(t)
	files, _ := filepath.Glob("testdata/valid/*.yaml")
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var value map[string]any
		if err := yaml.Unmarshal(src, &value); err != nil {
			t.Fatal(err)
		}
		for _, wrong := range validate(root, root, "", value) {
			t.Errorf("%s: %s", filepath.Base(file), wrong)
		}
	}
}

// TestSchemaRefuses holds that the checks of this file would see something.
func TestSchemaRefuses(t *testing.T) {
	root := parseSchema(t)
	tests := map[string]string{
		"an unknown key":  head + "nmae: x",
		"a nested one":    head + "persistence: {sync: [{name: a, path: /a, intervall: 3}]}",
		"a missing key":   "name: dev",
		"a wrong word":    head + "persistence: {mode: both}",
		"a wrong type":    head + "services: web",
		"a small number":  head + "persistence: {defaults: {transfers: 0}}",
		"a wrong version": "version: 2.x\n" + head,
		"a wrong time":    head + "persistence: {lease: {ttl: soon}}",
		"a remote's key":  head + "persistence: {remotes: {a: {buckt: b}}}",
	}
	for name, src := range tests {
		t.Run(name, func(t *testing.T) {
			var value map[string]any
			if err := yaml.Unmarshal([]byte(src), &value); err != nil {
				t.Fatal(err)
			}
			if len(validate(root, root, "", value)) == 0 {
				t.Error("it fits")
			}
			if _, err := Parse("s.yaml", []byte(src)); err == nil {
				t.Error("and the parser takes it")
			}
		})
	}
}

// TestSchemaDescribes holds that each field has a description, which is the Go
// comment: a line for the reader of the generated page.
func TestSchemaDescribes(t *testing.T) {
	root := parseSchema(t)
	for name, def := range root.Defs {
		for key, p := range def.Properties {
			if !strings.HasSuffix(p.Description, ".") && p.Ref == "" {
				t.Errorf("%s.%s: %q", name, key, p.Description)
			}
		}
	}
}
