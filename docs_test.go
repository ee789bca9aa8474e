package coltec

import (
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
)

// pages are the documents, by their paths in the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/decisions/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found[file] = string(text)
		}
	}
	return found
}

var (
	codeBlock = regexp.MustCompile("(?ms)^```.*?^```$")
	codeWords = regexp.MustCompile("`[^`\n]*`")
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading   = regexp.MustCompile(`(?m)^#+ (.*)$`)
	marks     = regexp.MustCompile(`[^\pL\pN _-]`)
)

// anchors are the names that the headings of a page have in links.
func anchors(text string) (names []string) {
	for _, h := range heading.FindAllStringSubmatch(codeBlock.ReplaceAllString(text, ""), -1) {
		names = append(names, strings.ReplaceAll(marks.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
	}
	return names
}

// links are what a page links to in the repository: paths, with their anchors.
func links(page, text string) (list [][2]string) {
	text = codeWords.ReplaceAllString(codeBlock.ReplaceAllString(text, ""), "")
	for _, l := range link.FindAllStringSubmatch(text, -1) {
		if strings.Contains(l[1], "://") || strings.HasPrefix(l[1], "mailto:") {
			continue
		}
		to, anchor, _ := strings.Cut(l[1], "#")
		if to == "" {
			to = page
		} else {
			to = path.Join(path.Dir(page), to)
		}
		list = append(list, [2]string{to, anchor})
	}
	return list
}

// TestDocLinks: what a page links to is there, and the heading too.
func TestDocLinks(t *testing.T) {
	all := pages(t)
	for page, text := range all {
		for _, l := range links(page, text) {
			if _, err := os.Stat(l[0]); err != nil {
				t.Errorf("%s: %v", page, err)
			} else if l[1] != "" && !slices.Contains(anchors(all[l[0]]), l[1]) {
				t.Errorf("%s: %s has no heading %q", page, l[0], l[1])
			}
		}
	}
}

// TestDocReached: who begins at README finds every page.
func TestDocReached(t *testing.T) {
	all := pages(t)
	reached := map[string]bool{}
	for next := []string{"README.md"}; len(next) > 0; next = next[1:] {
		if reached[next[0]] {
			continue
		}
		reached[next[0]] = true
		for _, l := range links(next[0], all[next[0]]) {
			next = append(next, l[0])
		}
	}
	for page := range all {
		if !reached[page] && !reached[path.Dir(page)] {
			t.Errorf("no way leads from README.md to %s", page)
		}
	}
}

var bashBlock = regexp.MustCompile("(?ms)^```bash\n(.*?)^```$")

// TestDocBlocks: each block of bash is run by a test that the line before it names, or says
// there why it is not.
func TestDocBlocks(t *testing.T) {
	said := regexp.MustCompile(`<!-- (run by (\S+)\.(Test\w+)|not run: .+) -->\n\n?$`)
	whole := regexp.MustCompile(`(?m)^<!-- all blocks: run by (\S+)\.(Test\w+) -->$`)
	for page, text := range pages(t) {
		if m := whole.FindStringSubmatch(text); m != nil {
			hasTest(t, page, m[1], m[2])
			continue
		}
		for _, at := range bashBlock.FindAllStringIndex(text, -1) {
			m := said.FindStringSubmatch(text[:at[0]])
			if m == nil {
				t.Errorf("%s: nothing says which test runs the block, or why none does:\n%s", page, text[at[0]:at[1]])
			} else if m[3] != "" {
				hasTest(t, page, m[2], m[3])
			}
		}
	}
}

// hasTest holds that a page names a test that exists.
func hasTest(t *testing.T, page, dir, name string) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*_test.go"))
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), "func "+name+"(") {
			return
		}
	}
	t.Errorf("%s: there is no test %s in %s", page, name, dir)
}

// unsaid are variables that no page names, with the reason.
var unsaid = map[string]string{
	"COLTEC_WITH_INPUT": "set by coltec for what follows in a container, which ends with its input; nobody else sets it",
	"COLTEC_FOR_HOST":   "set by coltec for its verbs in a container, which name the commands of the host; nobody else sets it",
	"COLTEC_UNIT":       "marks the processes of a unit for who comes after a killed coltecd; nobody sets or reads it else",
}

// TestDocVariables: each variable of ours that a program reads or sets is on a page.
func TestDocVariables(t *testing.T) {
	var all strings.Builder
	for _, text := range pages(t) {
		all.WriteString(text)
	}
	quoted := regexp.MustCompile(`"(COLTEC_[A-Z0-9_]*[A-Z0-9])"`)
	found := map[string]bool{}
	for _, top := range []string{"cmd", "daemon", "engine", "hooks", "internal/remote", "internal/cmdline", "pkg", "supervisor"} {
		err := filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
				return err
			}
			text, err := os.ReadFile(name)
			for _, m := range quoted.FindAllStringSubmatch(string(text), -1) {
				if found[m[1]] || strings.HasPrefix(m[1], "COLTEC_TEST_") { // those are for tests of the program
					continue
				}
				found[m[1]] = true
				if named := regexp.MustCompile(`\b` + m[1] + `\b`).MatchString(all.String()); named == (unsaid[m[1]] != "") {
					t.Errorf("%s: %s is on a page: %v", name, m[1], named)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name := range unsaid {
		if !found[name] {
			t.Errorf("nothing has %s any more: its line can go", name)
		}
	}
	if len(found) < 20 {
		t.Errorf("only %d variables were found", len(found))
	}
}

// TestReadmeMakesFive runs what README says of five workspaces.
func TestReadmeMakesFive(t *testing.T) {
	sample.Long(t)
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := bashBlock.FindAllStringSubmatch(string(text), -1)
	i := slices.IndexFunc(blocks, func(b []string) bool { return strings.Contains(b[1], "cs.sh new") })
	if i < 0 {
		t.Fatal("README has no such block any more")
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "scripts"), os.DirFS("scripts")); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "bin", "coltec"), "./cmd/coltec").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command("bash", "-euc", blocks[i][1])
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	made, _ := filepath.Glob(filepath.Join(dir, "widget-dev-?", ".devcontainer", "workspace-spec.yaml"))
	if len(made) != 5 {
		t.Errorf("it made %q", made)
	}
}

// namedTest is how a page names a test: its folder and its name.
var namedTest = regexp.MustCompile("`((?:e2e|engine|daemon|supervisor|hooks|pkg/|cmd/|internal/|tools/)[a-z0-9/]*)\\.((?:Test|Fuzz)\\w+)`")

// TestDocTests: each test that a page names is there.
func TestDocTests(t *testing.T) {
	for page, text := range pages(t) {
		for _, m := range namedTest.FindAllStringSubmatch(text, -1) {
			hasTest(t, page, m[1], m[2])
		}
	}
}

// TestDocComparison: what README and docs/comparison.md say beside other tools can be checked: each
// row about another one leads somewhere, and each about what Coltec has names a test.
func TestDocComparison(t *testing.T) {
	all := pages(t)
	linked := regexp.MustCompile(`\]\([^)\s]+\)`)
	rows := tableRows(all["README.md"], "| | where it runs |")
	if len(rows) < 10 {
		t.Fatalf("README compares %d", len(rows))
	}
	for _, row := range rows[1:] { // the first is ours
		if links := len(linked.FindAllString(strings.Join(row, " "), -1)); links < 2 || !linked.MatchString(row[0]) {
			t.Errorf("nothing says where this can be checked: %q", row)
		}
	}
	rows = tableRows(all["docs/comparison.md"], "| Coltec | elsewhere | check it |")
	if len(rows) < 10 {
		t.Fatalf("the page has %d rows", len(rows))
	}
	for _, row := range rows {
		if !namedTest.MatchString(row[2]) {
			t.Errorf("no test holds %q", row[0])
		}
		if row[1] != "" && !linked.MatchString(row[1]) {
			t.Errorf("nothing says where this can be checked: %q", row[1])
		}
	}
}

// tableRows are the rows of the table below a head, by cells.
func tableRows(text, head string) (rows [][]string) {
	_, text, _ = strings.Cut(text, "\n"+head)
	for i, line := range strings.Split(text, "\n")[1:] {
		if !strings.HasPrefix(line, "|") {
			break
		}
		if i == 0 { // the rule below the head
			continue
		}
		var cells []string
		for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		rows = append(rows, cells)
	}
	return rows
}
