// Figures measures the structure of the repository: how large the biggest type of each
// room is, how its files depend on each other, what a save and a restore pass through.
//
//	go run -C tools/check ./figures [-root DIR] [-write | -json]
package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// The table stands in this document, between these lines.
const (
	document = "docs/ARCHITECTURE.md"
	begins   = "<!-- make figures -->\n"
	ends     = "<!-- end of figures -->\n"
)

func run(args []string, out, talk io.Writer) int {
	flags := flag.NewFlagSet("figures", flag.ContinueOnError)
	flags.SetOutput(talk)
	root := flags.String("root", filepath.Join("..", ".."), "the repository")
	asJSON := flags.Bool("json", false, "print the summary, for before.json")
	write := flags.Bool("write", false, "write the table into "+document)
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if err := show(*root, *write, *asJSON, out); err != nil {
		fmt.Fprintln(talk, "figures:", err)
		return 1
	}
	return 0
}

func show(root string, write, asJSON bool, out io.Writer) error {
	m, err := measure(root)
	if err != nil {
		return err
	}
	text := m.json
	if !asJSON {
		text = m.markdown
	}
	table, err := text()
	if err == nil && write {
		return place(filepath.Join(root, document), table)
	}
	if err == nil {
		_, err = io.WriteString(out, table)
	}
	return err
}

// place puts the table between its two lines.
func place(path, table string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	head, rest, found := strings.Cut(string(text), begins)
	_, tail, ended := strings.Cut(rest, ends)
	if !found || !ended {
		return fmt.Errorf("%s has no place for the figures: %q to %q", path, begins, ends)
	}
	return os.WriteFile(path, []byte(head+begins+table+ends+tail), 0o644)
}

// house is the code of the repository that is no test.
type house struct {
	module string
	fset   *token.FileSet
	rooms  []*packages.Package // sorted by path
	bodies map[*types.Func]body
}

// body is a function with the room that it is in.
type body struct {
	room *packages.Package
	decl *ast.FuncDecl
}

// open loads the packages of the repository, but for tools, benchmarks and helpers of
// tests.
func open(root string) (*house, error) {
	h := &house{fset: token.NewFileSet(), bodies: map[*types.Func]body{}}
	config := &packages.Config{Dir: root, Fset: h.fset, Mode: packages.NeedName | packages.NeedFiles |
		packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedImports | packages.NeedDeps | packages.NeedModule}
	list, err := packages.Load(config, "./cmd/...", "./engine/...", "./supervisor/...", "./hooks/...", "./pkg/...", "./daemon/...", "./internal/...")
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		if len(p.Errors) > 0 && p.Module != nil {
			return nil, fmt.Errorf("cannot load %s: %v", p.PkgPath, p.Errors[0])
		}
		if p.Module == nil || len(p.Syntax) == 0 || helper(p.PkgPath) {
			continue
		}
		h.module = p.Module.Path
		h.rooms = append(h.rooms, p)
		for _, f := range p.Syntax {
			for _, d := range f.Decls {
				if decl, ok := d.(*ast.FuncDecl); ok && decl.Body != nil {
					if fn, ok := p.TypesInfo.Defs[decl.Name].(*types.Func); ok {
						h.bodies[fn] = body{p, decl}
					}
				}
			}
		}
	}
	slices.SortFunc(h.rooms, func(a, b *packages.Package) int { return strings.Compare(a.PkgPath, b.PkgPath) })
	return h, nil
}

// helper reports whether a package serves tests and generators alone.
func helper(path string) bool {
	return strings.HasSuffix(path, "test") || strings.Contains(path, "/internal/gen") || strings.HasSuffix(path, "/internal/sample") ||
		strings.HasSuffix(path, "/internal/clidoc") || strings.HasSuffix(path, "/internal/schema")
}

func (h *house) name(p *packages.Package) string { return strings.TrimPrefix(p.PkgPath, h.module+"/") }
