package filter

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/hint"
)

// compile reads rules written as lines of --filter-from.
func compile(t testing.TB, lines ...string) *Filter {
	t.Helper()
	f, err := Compile(parse(lines))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func parse(lines []string) []Rule {
	var rules []Rule
	for _, l := range lines {
		rules = append(rules, Rule{Include: l[0] == '+', Pattern: l[2:]})
	}
	return rules
}

func TestFile(t *testing.T) {
	tests := map[string]struct {
		rules   []string
		in, out []string // files that are included, and that are not
	}{
		"no rule":              {nil, []string{"a", "a/b"}, nil},
		"a name at any depth":  {[]string{"- a"}, []string{"b", "ba", "ab", "a/b"}, []string{"a", "x/a", "x/y/a"}},
		"anchored":             {[]string{"- /a"}, []string{"x/a"}, []string{"a"}},
		"a path at any depth":  {[]string{"- a/b"}, []string{"b", "a", "xa/b", "a/bx"}, []string{"a/b", "x/a/b"}},
		"star":                 {[]string{"- *.o"}, []string{"o", "a.oo"}, []string{"a.o", "x/a.o", ".o", "x.o/.o"}},
		"star, anchored":       {[]string{"- /*.o"}, []string{"x/a.o"}, []string{"a.o"}},
		"star behind":          {[]string{"- log*"}, []string{"alog", "log/a", "x/alog"}, []string{"log", "logs", "x/log1", "log/log"}},
		"star behind, nested":  {[]string{"- a/*"}, []string{"a", "a/b/c", "xa/b"}, []string{"a/b", "x/a/b", "a/a/b"}},
		"star on both sides":   {[]string{"- *a*"}, []string{"a/b", "b"}, []string{"a", "b/cad"}},
		"two stars":            {[]string{"- a**z"}, []string{"a", "z"}, []string{"az", "a/b/z", "x/a/z"}},
		"a star is an element": {[]string{"- /a/*/z"}, []string{"a/z", "a/b/c/z"}, []string{"a/b/z"}},
		"question mark":        {[]string{"- a?c"}, []string{"ac", "a/c", "abbc"}, []string{"abc", "aéc", "a\xffc"}},
		"class":                {[]string{"- [a-c]x"}, []string{"dx", "x"}, []string{"ax", "y/cx"}},
		"negated class":        {[]string{"- x[!a]y", "- z[^a]y"}, []string{"xay", "x/y", "zay"}, []string{"xby", "zby"}},
		"named class":          {[]string{"- [[:digit:]]"}, []string{"a", "12"}, []string{"1"}},
		"alternatives":         {[]string{"- *.{jpg,png,{gif,tif}f}"}, []string{"a.gif", "a.jp"}, []string{"a.jpg", "b/a.giff", "a.tiff"}},
		"an empty alternative": {[]string{"- a{,b}"}, []string{"b"}, []string{"a", "ab"}},
		"many alternatives":    {[]string{"- {0,1,2,3,4}{0,1,2,3,4}"}, []string{"0", "55"}, []string{"04", "x/44"}},
		"a comma by itself":    {[]string{"- a,b"}, []string{"a", "b"}, []string{"a,b"}},
		"regular expression":   {[]string{`- {{(?i)a+\d{2}}}`}, []string{"a1", "a1b"}, []string{"AA12", "x/a12"}},
		"escaped":              {[]string{`- a\*`, `- \[b\]`, `- {\,,c}`}, []string{"ab", "b"}, []string{"a*", "[b]", ",", "c"}},
		"escaped letter":       {[]string{`- a\d`}, []string{"ad"}, []string{"a7"}},
		"literal signs":        {[]string{"- a.b+(c)|^$"}, []string{"axb+(c)|^$"}, []string{"a.b+(c)|^$"}},
		"directory":            {[]string{"- a/"}, []string{"a", "xa/b"}, []string{"a/b", "x/a/b/c"}},
		"directory, anchored":  {[]string{"- /a/"}, []string{"x/a/b"}, []string{"a/b", "a/b/c"}},
		"a kept directory":     {[]string{"+ a/", "- a/**"}, nil, []string{"a/b"}},
		"everything":           {[]string{"- *"}, nil, []string{"a", "a/b"}},
		"the first that fits":  {[]string{"+ keep.o", "- *.o", "+ a.o"}, []string{"keep.o", "x/keep.o"}, []string{"a.o"}},
		"only these":           {[]string{"+ /src/**", "+ *.go", "- *"}, []string{"src/a/b", "x/y.go"}, []string{"a", "x/src"}},
		"case counts":          {[]string{"- A"}, []string{"a"}, []string{"A"}},
		"the empty pattern":    {[]string{"- "}, []string{"a"}, nil},
		"a newline":            {[]string{"- a/**"}, []string{"b\nc"}, []string{"a/b\nc"}},
		"a newline's symbol":   {[]string{"- a\nb", "- c␊d"}, []string{"a\nb"}, []string{"c\nd"}},
		"not UTF-8":            {[]string{"- a\xff", "- b[!x]"}, []string{"a", "ab"}, []string{"a\xff", "a\xfe", "a\ufffd", "b\xc3"}},
		"half a character":     {[]string{"- *é"}, []string{"a\xa9", "a\xc3"}, []string{"a\xc3\xa9", "\xc3é"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := compile(t, test.rules...)
			got := map[string]bool{}
			for _, path := range append(test.in, test.out...) {
				got[path] = f.File(path)
			}
			want := map[string]bool{}
			for _, path := range test.in {
				want[path] = true
			}
			for _, path := range test.out {
				want[path] = false
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDir(t *testing.T) {
	tests := map[string]struct {
		rules   []string
		in, out []string // directories that are entered, and that are not
	}{
		"no rule":             {nil, []string{"", "a"}, nil},
		"all below":           {[]string{"- a/**"}, []string{"", "b", "ba"}, []string{"a", "x/a", "a/b"}},
		"all below, anchored": {[]string{"- /a/**"}, []string{"x/a", "ab"}, []string{"a", "a/b"}},
		"directory":           {[]string{"- /a/"}, []string{"x/a"}, []string{"a", "a/b"}},
		"directory, anywhere": {[]string{"- a/"}, []string{"b"}, []string{"a", "x/a"}},
		"a name is of files":  {[]string{"- a", "- /b"}, []string{"a", "b"}, nil},
		"its files only":      {[]string{"- /a/*"}, []string{"a", "a/b"}, nil},
		"files of a kind":     {[]string{"- *.o", "- /*"}, []string{"a", "a.o"}, nil},
		"star":                {[]string{"- *"}, []string{""}, []string{"a", "a/b"}},
		"two stars":           {[]string{"- a**"}, []string{"b"}, []string{"a", "ab", "x/ab"}},
		"somewhere below":     {[]string{"- a/**/z"}, []string{"a", "a/b", "a/b/z"}, nil},
		"what files need":     {[]string{"+ /a/b/*.c", "- *"}, []string{"a", "a/b"}, []string{"b", "a/c", "a/b/c"}},
		"needed anywhere":     {[]string{"+ *.c", "- *"}, []string{"a", "a/b"}, nil},
		"needed, any parent":  {[]string{"+ a/b", "- *"}, []string{"a", "x/a"}, []string{"x", "b"}},
		"needed, two stars":   {[]string{"+ /a/**/c", "- *"}, []string{"a", "a/b", "a/b/c"}, []string{"b"}},
		"too hard to tell":    {[]string{"+ /a/{b/c,d}", "- *"}, []string{"b"}, nil},
		"only the directory":  {[]string{"+ a/", "- *"}, []string{"a", "x/a"}, []string{"b"}},
		"first one wins":      {[]string{"+ /a/b/**", "- /a/**"}, []string{"a", "a/b", "a/b/c"}, []string{"a/c"}},
		"a newline":           {[]string{"- a/**"}, []string{"a\n"}, []string{"a", "a/b\nc"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := compile(t, test.rules...)
			for _, path := range test.in {
				if !f.Dir(path) {
					t.Errorf("%q is not entered", path)
				}
			}
			for _, path := range test.out {
				if f.Dir(path) {
					t.Errorf("%q is entered", path)
				}
			}
		})
	}
}

// A file can be included by its name and yet never be met, because a directory
// above it is not entered.
func TestCarries(t *testing.T) {
	type path struct {
		path string
		dir  bool
	}
	tests := map[string]struct {
		rules []string
		want  map[path]bool
	}{
		"no rule": {nil, map[path]bool{{"", true}: true, {"a/b", false}: true, {"a", true}: true}},
		"the root, always": {[]string{"- **"}, map[path]bool{
			{"", true}: true, {"a", true}: false, {"a", false}: false}},
		"not met": {[]string{"+ a/b", "- *"}, map[path]bool{
			{"a/b", false}: true, {"a", true}: true, {"x/a/b", false}: false, {"x/a", true}: false}},
		"below an excluded directory": {[]string{"+ d/e/", "- /d/", "- *.o"}, map[path]bool{
			{"d", true}: false, {"d/e", true}: false, {"d", false}: true, {"d/x", false}: false, {"x.o", false}: false}},
		"by files alone": {[]string{"- *.o"}, map[path]bool{{"a.o", false}: false, {"a.o", true}: true, {"a.o/b", false}: true}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f, got := compile(t, test.rules...), map[path]bool{}
			for p := range test.want {
				got[p] = f.Carries(p.path, p.dir)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(path{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCompileErrors(t *testing.T) {
	tests := map[string]struct {
		rules       []string
		text, hints string
	}{
		"stars":           {[]string{"- a***"}, `cannot use filter pattern "a***": more than two stars in a row`, `"**" across them`},
		"stars within":    {[]string{"- ***a"}, `"***a": more than two stars in a row`, `\*`},
		"bracket":         {[]string{"- a]"}, `"a]": "]" without "["`, `\]`},
		"open class":      {[]string{"- [a"}, `"[a": "[" without "]"`, `\[`},
		"nested class":    {[]string{"- [a[b]"}, `"[a[b]": "[" without "]"`, `\[`},
		"empty class":     {[]string{"- [!]"}, `"[!]": empty character class`, `[!abc]`},
		"open brace":      {[]string{"- {a"}, `"{a": "{" without "}"`, `\{`},
		"closing brace":   {[]string{"- a}"}, `"a}": "}" without "{"`, `\}`},
		"open expression": {[]string{"- {{a}"}, `"{{a}": "{{" without "}}"`, `close the regular expression`},
		"bad expression":  {[]string{"- {{(}}"}, `"{{(}}": it reads as the regular expression "(^|/)(()$"`, "https://rclone.org/filtering/"},
		"bad range":       {[]string{"- [z-a]"}, `invalid character class range`, "https://rclone.org/filtering/"},
		"bad escape":      {[]string{`- a\é`}, `invalid escape sequence`, "https://rclone.org/filtering/"},
		"too deep":        {[]string{"- " + strings.Repeat("{a", 1100) + strings.Repeat("}", 1100)}, `nests too deeply`, "https://"},
		"its directory":   {[]string{"+ [a/b]c"}, `"[a/b]c": its directory part "[a/": "[" without "]"`, `\[`},
		"each of them":    {[]string{"- a]", "- ok", "- {b"}, "cannot use filter pattern \"a]\": \"]\" without \"[\"\ncannot use filter pattern \"{b\"", `\{`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f, err := Compile(parse(test.rules))
			if err == nil || f != nil {
				t.Fatalf("got %v, %v; want an error", f, err)
			}
			if !strings.Contains(err.Error(), test.text) {
				t.Errorf("error %q; want it to hold %q", err, test.text)
			}
			if hints := strings.Join(hint.Of(err), "\n"); !strings.Contains(hints, test.hints) {
				t.Errorf("hints %q; want them to hold %q", hints, test.hints)
			}
		})
	}
}

func TestExcludes(t *testing.T) {
	f, err := Compile(Excludes([]string{".git/**", "*.o"}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Rule{{Pattern: ".git/**"}, {Pattern: "*.o"}}, f.Rules()); diff != "" {
		t.Error(diff)
	}
	if f.Dir(".git") || f.File("a/b.o") || !f.File("a/b.c") {
		t.Error("the patterns do not exclude")
	}
}

func TestRulesAreACopy(t *testing.T) {
	given := parse([]string{"- a"})
	f, err := Compile(given)
	if err != nil {
		t.Fatal(err)
	}
	given[0].Pattern, f.Rules()[0].Pattern = "b", "c"
	if diff := cmp.Diff(parse([]string{"- a"}), f.Rules()); diff != "" {
		t.Error(diff)
	}
}

func TestUnder(t *testing.T) {
	names := map[string]string{
		"plain":           "logs",
		"nested":          "a/b/c",
		"slashes":         "/a//b/",
		"metacharacters":  `a*?[b]{c,d}{{e}}\f.+(g)|^$!`,
		"two stars":       "a**",
		"a backslash":     `a\`,
		"spaces":          " a b ",
		"control":         "a\n\t\x7fb",
		"a symbol":        "a␊b‛",
		"not ASCII":       "é/日本",
		"bytes":           "a\xffb",
		"a comment, else": "# a",
	}
	for name, dir := range names {
		t.Run(name, func(t *testing.T) {
			f, err := Compile(Under(dir))
			if err != nil {
				t.Fatal(err)
			}
			dir := strings.ReplaceAll(strings.Trim(dir, "/"), "//", "/")
			for _, path := range []string{dir, dir + "/x", dir + "/x\ny/\xff", dir + "/.d"} {
				if f.File(path) || f.Dir(path) || f.Carries(path, true) || f.Carries(path, false) {
					t.Errorf("%q is carried", path)
				}
			}
			for _, path := range []string{dir + "x", "x" + dir, "x/" + dir, dir[:len(dir)-1], "other"} {
				if !f.File(path) || !f.Dir(path) {
					t.Errorf("%q is not carried", path)
				}
			}
		})
	}
	for _, root := range []string{"", ".", "/"} {
		f, err := Compile(Under(root))
		if err != nil || f.File("a") || f.Dir("a") || f.Carries("a/b", false) {
			t.Errorf("%q, %v: something is carried", root, err)
		}
	}
}

func TestNilAndZero(t *testing.T) {
	for name, f := range map[string]*Filter{"nil": nil, "zero": {}} {
		if !f.File("a") || !f.Dir("a") || !f.Carries("a/b", true) || f.Rules() != nil || f.Hash() != compile(t).Hash() {
			t.Errorf("%s does not include everything", name)
		}
	}
}

// The hash is kept in manifests, so it may not change from version to version.
func TestHash(t *testing.T) {
	const want = "d0fe8b7b67099106f67dc57e92cd740840f39f07a7a7de3aac91371045786cdf"
	if got := compile(t, "+ a", "- b/**").Hash(); got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
	seen := map[string]string{}
	for name, rules := range map[string][]Rule{
		"none": nil, "one": parse([]string{"- a"}), "include": parse([]string{"+ a"}),
		"two": parse([]string{"- a", "- b"}), "order": parse([]string{"- b", "- a"}),
		"one with a newline": {{Pattern: "a\n3 - b"}}, "empty": {{}},
	} {
		f, err := Compile(rules)
		if err != nil {
			t.Fatal(err)
		}
		if other, twice := seen[f.Hash()]; twice {
			t.Errorf("%s and %s have one hash", name, other)
		}
		seen[f.Hash()] = name
	}
}

func BenchmarkFile(b *testing.B) {
	lists := map[string][]string{
		"shapes": {".git/**", "node_modules/**", "*.o", "*.{pyc,pyo,swp}", "/dist/", "target/", "*~", ".DS_Store", "/.cache/**", "*.log"},
		"mixed":  {".git/**", "node_modules/**", "*.py[co]", "a?c.tmp", "/dist/", "npm-*.log", "*~", ".DS_Store", "/build/*/out", "*.log"},
		"regexp": {`{{.*\.o}}`, `{{[a-z]+\.pyc}}`, "?a?", "[0-9]*", "{{x.*}}", "a*b*c", "*/*/*.x", "{{y}}", "[!a-z]?", "{{z}}"},
	}
	paths := make([]string, 100_000)
	for i := range paths {
		paths[i] = fmt.Sprintf("src/package%d/internal/module%d/file%d.go", i/1000, i/100, i)
	}
	for name, patterns := range lists {
		f, err := Compile(Excludes(patterns))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name+"/100k-paths", func(b *testing.B) {
			for b.Loop() {
				for _, p := range paths {
					f.File(p)
				}
			}
		})
		b.Run(name+"/100k-carries", func(b *testing.B) {
			for b.Loop() {
				for _, p := range paths {
					f.Carries(p, false)
				}
			}
		})
	}
}
