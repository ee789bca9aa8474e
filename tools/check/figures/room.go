package main

import (
	"bytes"
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/tools/go/packages"
)

// room is what is measured of a package.
type room struct {
	name         string
	code, tests  int // lines that are neither empty nor comment alone
	biggest      string
	methods      int
	widest       string
	fields       int
	arrows, up   int // between its files; those that run against their best order
	long         int // functions of more than 60 lines
	exports, doc int // exported declarations, those that have a comment
}

// longest is how many lines a function may have.
const longest = 60

func (h *house) measure(p *packages.Package) (room, error) {
	r := room{name: h.name(p)}
	if err := r.lines(p); err != nil {
		return r, err
	}
	scope := p.Types.Scope()
	for _, name := range scope.Names() {
		named, ok := types.Unalias(scope.Lookup(name).Type()).(*types.Named)
		if !ok || named.Obj().Pkg() != p.Types || named.Obj().Name() != name {
			continue
		}
		if n := named.NumMethods(); n > r.methods {
			r.methods, r.biggest = n, name
		}
		if s, ok := named.Underlying().(*types.Struct); ok && s.NumFields() > r.fields {
			r.fields, r.widest = s.NumFields(), name
		}
	}
	for _, f := range p.Syntax {
		for _, d := range f.Decls {
			r.count(h, d)
		}
	}
	r.arrows, r.up = h.arrows(p)
	return r, nil
}

// lines counts the code of a package and of its tests.
func (r *room) lines(p *packages.Package) error {
	for _, path := range p.GoFiles {
		n, err := codeLines(path)
		if err != nil {
			return err
		}
		r.code += n
	}
	tests, err := filepath.Glob(filepath.Join(filepath.Dir(p.GoFiles[0]), "*_test.go"))
	if err != nil {
		return err
	}
	for _, path := range tests {
		n, err := codeLines(path)
		if err != nil {
			return err
		}
		r.tests += n
	}
	return nil
}

func codeLines(path string) (int, error) {
	text, err := os.ReadFile(path)
	n := 0
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && !bytes.HasPrefix(line, []byte("//")) {
			n++
		}
	}
	return n, err
}

// count counts one declaration.
func (r *room) count(h *house, d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if h.fset.Position(d.End()).Line-h.fset.Position(d.Pos()).Line+1 > longest {
			r.long++
		}
		if d.Name.IsExported() && ast.IsExported(receiver(d)) {
			r.export(d.Doc != nil)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			if t, ok := s.(*ast.TypeSpec); ok && t.Name.IsExported() {
				r.export(d.Doc != nil || t.Doc != nil || t.Comment != nil)
			}
			if v, ok := s.(*ast.ValueSpec); ok && v.Names[0].IsExported() {
				r.export(d.Doc != nil || v.Doc != nil || v.Comment != nil)
			}
		}
	}
}

func (r *room) export(documented bool) {
	r.exports++
	if documented {
		r.doc++
	}
}

// receiver is the name of a method's type; of a function "Func".
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return "Func"
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// arrows counts how often a file of a package uses what another one declares, each pair
// of files once, and how many of these run upward in the best order that is found.
func (h *house) arrows(p *packages.Package) (all, up int) {
	index := map[string]int{}
	for _, f := range p.Syntax {
		index[h.file(f.Pos())] = len(index)
	}
	uses := make([][]bool, len(index))
	for i := range uses {
		uses[i] = make([]bool, len(index))
	}
	for id, obj := range p.TypesInfo.Uses {
		if obj.Pkg() != p.Types || !obj.Pos().IsValid() {
			continue
		}
		if v, ok := obj.(*types.Var); ok && !v.IsField() && v.Parent() != p.Types.Scope() {
			continue // local
		}
		from, to := index[h.file(id.Pos())], index[h.file(obj.Pos())]
		if from != to && !uses[from][to] {
			uses[from][to] = true
			all++
		}
	}
	return all, upward(uses)
}

// upward is the number of arrows that run upward when files are ordered so that few do:
// greedily (Eades, Lin and Smyth, 1993), then by moving single files while that helps.
func upward(uses [][]bool) int {
	order := greedy(uses)
	best := against(order, uses)
	for better := true; better; {
		better = false
		for i := range order {
			for j := range order {
				next := slices.Insert(slices.Delete(slices.Clone(order), i, i+1), j, order[i])
				if n := against(next, uses); n < best {
					order, best, better = next, n, true
				}
			}
		}
	}
	return best
}

// greedy takes away sinks, then sources, then the file whose uses exceed most what uses it.
func greedy(uses [][]bool) []int {
	var top, bottom []int
	left := map[int]bool{}
	for i := range uses {
		left[i] = true
	}
	for len(left) > 0 {
		pick, most, sink := -1, 0, false
		for i := range uses {
			if !left[i] {
				continue
			}
			out, in := 0, 0
			for j := range uses {
				if left[j] && uses[i][j] {
					out++
				}
				if left[j] && uses[j][i] {
					in++
				}
			}
			if out == 0 {
				pick, sink = i, true
				break
			}
			if pick < 0 || out-in > most {
				pick, most = i, out-in
			}
		}
		delete(left, pick)
		if sink {
			bottom = append(bottom, pick)
		} else {
			top = append(top, pick)
		}
	}
	slices.Reverse(bottom)
	return append(top, bottom...)
}

// against counts the arrows from a later file of an order to an earlier one.
func against(order []int, uses [][]bool) (n int) {
	for i, low := range order {
		for _, high := range order[:i] {
			if uses[low][high] {
				n++
			}
		}
	}
	return n
}

func (h *house) file(pos token.Pos) string { return h.fset.Position(pos).Filename }

// fieldsOf is the number of fields of a struct, those of embedded structs of the same
// room as well.
func (h *house) fieldsOf(p *packages.Package, name string) int {
	obj := p.Types.Scope().Lookup(name)
	if obj == nil {
		return 0
	}
	return fields(p, obj.Type())
}

func fields(p *packages.Package, t types.Type) (n int) {
	s, ok := t.Underlying().(*types.Struct)
	if !ok {
		return 0
	}
	for f := range s.Fields() {
		if named, ok := types.Unalias(f.Type()).(*types.Named); ok && f.Embedded() && named.Obj().Pkg() == p.Types {
			n += fields(p, named)
			continue
		}
		n++
	}
	return n
}
