package spec

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/go-multierror"

	"github.com/coltec/coltec/pkg/hint"
)

// Problem is one thing that is wrong in a spec. Its text never shows a source
// line or the value of an option or a variable: they may be secrets.
type Problem struct {
	File      string
	Line, Col int // from 1; Col counts characters
	Text      string
}

// Error gives the form that editors and terminals make a link of.
func (p *Problem) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Col, p.Text)
}

// position is a place in the file, from 1.
type position struct{ line, col int }

// problems collects what is wrong in one file.
type problems struct {
	file  string
	lines []string // to keep positions inside the file: the YAML parser's are sometimes past it
	list  []*Problem
	seen  map[Problem]bool
}

func newProblems(file, text string) *problems {
	return &problems{file: file, lines: strings.Split(text, "\n"), seen: map[Problem]bool{}}
}

// add notes a problem once; an alias may lead to the same place twice.
func (ps *problems) add(at position, format string, args ...any) {
	at = ps.inside(at)
	p := Problem{ps.file, at.line, at.col, fmt.Sprintf(format, args...)}
	if !ps.seen[p] {
		ps.seen[p] = true
		ps.list = append(ps.list, &p)
	}
}

// inside moves a position to the nearest one that is in the file.
func (ps *problems) inside(at position) position {
	at.line = min(max(at.line, 1), len(ps.lines))
	width := utf8.RuneCountInString(strings.TrimSuffix(ps.lines[at.line-1], "\r"))
	at.col = min(max(at.col, 1), width+1)
	return at
}

// err returns all problems in the order of the file, with the next step, or nil.
func (ps *problems) err() error {
	if len(ps.list) == 0 {
		return nil
	}
	slices.SortStableFunc(ps.list, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	all := &multierror.Error{ErrorFormat: oneALine}
	for _, p := range ps.list {
		all.Errors = append(all.Errors, p)
	}
	return hint.Wrap(all, `correct %s, then check it with "coltecd validate"`, ps.file)
}

// oneALine is the format of a list of problems: no heading, no bullets, so that
// every line begins with the place.
func oneALine(errs []error) string {
	lines := make([]string, len(errs))
	for i, err := range errs {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Problems returns the problems that err, from Parse or Load, is made of.
func Problems(err error) []*Problem {
	var all *multierror.Error
	if !errors.As(err, &all) {
		return nil
	}
	var list []*Problem
	for _, e := range all.Errors {
		if p, ok := e.(*Problem); ok {
			list = append(list, p)
		}
	}
	return list
}

// shownLimit is the longest value that an error repeats. Longer ones are not
// names that somebody mistyped.
const shownLimit = 80

// shown is a value for an error text: quoted when it looks like a name or a
// path, else only what it is. A secret pasted into the wrong field should not
// reach a log, and most keys and tokens of providers hold one of the characters
// that are left out here.
func shown(value string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-/{}$: ,*[]", r)
	}
	switch {
	case value == "":
		return "the empty text"
	case len(value) > shownLimit || strings.ContainsFunc(value, func(r rune) bool { return !plain(r) }):
		return "the value"
	}
	return `"` + value + `"`
}

// Nearest returns the known word that text was probably meant to be, or "".
func Nearest(text string, known []string) string {
	best, bestAt := "", 1+max(1, len(text)/3) // a third of the letters wrong is not a typing error any more
	for _, k := range known {
		if d := distance(strings.ToLower(text), k, bestAt); d < bestAt {
			best, bestAt = k, d
		}
	}
	return best
}

// distance counts the letters to insert, remove, change or swap with their
// neighbour between a and b; it gives up at limit.
func distance(a, b string, limit int) int {
	if max(len(a)-len(b), len(b)-len(a)) >= limit {
		return limit
	}
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(prev[j]+cost, prev[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, prev, row = prev, row, before
	}
	return prev[len(b)]
}

// didYouMean is the end of an error about an unknown word.
func didYouMean(text string, known []string) string {
	if near := Nearest(text, known); near != "" {
		return fmt.Sprintf(` (did you mean "%s"?)`, near)
	}
	return " (known: " + strings.Join(known, ", ") + ")"
}
