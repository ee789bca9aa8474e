package filter

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTranslate(t *testing.T) {
	tests := map[string]struct{ glob, want string }{
		"empty":               {"", `(^|/)$`},
		"name":                {"a.b", `(^|/)a\.b$`},
		"anchored":            {"/a", `^a$`},
		"one slash only":      {"//a", `^/a$`},
		"stars":               {"*a**", `(^|/)[^/]*a.*$`},
		"any":                 {"a?", `(^|/)a[^/]$`},
		"class":               {"[a-z]", `(^|/)[a-z]$`},
		"negated":             {"[!a][^b]", `(^|/)[^/a][^/b]$`},
		"not negated":         {"[a!]", `(^|/)[a!]$`},
		"named class":         {"[![:alpha:]]", `(^|/)[^/[:alpha:]]$`},
		"star in a class":     {"[*?{]", `(^|/)[*?{]$`},
		"braces":              {"{a,{b,c}}", `(^|/)(a|(b|c))$`},
		"comma":               {"a,b", `(^|/)a,b$`},
		"expression":          {"a{{b*}}", `(^|/)a(b*)$`},
		"its own brace":       {`{{\d{8}}}`, `(^|/)(\d{8})$`},
		"an escaped brace":    {`{{\}}}`, `(^|/)(\})$`},
		"then more":           {"{{a}}b{c,d}", `(^|/)(a)b(c|d)$`},
		"escaped open brace":  {`\{{{a}}`, `(^|/)\{(a)$`},
		"a backslash at last": {`a\`, `(^|/)a\$`},
		"bytes":               {"a\xffb", "(^|/)a\ufffdb$"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := translate(test.glob)
			if err != nil || got != test.want {
				t.Errorf("%q becomes %q, %v; want %q", test.glob, got, err, test.want)
			}
		})
	}
}

func TestParentGlobs(t *testing.T) {
	everywhere := []string{"/**"}
	tests := map[string]struct {
		glob string
		want []string
	}{
		"name":             {"*.c", everywhere},
		"in the root":      {"/*.c", nil},
		"anchored":         {"/a/b/c", []string{"/a/b/", "/a/"}},
		"floating":         {"a/b/c", []string{"a/b/", "a/"}},
		"slashes":          {"/a///b", []string{"/a/"}},
		"two stars":        {"a**b/c**d", []string{"a**b/c**/", "a**b/", "a**/"}},
		"stars at the end": {"/a/**", []string{"/a/**/", "/a/"}},
		"all":              {"**", []string{"**/"}},
		"simple braces":    {"/a/{b,c}/d", []string{"/a/{b,c}/", "/a/"}},
		"slash in braces":  {"/a/{b,c/d}", everywhere},
		"stars in braces":  {"/a/{b,c**}", everywhere},
		"nested braces":    {"/a/{b,{c,d}}/e", everywhere},
		"expression":       {"/a/{{b}}/c", everywhere},
		"an open brace":    {`/a/\{b/c`, []string{`/a/\{b/`, "/a/"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, parentGlobs(test.glob)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestShown(t *testing.T) {
	tests := map[string]struct{ path, want string }{
		"plain":              {"a/b c.é", "a/b c.é"},
		"control":            {"a\n/\tb\x01\x1f", "a␊/␉b␁␟"},
		"delete":             {"a\x7f", "a␡"},
		"a symbol itself":    {"␊␁␡", "‛␊‛␁‛␡"},
		"not quoted":         {"␀／．—", "␀／．—"},
		"quoted already":     {"‛␀‛／‛‛", "‛␀‛／‛‛"},
		"a lone quote":       {"‛a‛", "‛‛a‛‛"},
		"a quoted dot":       {"a/‛．/‛．‛．", "a/‛．/‛．‛．"},
		"a dot, not alone":   {"‛．a", "‛‛．a"},
		"not UTF-8":          {"\xff\n\xc3", "\xff␊\xc3"},
		"quote and element":  {"‛/‛", "‛‛/‛‛"},
		"replacement itself": {"\ufffd\n", "\ufffd␊"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := shown(test.path); got != test.want {
				t.Errorf("%q is shown as %q, want %q", test.path, got, test.want)
			}
		})
	}
}

// Which patterns need no regular expression is part of what makes File fast.
func TestShapes(t *testing.T) {
	tests := map[string]struct {
		globs []string
		fast  bool
		need  string
	}{
		"fast": {[]string{
			"", "a", "/a/b", "*", "/*", "**", "/**", "*.o", "/*.o", "a*", "/a/*", "a/**", "/a/**", "**/a", "/**/a/**",
			"*a*", `\[a\]*`, "*.{a,b}", "{a,b/**}", "a{,b{c,d}}", "a,b"}, true, ""},
		"slow": {[]string{
			"a?", "[ab]", "a*b", "/*a*", "*a/b*", "**a*", "{{a}}", `\d`, "a\xff", "\ufffd", `a\`, "[[:digit:]]",
			"{0,1,2,3,4}{0,1,2,3,4}", strings.Repeat("a", maxScanned+1)}, false, ""},
		"a literal is needed":   {[]string{"*.py[co]", "?.py{a,bbbbb}?", "a*.py?"}, false, ".py"},
		"outside of expression": {[]string{"abc{{(?i)b}}", `abc\d`, "abc[a[b]|]"}, false, ""},
	}
	for name, test := range tests {
		for _, glob := range test.globs {
			t.Run(name+" "+glob, func(t *testing.T) {
				m, err := newMatcher(glob)
				if err != nil {
					t.Fatal(err)
				}
				if fast := m.re == nil; fast != test.fast {
					t.Errorf("fast is %v", fast)
				}
				if !strings.HasPrefix(m.need, test.need) {
					t.Errorf("needs %q, want %q", m.need, test.need)
				}
				if name == "outside of expression" && m.need != "" {
					t.Errorf("needs %q, which the expression may undo", m.need)
				}
			})
		}
	}
}

// pieces are what random patterns are made of: enough to be every shape and
// every mistake.
var pieces = []string{
	"a", "b", "a", "ab", "/", "/", "*", "*", "**", "**", "?", "[ab]", "[!a]", "[a-b]", "[[:alpha:]]", "[]", `[\]`, "{a,b}",
	"{a,b/c}", "{a*,*b}", "{a,}", "{{a|b}}", "{{.*}}", "{", "}", "{{", "}}", ",", `\`, `\*`, `\d`, ".", "é", "\ufffd",
	"+", "(", ")", "|", "[", "]", "␊", "*.a", "/**", "(?i)",
}

// elements are what random names are made of.
var elements = []string{"a", "b", "ab", ".a", "c", "A", "a", "b", "é", "*", "{", "]", `\`, "7", ",", "(", "␀", "‛", "␊", "\n", "\x7f"}

func randomPattern(r *rand.Rand) string {
	var p strings.Builder
	for range 1 + r.IntN(5) {
		p.WriteString(pieces[r.IntN(len(pieces))])
	}
	return p.String()
}

func randomName(r *rand.Rand) string {
	var n strings.Builder
	for range 1 + r.IntN(2) {
		n.WriteString(elements[r.IntN(len(elements))])
	}
	return n.String()
}

// Each matcher is held against the regular expression alone.
func TestMatchIsTheExpression(t *testing.T) {
	r := seeded(t)
	for range 20_000 {
		glob := randomPattern(r)
		m, err := newMatcher(glob)
		re, wantErr := compileGlob(glob)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: matcher %v, expression %v", glob, err, wantErr)
		}
		if err != nil {
			continue
		}
		for range 10 {
			compare(t, glob, m, re, randomPath(r))
		}
	}
}

func randomPath(r *rand.Rand) string {
	path := randomName(r)
	for range r.IntN(4) {
		path += "/" + randomName(r)
	}
	return path
}

// compare checks the matcher on a path, as a file and as a directory.
func compare(t *testing.T, glob string, m *matcher, re *regexp.Regexp, path string) {
	t.Helper()
	for _, name := range []string{shown(path), shown(path) + "/"} {
		if got, want := m.match(name), re.MatchString(name); got != want {
			t.Fatalf("%q on %q: %v, the expression says %v", glob, name, got, want)
		}
	}
}

// FuzzCompile: no pattern panics, none takes long, and a pattern that compiles
// is matched as its regular expression is.
func FuzzCompile(f *testing.F) {
	for _, p := range pieces {
		f.Add(p, "a/b", false)
		f.Add("/a"+p+"b", "a/ab", true)
	}
	f.Add(strings.Repeat("{a,", 40)+strings.Repeat("}", 40), "aaa", true)
	f.Add(strings.Repeat("*a", 40), strings.Repeat("a", 200)+"b", false)
	f.Fuzz(func(t *testing.T, glob, path string, include bool) {
		if len(glob) > 1<<12 || len(path) > 1<<12 {
			t.Skip("longer than a path can be")
		}
		start := time.Now()
		filter, err := Compile([]Rule{{include, glob}})
		if err == nil {
			filter.File(path)
			filter.Carries(path, true)
		}
		// Seconds beyond what the slowest of a million took: a bound, not a measure.
		if took := time.Since(start); took > 20*time.Second {
			t.Fatalf("took %v", took)
		}
		m, err := newMatcher(glob)
		re, wantErr := compileGlob(glob)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: matcher %v, expression %v", glob, err, wantErr)
		}
		if err == nil {
			compare(t, glob, m, re, path)
		}
	})
}
