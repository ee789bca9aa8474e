package coltec

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// command is the begin of a text that ends inside a command for a shell.
var command = regexp.MustCompile(`\b(?:` +
	`coltecd? (?:agents|check|checkpoint|completion|conflicts|doctor|down|exec|export|fork|history|hop|init|install|join|logs|ls|new|restart|rewind|rm|secrets|start|status|stop|sync|takeover|templates|trust|up|update|verify|wait)` +
	`|docker (?:rm|stop|start|logs|inspect|volume|ps)|podman (?:rm|stop|start|logs)` +
	`|git (?:--git-dir|-C|log|branch|config|clone|fetch|switch|checkout)|systemctl|journalctl|chmod|chown|cp -|mv|rm -|ls -|mkdir|su|sudo` +
	`)\b[^;:,()]*$`)

// flag is the begin of a text that ends at the value of a flag.
var flag = regexp.MustCompile(`(?:^|\s)--[a-z-]+[= ]$`)

// prose is a text that has the name of a command, and is none.
var prose = regexp.MustCompile(`coltecd? [a-z]+ (?:did|was|is|has) `)

// words are the arguments that are words of a shell whatever they are, with the reason.
var words = map[string]string{
	"daemon.CrashName":          "a constant",
	"fuseDevice":                "a constant",
	"user":                      "made one above, or a variable for the shell to fill in",
	"option":                    "made of words, above",
	"name":                      "a name of the kernel's",
	"m.Name":                    "a name of a replica, by the spec's rule",
	"replica":                   "a name of a replica, by the spec's rule",
	"strings.Join(args, \" \")": "what was run, in an error",
	"p.name":                    "the program's own name",
	"filepath.Base(file)":       "the name of a unit, which systemd and we make",
}

// quotes are the functions that quote: for a shell, for systemd, for a crontab.
var quotes = regexp.MustCompile(`^(?:hint\.Word|Word|word|shell)$`)

// verb is one of a format.
var verb = regexp.MustCompile(`%[-+# 0]*(?:\[\d+\])?[\d.*]*[a-zA-Z%]`)

// TestNextStepsArePasted holds that a command in a text for people has its names as
// [hint.Word] gives them: a folder with a space in it made another command of it.
func TestNextStepsArePasted(t *testing.T) {
	used := map[string]bool{}
	eachProgramFile(t, ".", func(set *token.FileSet, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			for _, arg := range pasted(n) {
				text := types.ExprString(arg)
				used[text] = true
				if call, ok := arg.(*ast.CallExpr); (!ok || !quotes.MatchString(types.ExprString(call.Fun))) && words[text] == "" {
					t.Errorf("%s: %s is in a command, and a shell may read it as something else: hint.Word(%[2]s)", set.Position(arg.Pos()), text)
				}
			}
			return true
		})
	})
	for text := range words {
		if !used[text] {
			t.Errorf("%s is in no command any more: its line can go", text)
		}
	}
}

// eachProgramFile parses what is below a folder and no test.
func eachProgramFile(t *testing.T, top string, visit func(*token.FileSet, *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err == nil {
			visit(set, file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// pasted are what a node puts into a command: arguments of a format, or what follows a text.
func pasted(n ast.Node) (found []ast.Expr) {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		if before, ok := constant(n.X); ok && n.Op == token.ADD && command.MatchString(before) {
			if _, ok := constant(n.Y); !ok {
				found = append(found, n.Y)
			}
		}
	case *ast.CallExpr:
		for i, arg := range n.Args {
			format, ok := constant(arg)
			if !ok {
				continue
			}
			rest := n.Args[i+1:]
			for _, at := range verb.FindAllStringIndex(format, -1) {
				kind := format[at[1]-1]
				if kind == '%' {
					continue
				}
				if len(rest) == 0 {
					break
				}
				before := format[:at[0]]
				if strings.ContainsRune("svq", rune(kind)) && (command.MatchString(before) && !prose.MatchString(before) || flag.MatchString(before)) {
					found = append(found, rest[0])
				}
				rest = rest[1:]
			}
			break
		}
	}
	return found
}

// constant is the text of a literal, or of some that are added.
func constant(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		x, ok1 := constant(e.X)
		y, ok2 := constant(e.Y)
		return x + y, ok1 && ok2 && e.Op == token.ADD
	}
	return "", false
}

// TestPasted tries the finder itself.
func TestPasted(t *testing.T) {
	for text, want := range map[string]int{
		`hint.Wrap(err, "see coltec logs %s", w.folder)`:                            1,
		`p.say("%s: is there: coltec up %s; coltec down %s", a, b, c)`:              2,
		`fmt.Sprintf("%d files: chown -R %d %s", n, uid, dir)`:                      1,
		`f("see coltec status "+l.Folder)`:                                          1,
		`hint.Wrap(err, "give it: --data %s", x)`:                                   1,
		`fmt.Errorf("cannot read %s: coltecd answered %s", a, b)`:                   0,
		`fmt.Errorf("coltec up did not end in %s", d)`:                              0,
		`fmt.Errorf("100%% of %s", d)`:                                              0,
		`hint.Wrap(fmt.Errorf("%w in %s", err, dir), "coltec up makes one: %s", x)`: 0,
	} {
		e, err := parser.ParseExpr(text)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		ast.Inspect(e, func(n1 ast.Node) bool { n += len(pasted(n1)); return true })
		if n != want {
			t.Errorf("%s: %d words of commands, want %d", text, n, want)
		}
	}
}
