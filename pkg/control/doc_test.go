package control

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the generated document anew")

// TestControlDoc holds docs/control.md to the types of the protocol. Run it with -update
// to write the page anew.
func TestControlDoc(t *testing.T) {
	const path = "../../docs/control.md"
	want := controlDoc(t)
	if *update {
		must(t, os.WriteFile(path, want, 0o644))
	}
	got, err := os.ReadFile(path)
	must(t, err)
	if diff := gocmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("docs/control.md is not what the protocol is; run: go test ./pkg/control -run ControlDoc -update\n%s", diff)
	}
}

const intro = `# The control socket

<!-- Generated from the types: go test ./pkg/control -run ControlDoc -update -->

A running coltecd answers HTTP with JSON on a unix socket, to its own user and to root. Where the socket is
says ` + "`instance.json`" + ` beside it: in ` + "`$XDG_RUNTIME_DIR/coltec/`" + ` or ` + "`/tmp/coltec-UID/`" + `, in a directory for each workspace.

    curl --unix-socket SOCKET http://coltecd/v1/status
    curl --unix-socket SOCKET http://coltecd/v1/read -d '{"ask": "generations"}'

The answer to a POST is lines of JSON: any number of ` + "`{\"say\": \"…\"}`" + `, which are for the person who waits, then
one ` + "`{\"done\": true}`" + `, with an ` + "`answer`" + ` where there is one, or one ` + "`{\"error\": …}`" + `, with
the ` + "`answer`" + ` as far as it came where that is a list, or of decisions. An answer without either was cut off.
` + "`GET /metrics`" + ` answers with the status in numbers, for Prometheus: see [metrics](metrics.md).

Fields that are not known are to be passed over. A field that is marked *may be absent* is so when it is empty.
`

// controlDoc is the page.
func controlDoc(t *testing.T) []byte {
	d := &page{words: commentsOf(t, ".", "../status", "../account")}
	d.WriteString(intro)
	for _, r := range NewServer(&fake{History: &past{}}, slog.New(slog.DiscardHandler)).table() {
		d.call(t, r)
	}
	d.WriteString("\n## Types\n")
	d.need(reflect.TypeFor[Error]())
	for i := 0; i < len(d.types); i++ { // each may need more
		d.typ(t, d.types[i])
	}
	fmt.Fprintf(d, "\n## Kinds of errors\n\n| kind | meaning |\n|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		fmt.Fprintf(d, "| `%s` | %s |\n", name, kinds[name])
	}
	return d.Bytes()
}

// page is the document as far as it is written.
type page struct {
	bytes.Buffer
	words words
	types []reflect.Type // that the page has to explain
}

// call writes the chapter about a route.
func (d *page) call(t *testing.T, r route) {
	fmt.Fprintf(d, "\n## %s\n\n", strings.TrimSpace(r.pattern+" "+string(r.ask)))
	text := cmp.Or(d.words.text["control.Handler."+r.method], d.words.text["control.History."+r.method])
	if text == "" {
		t.Errorf("nothing says what %s does", r.method)
	}
	fmt.Fprintf(d, "%s\n", text)
	if q := reflect.TypeOf(r.request); q != nil && q.NumField() > 0 {
		d.fields(t, q, string(r.ask))
	}
	if r.answer != nil {
		word := "Answer"
		if r.method == "Events" {
			word = "Each line"
		}
		fmt.Fprintf(d, "\n%s: %s.\n", word, d.name(reflect.TypeOf(r.answer)))
	}
}

// typ writes the chapter about a type.
func (d *page) typ(t *testing.T, x reflect.Type) {
	fmt.Fprintf(d, "\n### %s\n\n%s\n", x.Name(), d.words.text[goName(x)])
	d.fields(t, x, "")
}

func (d *page) fields(t *testing.T, x reflect.Type, ask string) {
	d.WriteString("\n| field | type | meaning |\n|---|---|---|\n")
	for _, f := range reflect.VisibleFields(x) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || name == "-" {
			continue
		}
		if name == "" {
			t.Errorf("%s.%s has no name on the wire", x.Name(), f.Name)
		}
		owner := x
		if len(f.Index) > 1 {
			owner = x.Field(f.Index[0]).Type
		}
		kind, text := d.name(f.Type), d.words.text[goName(owner)+"."+f.Name]
		if rest, its := strings.CutPrefix(text, f.Name+" "); its {
			text = "`" + name + "` " + rest
		}
		if f.Type == reflect.TypeFor[Ask]() {
			kind = fmt.Sprintf("`%q`", ask)
		}
		if strings.HasPrefix(options, "omit") {
			text = strings.TrimSuffix("may be absent; "+text, "; ")
		}
		fmt.Fprintf(d, "| `%s` | %s | %s |\n", name, kind, text)
	}
}

// need notes a type that the page has to explain.
func (d *page) need(x reflect.Type) {
	if !slices.Contains(d.types, x) {
		d.types = append(d.types, x)
	}
}

// name is what a type is called on the wire.
func (d *page) name(x reflect.Type) string {
	if x.Kind() == reflect.Pointer {
		return d.name(x.Elem())
	}
	switch {
	case x == reflect.TypeFor[time.Time]():
		return "time (RFC 3339)"
	case x == reflect.TypeFor[Duration]():
		return "duration (`1m30s`)"
	case x == reflect.TypeFor[json.RawMessage]():
		return "any"
	case x.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return "text"
	}
	switch x.Kind() {
	case reflect.Slice:
		return "list of " + d.name(x.Elem())
	case reflect.Map:
		return "map to " + d.name(x.Elem())
	case reflect.Struct:
		d.need(x)
		return fmt.Sprintf("[%s](#%s)", x.Name(), strings.ToLower(x.Name()))
	case reflect.String:
		if values := d.words.values[goName(x)]; values != nil {
			return "`" + strings.Join(values, "`, `") + "`"
		}
		return "text"
	case reflect.Bool:
		return "true or false"
	default:
		return "number"
	}
}

// words are what sources say.
type words struct {
	text   map[string]string   // comments, by package.Type and package.Type.Field or Method
	values map[string][]string // of the constants of a type
}

// goName is the name of a type, as words have it.
func goName(x reflect.Type) string { return filepath.Base(x.PkgPath()) + "." + x.Name() }

// commentsOf reads what the sources of packages say about types, fields and methods.
func commentsOf(t *testing.T, dirs ...string) words {
	words := words{map[string]string{}, map[string][]string{}}
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		must(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
			must(t, err)
			for _, decl := range parsed.Decls {
				g, ok := decl.(*ast.GenDecl)
				if !ok {
					continue
				}
				for _, s := range g.Specs {
					words.note(parsed.Name.Name, g, s)
				}
			}
		}
	}
	return words
}

func (w words) note(room string, g *ast.GenDecl, s ast.Spec) {
	switch s := s.(type) {
	case *ast.TypeSpec:
		w.noteType(room+"."+s.Name.Name, g, s)
	case *ast.ValueSpec:
		if of, ok := s.Type.(*ast.Ident); ok && len(s.Values) == 1 {
			if lit, ok := s.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				w.values[room+"."+of.Name] = append(w.values[room+"."+of.Name], strings.Trim(lit.Value, `"`))
			}
		}
	}
}

func (w words) noteType(of string, g *ast.GenDecl, s *ast.TypeSpec) {
	w.text[of] = cell(g.Doc.Text())
	var fields *ast.FieldList
	switch x := s.Type.(type) {
	case *ast.StructType:
		fields = x.Fields
	case *ast.InterfaceType:
		fields = x.Methods
	default:
		return
	}
	for _, f := range fields.List {
		for _, name := range f.Names {
			w.text[of+"."+name.Name] = cell(f.Doc.Text() + " " + f.Comment.Text())
		}
	}
}

// cell is a comment in one line, without what only Go understands.
func cell(text string) string {
	text = strings.NewReplacer("[", "", "]", "", "|", "or", "<", "&lt;").Replace(text)
	return strings.Join(strings.Fields(text), " ")
}
