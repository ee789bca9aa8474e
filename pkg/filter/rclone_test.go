package filter

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/sample"
)

// seeded returns a source of chance whose seed is printed; COLTEC_SEED repeats it.
func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("COLTEC_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("cannot read COLTEC_SEED: %v", err)
		}
	}
	t.Logf("COLTEC_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// rcloneBinary finds the rclone that the project ships.
func rcloneBinary(t *testing.T) string {
	t.Helper()
	sample.Long(t)
	binary := os.Getenv("COLTEC_RCLONE")
	if binary == "" {
		binary = "../../bin/rclone"
	}
	binary, err := filepath.Abs(binary)
	if err == nil {
		_, err = os.Stat(binary)
	}
	if err != nil {
		t.Fatalf("%v: run make rclone", err)
	}
	return binary
}

// listing is what of a tree is carried.
type listing struct{ Files, Dirs []string }

// lister runs rclone over one tree.
type lister struct{ binary, root string }

// lsf lists what rclone lists under the rules; nil when it refuses them. One run
// gives what --files-only and --dirs-only give in two: a directory ends in "/",
// and no name has a newline in what rclone shows.
func (l lister) lsf(t *testing.T, rules []Rule) *listing {
	t.Helper()
	var lines, stderr bytes.Buffer
	for _, r := range rules {
		fmt.Fprintln(&lines, r)
	}
	cmd := exec.CommandContext(t.Context(), l.binary, "lsf", "-R", "--filter-from", "-", l.root)
	cmd.Env = []string{"RCLONE_CONFIG=/dev/null", "HOME=" + l.root}
	cmd.Stdin, cmd.Stderr = &lines, &stderr
	out, err := cmd.Output()
	if err != nil {
		if !strings.Contains(stderr.String(), `failed to reload "filter" options`) {
			t.Fatalf("rclone: %v\n%s", err, &stderr)
		}
		return nil
	}
	got := &listing{}
	for line := range strings.Lines(string(out)) {
		name := strings.TrimSuffix(line, "\n")
		if dir, ok := strings.CutSuffix(name, "/"); ok {
			got.Dirs = append(got.Dirs, dir)
		} else {
			got.Files = append(got.Files, name)
		}
	}
	slices.Sort(got.Files)
	slices.Sort(got.Dirs)
	return got
}

// walk lists what the filter carries, as a walk that heeds Dir meets it.
func (l lister) walk(t *testing.T, f *Filter) *listing {
	return l.list(t, func(name string, dir bool) (bool, error) {
		if dir && !f.Dir(name) {
			return false, fs.SkipDir
		}
		return dir || f.File(name), nil
	})
}

// carried lists the same by Carries, without a walk's help.
func (l lister) carried(t *testing.T, f *Filter) *listing {
	return l.list(t, func(name string, dir bool) (bool, error) { return f.Carries(name, dir), nil })
}

// list lists what keep keeps of the tree, under the names that rclone shows.
func (l lister) list(t *testing.T, keep func(name string, dir bool) (bool, error)) *listing {
	got := &listing{}
	err := filepath.WalkDir(l.root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == l.root {
			return err
		}
		name := strings.TrimPrefix(path, l.root+"/")
		kept, err := keep(name, e.IsDir())
		switch {
		case !kept:
		case e.IsDir():
			got.Dirs = append(got.Dirs, shown(name))
		default:
			got.Files = append(got.Files, shown(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got.Files)
	slices.Sort(got.Dirs)
	return got
}

// grow makes a random tree: about n files in directories up to four deep, some
// of them empty.
func grow(t *testing.T, r *rand.Rand, root string, n int) {
	dirs := []string{root}
	for range n / 3 {
		// rclone cannot list a directory with a lone "‛" in its name: it looks for "‛‛".
		dir := filepath.Join(dirs[r.IntN(len(dirs))], strings.ReplaceAll(entryName(r), "‛", "q"))
		if strings.Count(dir, "/")-strings.Count(root, "/") > 4 {
			continue
		}
		if err := os.Mkdir(dir, 0o755); err == nil {
			dirs = append(dirs, dir)
		}
	}
	for range n {
		// A name that is a directory already stays one.
		file := filepath.Join(dirs[r.IntN(len(dirs))], entryName(r))
		if _, err := os.Lstat(file); err == nil {
			continue
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// entryName is mostly a name that patterns often meet.
func entryName(r *rand.Rand) string {
	if r.IntN(4) > 0 {
		return elements[r.IntN(8)]
	}
	if r.IntN(10) == 0 {
		return "\xff"
	}
	return randomName(r)
}

// randomRules makes one to four rules. rclone trims lines and reads some as
// comments, so patterns of these tests have no space.
func randomRules(r *rand.Rand) []Rule {
	var rules []Rule
	for range 1 + r.IntN(4) {
		rules = append(rules, Rule{r.IntN(3) == 0, randomPattern(r)})
	}
	if r.IntN(4) == 0 {
		rules = append(rules, Rule{Pattern: "*"})
	}
	return rules
}

// Random rules over random trees: rclone lists what we carry, and refuses what
// we refuse.
func TestAgainstRclone(t *testing.T) {
	trees, accepted, refused := sample.Size(2, 4), sample.Size(40, 80), sample.Size(8, 15)
	r, binary := seeded(t), rcloneBinary(t)
	for i := range trees {
		chance := rand.New(rand.NewPCG(r.Uint64(), 0))
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			l := lister{binary, t.TempDir()}
			grow(t, chance, l.root, 120)
			agree(t, l, nil)
			// Two of three random lists are refused: more than need be compared.
			for good, bad := 0, 0; good < accepted; {
				rules := randomRules(chance)
				_, err := Compile(rules)
				switch {
				case err == nil:
					good++
				case bad < refused:
					bad++
				default:
					continue
				}
				agree(t, l, rules)
			}
		})
	}
}

// agree compares one list of rules and reports whether it compiles.
func agree(t *testing.T, l lister, rules []Rule) bool {
	t.Helper()
	f, err := Compile(rules)
	want := l.lsf(t, rules)
	if (err == nil) != (want != nil) {
		t.Fatalf("%q: rclone accepts: %v, we: %v", rules, want != nil, err)
	}
	if err != nil {
		return false
	}
	if diff := cmp.Diff(want, l.walk(t, f)); diff != "" {
		t.Fatalf("%q: rclone -, a walk +\n%s", rules, diff)
	}
	if diff := cmp.Diff(want, l.carried(t, f)); diff != "" {
		t.Fatalf("%q: rclone -, Carries +\n%s", rules, diff)
	}
	return true
}

// Lists that people write, over a tree like theirs.
func TestAgainstRcloneOnCommonLists(t *testing.T) {
	l := lister{rcloneBinary(t), t.TempDir()}
	for _, file := range []string{
		".git/HEAD", ".git/objects/ab/cd", "sub/.git/config", ".gitignore", "node_modules/x/index.js", "web/node_modules/y/z.js",
		"src/main.go", "src/main.o", "src/a/b/c.go", "dist/app.js", "web/dist/app.js", "logs/a.log", "a.log", "a.pyc", "x/__pycache__/m.pyc",
		"name\nwith newline", "dir\n/a", "dir/b\nc", "byte\xff", "build/out/x", "build/keep/y", ".coltec/base", "a*b/[c]{d}", "Ünï/cödé",
	} {
		path := filepath.Join(l.root, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(l.root, "empty/in/empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	lists := map[string][]Rule{
		"the usual":         Excludes([]string{".git/**", "node_modules/**", "*.pyc", "/dist/"}),
		"directories":       Excludes([]string{".git/", "/logs/", "empty/"}),
		"names":             Excludes([]string{".git", "/dist", "empty", "*.log"}),
		"alternatives":      Excludes([]string{"*.{o,pyc,log}", "{dist,build}/**"}),
		"keep one":          parse([]string{"+ /build/keep/**", "- /build/**"}),
		"only sources":      parse([]string{"+ *.go", "- *"}),
		"only one place":    parse([]string{"+ /src/**", "- *"}),
		"only, the old way": parse([]string{"+ /src/*.go", "- **"}),
		"everything":        Excludes([]string{"**"}),
		"all of the root":   Excludes([]string{"/*"}),
		"all below":         Excludes([]string{"/*/**"}),
		"expressions":       Excludes([]string{`{{.*\.(o|pyc)}}`, `/{{(?i)SRC}}/a/**`}),
		"newlines":          Excludes([]string{"dir/**", "name*"}),
		"bytes":             Excludes([]string{"byte?", "[!a-z]*/**"}),
		"nested":            Under("src/a"),
		"odd nested":        Under("a*b"),
		"odd file":          Under("a*b/[c]{d}"),
		"newline nested":    Under("dir\n"),
	}
	for name, rules := range lists {
		t.Run(name, func(t *testing.T) {
			if !agree(t, l, rules) {
				t.Error("refused")
			}
		})
	}
}
