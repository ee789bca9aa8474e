package coltec

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// waits are the functions, or whole files, of tests that let time pass, with the reason.
// All others wait for an event with a deadline: a time that suffices here is too short on
// a machine that is busy, and too long on all others.
var waits = map[string]string{
	"supervisor world.after":             "the clock of a bubble",
	"supervisor lives.live":              "the clock of a bubble",
	"supervisor forever":                 "a child that is killed",
	"pkg/process forever":                "a child that is killed",
	"supervisor lastWords":               "a child: nothing tells of the end of a parent",
	"pkg/rclone TestCancelLeavesNothing": "init reaps an orphan and tells nobody",
	"pkg/replica writers_test.go":        "programs that write at their own pace",
	"e2e writer.rewrite":                 "a program that writes at its own pace",
	"e2e world.race":                     "the race is about how far apart they are",
	"e2e havoc.moment":                   "any moment will do",
	"e2e gitHavoc.round":                 "any moment will do",
	"e2e truth.pause":                    "any moment will do",
	"e2e live.pause":                     "any moment will do",
	"e2e/hostile TestRootPlantedLogs":    "nothing is written elsewhere: nothing tells of that",
}

// sleepers names the functions of a file that let time pass outside of a bubble of
// testing/synctest.
func sleepers(file *ast.File) []string {
	var found []string
	for _, d := range file.Decls {
		beside := map[ast.Stmt]bool{} // the cases of a select, which waits for something else too
		ast.Inspect(d, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if isCall(n, "time", "Sleep") {
					found = append(found, nameOf(d))
				}
				return !isCall(n, "synctest", "Test")
			case *ast.CommClause:
				beside[n.Comm] = true
			case *ast.ExprStmt:
				if receive, ok := n.X.(*ast.UnaryExpr); ok && !beside[n] && isCall(receive.X, "time", "After") {
					found = append(found, nameOf(d))
				}
			}
			return true
		})
	}
	return found
}

// nameOf is the name of a function, after that of its receiver's type.
func nameOf(d ast.Decl) string {
	f, ok := d.(*ast.FuncDecl)
	if !ok {
		return "a variable"
	}
	if f.Recv == nil {
		return f.Name.Name
	}
	receiver := f.Recv.List[0].Type
	if p, ok := receiver.(*ast.StarExpr); ok {
		receiver = p.X
	}
	return types.ExprString(receiver) + "." + f.Name.Name
}

func isCall(n ast.Expr, pkg, name string) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return false
	}
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := f.X.(*ast.Ident)
	return ok && x.Name == pkg && f.Sel.Name == name
}

func TestBansOfWaits(t *testing.T) {
	used := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		for _, name := range sleepers(file) {
			one, all := dir+" "+name, dir+" "+d.Name()
			used[one], used[all] = true, true
			if waits[one] == "" && waits[all] == "" {
				t.Errorf("%s: %s lets time pass: wait for an event with a deadline, or in a bubble of testing/synctest", path, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range waits {
		if !used[name] {
			t.Errorf("%s does not wait any more: its line can go", name)
		}
	}
}

func TestSleepers(t *testing.T) {
	for text, want := range map[string][]string{
		"func f() { time.Sleep(1) }":                                                        {"f"},
		"func (m *machine) f() { func() { time.Sleep(1) }() }":                              {"machine.f"},
		"var f = func() { time.Sleep(1) }":                                                  {"a variable"},
		"func f() { <-time.After(1) }":                                                      {"f"},
		"func f() { for range 3 { <-time.After(1) } }":                                      {"f"},
		"func f() { select { case <-ready: <-time.After(1) } }":                             {"f"},
		"func f() { select { case <-ready: case <-time.After(1): } }":                       nil,
		"func f() { deadline := time.After(1) }":                                            nil,
		"func TestF(t *testing.T) { synctest.Test(t, func(*testing.T) { time.Sleep(1) }) }": nil,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+text, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := sleepers(file); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}
