package coltec

import (
	"go/ast"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// counted is a number before what people are told counts of, in the plural: "1 paths are". Behind
// "of" it is a share, as 1 of 7 files; where a rule is said, as "more than %d files", it is a bound.
var (
	counted = regexp.MustCompile(`%d (?:[a-z]+ (?:or|and) )?(?:changes|deletions|files|paths|versions|commits|stashes|refs|checkpoints|generations|replicas|conversations|letters|restarts|minutes|hours|objects were|repositories|databases)\b`)
	bound   = regexp.MustCompile(`\b(?:of|can have|than|most|least) %d `)
)

// notCounts are texts in which the number is never 1, or which no person reads.
var notCounts = map[string]string{
	"%d replicas, %d generations and %d machines in one head": "a head that is refused has very many",
	"%d checkpoints in one head":                              "a head that is refused has very many",
	"replica %s has %d files and %d bytes":                    "a head is refused for numbers below 0",
	"%d versions of it are kept: take one by its ID":          "it is said of several alone",
}

// TestCountsAgree holds that what a person is told of one thing is in the singular: hint.Count.
func TestCountsAgree(t *testing.T) {
	used := map[string]bool{}
	for _, top := range []string{"cmd", "daemon", "engine", "hooks", "internal", "pkg", "supervisor"} {
		eachProgramFile(t, top, func(set *token.FileSet, file *ast.File) {
			if strings.HasSuffix(filepath.Dir(set.Position(file.Pos()).Filename), "test") { // it is for tests alone
				return
			}
			ast.Inspect(file, func(n ast.Node) bool {
				lit, ok := n.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					return true
				}
				text, err := strconv.Unquote(lit.Value)
				if err != nil || !counted.MatchString(bound.ReplaceAllString(text, "of so many ")) {
					return true
				}
				if used[text] = true; notCounts[text] == "" {
					t.Errorf("%s: %q is said of 1 too: hint.Count(n, \"path is\", \"paths are\")", set.Position(lit.Pos()), text)
				}
				return true
			})
		})
	}
	for text := range notCounts {
		if !used[text] {
			t.Errorf("%q is said nowhere any more: its line can go", text)
		}
	}
	for text, want := range map[string]bool{
		"%d paths are not here": true, "%s: %d changes": true, "%d of %d files": false, "more than %d files are imported": false, "a replica can have %d files and": false,
		"replica %s: %d versions that": true, "%d commits and %d stashes": true, "generation %d of %s": false, "%d deletions": true,
	} {
		if got := counted.MatchString(bound.ReplaceAllString(text, "of so many ")); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
