package spec

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/features"
)

// TestSpecDoc holds docs/spec.md to the schema. Run it with -update to write the page anew.
func TestSpecDoc(t *testing.T) {
	const path = "../../docs/spec.md"
	want := specDoc(parseSchema(t))
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/spec.md is not what the schema says; run: go test ./pkg/spec -run SpecDoc -update\n%s", diff)
	}
	for _, field := range schemaPaths(t) {
		if name := field[strings.LastIndex(field, ".")+1:]; name != "*" && !strings.Contains(want, "`"+name+"`") {
			t.Errorf("the page does not have %s", field)
		}
	}
}

// specDoc is the page: a table for each mapping, in the order in which one leads to another.
func specDoc(root *node) string {
	var b strings.Builder
	b.WriteString("# The spec: every field\n\n<!-- Generated from the schema: go test ./pkg/spec -run SpecDoc -update -->\n\n" +
		"Of `.devcontainer/workspace-spec.yaml`. `coltec schema` prints it as a JSON Schema, which editors complete by;\n" +
		"`coltecd validate` names each thing that is wrong, with file, line and column. A field in **bold** is required.\n\n" +
		"## Top level\n\n")
	fieldTable(&b, root, root)
	seen := map[string]bool{}
	for next := reached(root, root); len(next) > 0; next = next[1:] {
		name := next[0]
		def := root.Defs[name]
		if seen[name] || len(def.Properties) == 0 {
			continue
		}
		seen[name] = true
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", name, def.Description)
		fieldTable(&b, root, def)
		next = append(next[:1:1], append(reached(root, def), next[1:]...)...)
	}
	featureOptions(&b)
	return b.String()
}

// featureOptions are those of the dev container Feature, by its own description.
func featureOptions(b *strings.Builder) {
	var feature struct {
		Options map[string]struct {
			Type        string
			Default     any
			Enum        []string
			Description string
		}
	}
	text, err := fs.ReadFile(features.FS(), "devcontainer-feature.json")
	if err == nil {
		err = json.Unmarshal(text, &feature)
	}
	if err != nil {
		panic(err) // it is in the program
	}
	b.WriteString("\n## Options of the Feature\n\nOf `\"./coltec\": {}` in a devcontainer.json.\n\n| option | value | meaning |\n|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(feature.Options)) {
		o := feature.Options[name]
		value := o.Type
		if len(o.Enum) > 0 {
			value = "`" + strings.Join(o.Enum, "`, `") + "`"
		}
		text := o.Description
		if o.Default != "" {
			text += fmt.Sprintf(" Default: `%v`.", o.Default)
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, value, cell.Replace(text))
	}
}

// reached are the mappings that the fields of one lead to.
func reached(root, n *node) (names []string) {
	for _, key := range slices.Sorted(maps.Keys(n.Properties)) {
		names = append(names, refs(root, n.Properties[key])...)
	}
	return names
}

// refs are the definitions that a field's value may be of.
func refs(root, n *node) (names []string) {
	if name, ok := strings.CutPrefix(n.Ref, "#/$defs/"); ok {
		if names = []string{name}; len(root.Defs[name].Properties) == 0 { // a list or a map by name
			return append(names, refs(root, root.Defs[name])...)
		}
		return names
	}
	for _, one := range n.OneOf {
		names = append(names, refs(root, one)...)
	}
	if n.Items != nil {
		names = append(names, refs(root, n.Items)...)
	}
	if values := n.values(); values != nil {
		names = append(names, refs(root, values)...)
	}
	return names
}

// values are those of a mapping whose keys are free; nil: it has none such.
func (n *node) values() *node {
	var values node
	if len(n.Additional) == 0 || n.Additional[0] != '{' || json.Unmarshal(n.Additional, &values) != nil {
		return nil
	}
	return &values
}

// fieldTable is the table of a mapping.
func fieldTable(b *strings.Builder, root, n *node) {
	b.WriteString("| field | value | meaning |\n|---|---|---|\n")
	for _, key := range slices.Sorted(maps.Keys(n.Properties)) {
		p := n.Properties[key]
		name := "`" + key + "`"
		if slices.Contains(n.Required, key) {
			name = "**" + name + "**"
		}
		text := p.Description
		if p.Default != nil {
			text += fmt.Sprintf(" Default: `%v`.", p.Default)
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", name, valueOf(root, p), cell.Replace(text))
	}
}

// cell has a text as Markdown takes it in a table.
var cell = strings.NewReplacer("|", `\|`, "<", `\<`)

// valueOf says in words what a value may be.
func valueOf(root, n *node) string {
	switch {
	case n.Ref != "":
		name := strings.TrimPrefix(n.Ref, "#/$defs/")
		if def := root.Defs[name]; len(def.Properties) == 0 {
			return valueOf(root, def)
		}
		return "[" + name + "](#" + strings.ToLower(name) + ")"
	case len(n.Enum) > 0:
		var words []string
		for _, e := range n.Enum {
			words = append(words, fmt.Sprintf("`%v`", e))
		}
		return strings.Join(words, ", ")
	case len(n.OneOf) > 0:
		var words []string
		for _, one := range n.OneOf {
			words = append(words, valueOf(root, one))
		}
		return strings.Join(slices.Compact(words), " or ")
	case n.Type == "array" && n.Items != nil:
		return "list of " + valueOf(root, n.Items)
	case n.Type == "object" && n.values() != nil:
		return "mapping of names to " + valueOf(root, n.values())
	case strings.HasPrefix(n.Pattern, "^([0-9.]+(ms|s|"):
		return "time (`90s`)"
	case strings.HasSuffix(n.Pattern, "[bB]?$"):
		return "size (`10MB`)"
	case n.Type == "":
		return "anything"
	}
	return n.Type
}
