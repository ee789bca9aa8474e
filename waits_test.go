package coltec

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
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

// shortest is how short a deadline of a test may be. What takes a moment takes seconds on a machine
// that is busy, and a test that is green does not wait for its deadline.
const shortest = 10 * time.Second

// hasty are the functions of tests that complain of what took less than [shortest], with the reason.
var hasty = map[string]string{}

// complainers names the functions of a file that fail after a time that is too short, outside of a
// bubble of testing/synctest: by a case of a select, or by what they have measured.
func complainers(file *ast.File) []string {
	var found []string
	for _, d := range file.Decls {
		ast.Inspect(d, func(n ast.Node) bool {
			var limit ast.Expr
			switch n := n.(type) {
			case *ast.CallExpr:
				return !isCall(n, "synctest", "Test")
			case *ast.CommClause:
				if s, ok := n.Comm.(*ast.ExprStmt); ok && complains(n) {
					limit = afterOf(s.X)
				}
			case *ast.BinaryExpr:
				name, ok := n.X.(*ast.Ident)
				if (n.Op == token.GTR || n.Op == token.GEQ) && (isCall(n.X, "time", "Since") || ok && name.Name == "took") {
					limit = n.Y
				}
			}
			if is, ok := durationOf(limit); ok && is < shortest {
				found = append(found, nameOf(d))
			}
			return true
		})
	}
	return found
}

// complains reports whether a case of a select fails its test.
func complains(c *ast.CommClause) (does bool) {
	for _, s := range c.Body {
		ast.Inspect(s, func(n ast.Node) bool {
			f, ok := n.(*ast.SelectorExpr)
			does = does || ok && slices.Contains([]string{"Error", "Errorf", "Fatal", "Fatalf"}, f.Sel.Name)
			return true
		})
	}
	return does
}

// afterOf is the d of <-time.After(d); nil for anything else.
func afterOf(e ast.Expr) ast.Expr {
	if receive, ok := e.(*ast.UnaryExpr); ok && isCall(receive.X, "time", "After") {
		return receive.X.(*ast.CallExpr).Args[0]
	}
	return nil
}

// durationOf is what a product of numbers and units comes to; ok is false for what is none.
func durationOf(e ast.Expr) (d time.Duration, ok bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		n, err := strconv.Atoi(e.Value)
		return time.Duration(n), err == nil
	case *ast.SelectorExpr:
		d, ok = map[string]time.Duration{"Millisecond": time.Millisecond, "Second": time.Second, "Minute": time.Minute, "Hour": time.Hour}[e.Sel.Name]
		return d, ok
	case *ast.BinaryExpr:
		x, isX := durationOf(e.X)
		y, isY := durationOf(e.Y)
		return x * y, isX && isY && e.Op == token.MUL
	}
	return 0, false
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
		for _, name := range complainers(file) {
			one := dir + " " + name
			used[one] = true
			if hasty[one] == "" {
				t.Errorf("%s: %s fails after less than %v: a busy machine takes as long", path, name, shortest)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, lines := range []map[string]string{waits, hasty} {
		for name := range lines {
			if !used[name] {
				t.Errorf("%s does not do it any more: its line can go", name)
			}
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

func TestComplainers(t *testing.T) {
	for text, want := range map[string][]string{
		"func f() { select { case <-ready: case <-time.After(time.Second): t.Fatal() } }":                {"f"},
		"func f() { select { case <-ready: case <-time.After(9 * time.Second): if x { t.Errorf() } } }":  {"f"},
		"func f() { select { case <-ready: case <-time.After(time.Minute): t.Fatal() } }":                nil,
		"func f() { select { case <-ready: case <-time.After(time.Second): } }":                          nil,
		"func f() { if took := time.Since(began); took > 5*time.Second { t.Error() } }":                  {"f"},
		"func f() { if time.Since(began) >= time.Second { t.Error() } }":                                 {"f"},
		"func f() { if took > 2*time.Second+4*few { t.Error() } }":                                       nil,
		"func f() { if took < time.Second { t.Error() } }":                                               nil,
		"func f() { synctest.Test(t, func(*testing.T) { if took > time.Second { t.Error() } }) }":        nil,
		"func f() { synctest.Test(t, func(*testing.T) { select { case <-time.After(1): t.Error() } }) }": nil,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+text, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := complainers(file); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}
