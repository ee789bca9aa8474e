// Package schema makes the JSON Schema of the workspace spec from the types of
// pkg/spec. Only the generator and the tests use it.
package schema

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/pkg/secret"
	"github.com/coltec/coltec/pkg/spec"
)

// id names the schema. It is a name, nothing is fetched from there.
const id = "https://github.com/coltec/coltec/workspace-spec.schema.json"

// Generate returns the schema. The descriptions are the comments in the Go files
// of dir, which is pkg/spec.
func Generate(dir string) ([]byte, error) {
	r := jsonschema.Reflector{
		FieldNameTag:               "yaml",
		RequiredFromJSONSchemaTags: true,
		ExpandedStruct:             true,
		Mapper:                     scalar,
	}
	if err := r.AddGoComments("github.com/coltec/coltec/pkg/spec", dir); err != nil {
		return nil, fmt.Errorf("cannot read the comments of the types: %w", err)
	}
	// AddGoComments makes a package path of dir, which is not that of the types
	// when dir has dots: keep what follows, the type and the field.
	comments := map[string]string{}
	for key, text := range r.CommentMap {
		_, name, _ := strings.Cut(key[strings.LastIndex(key, "/")+1:], ".")
		comments["github.com/coltec/coltec/pkg/spec."+name] = oneLine(text)
	}
	r.CommentMap = comments
	s := r.Reflect(&spec.Spec{})
	s.ID = id
	s.Title = "Coltec workspace spec"
	name(s)
	for _, def := range s.Definitions {
		name(def)
	}
	orWord(s.Definitions["Sync"], "consistency", spec.ByFreeze, spec.ByHook)
	orName(s, "agents")
	hookPoints(s.Definitions["Hooks"])
	widen(s)
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("cannot write the schema: %w", err)
	}
	return append(text, '\n'), nil
}

// oneLine joins the lines of a comment.
func oneLine(comment string) string { return strings.Join(strings.Fields(comment), " ") }

// scalar is the schema of types that are written otherwise than they are kept.
func scalar(t reflect.Type) *jsonschema.Schema {
	text := &jsonschema.Schema{Type: "string"}
	number := &jsonschema.Schema{Type: "number"}
	switch t {
	case reflect.TypeFor[time.Duration]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
			{Type: "number", Minimum: "0"},
			{Type: "string", Pattern: `^([0-9.]+(ms|s|m|h|d|w)?)+$`},
		}}
	case reflect.TypeFor[spec.Size]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
			{Type: "integer", Minimum: "0"},
			{Type: "string", Pattern: `^[0-9]+ ?([kKmMgG][iI]?)?[bB]?$`},
		}}
	case reflect.TypeFor[secret.Value]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{text, number, {Type: "boolean"}}}
	case reflect.TypeFor[spec.Words]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{text, {Type: "array", Items: text}}}
	}
	return nil
}

// name lets descriptions begin with the key where the comment has the Go name.
func name(s *jsonschema.Schema) {
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		first, rest, _ := strings.Cut(p.Value.Description, " ")
		if strings.EqualFold(first, strings.ReplaceAll(p.Key, "_", "")) {
			p.Value.Description = p.Key + " " + rest
		}
	}
}

// orWord lets a list be one of some words, too.
func orWord(s *jsonschema.Schema, key string, words ...any) {
	list, _ := s.Properties.Get(key)
	s.Properties.Set(key, &jsonschema.Schema{
		Description: list.Description,
		OneOf:       []*jsonschema.Schema{{Type: "string", Enum: words}, {Type: "array", Items: list.Items}},
	})
}

// orName lets each of a list be its name alone, too.
func orName(s *jsonschema.Schema, key string) {
	list, _ := s.Properties.Get(key)
	list.Items = &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string"}, list.Items}}
}

// hookPoints makes a key of each hook point of what is a map of hooks by their points.
func hookPoints(s *jsonschema.Schema) {
	list := s.AdditionalProperties
	s.Properties, s.AdditionalProperties = jsonschema.NewProperties(), jsonschema.FalseSchema
	for _, p := range hooks.Points() {
		at := *list
		at.Description = string(p) + " runs " + p.Runs() + "."
		s.Properties.Set(string(p), &at)
	}
}

// widen lets two fields be what the parser takes beside their Go type: a version
// that is a number, and a volume's sync that is true or false.
func widen(s *jsonschema.Schema) {
	version, _ := s.Properties.Get("version")
	version.Type = ""
	version.OneOf = []*jsonschema.Schema{{Type: "number"}, {Type: "string", Pattern: `^1(\.[0-9]+){0,2}$`}}
	sync, _ := s.Definitions["Volume"].Properties.Get("sync")
	sync.Type = ""
	sync.Enum = []any{"bidirectional", "push-only", "pull-only", true, false}
}
