package coltec

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A fragment of the changelog is a sentence or two for users, named by its kind.
func TestChanges(t *testing.T) {
	files, err := os.ReadDir("docs/changes")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`^(security|added|changed|fixed)-[a-z0-9-]+\.md$`)
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join("docs/changes", f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		body := strings.TrimSpace(string(text))
		switch {
		case !name.MatchString(f.Name()):
			t.Errorf("docs/changes/%s: the name must be KIND-WORDS.md, with the kind security, added, changed or fixed", f.Name())
		case !strings.HasSuffix(body, "."), len(body) > 400, strings.Contains(body, "\n\n"):
			t.Errorf("docs/changes/%s: must be one paragraph of at most 400 bytes that ends with a full stop", f.Name())
		}
	}
}

// A release takes the fragments into CHANGELOG.md, above the older ones, once.
func TestChangelog(t *testing.T) {
	dir := t.TempDir()
	put := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script, err := os.ReadFile("scripts/changelog.sh")
	if err != nil {
		t.Fatal(err)
	}
	put("scripts/changelog.sh", string(script))
	put("CHANGELOG.md", "# Changelog\n\n## v0.1.0 (2026-01-01)\n\n### Added\n\n- The first.\n")
	put("docs/changes/fixed-b.md", "Two\nlines.\n")
	put("docs/changes/added-a.md", "One.\n")
	run := func(args ...string) (string, error) {
		out, err := exec.Command(filepath.Join(dir, "scripts/changelog.sh"), args...).CombinedOutput()
		return string(out), err
	}
	const section = "\n### Added\n\n- One.\n\n### Fixed\n\n- Two lines.\n"
	if out, err := run(); err != nil || out != section {
		t.Fatalf("unreleased: %q %v", out, err)
	}
	if out, err := run("v0.2.0"); err != nil {
		t.Fatalf("%s %v", out, err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "CHANGELOG.md"))
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`\A# Changelog\n\n## v0\.2\.0 \(\d{4}-\d\d-\d\d\)\n` + regexp.QuoteMeta(section) + `\n## v0\.1\.0 \(2026-01-01\)\n\n### Added\n\n- The first\.\n\z`)
	if !want.Match(got) {
		t.Errorf("got:\n%s", got)
	}
	for _, args := range [][]string{{"v0.2.0"}, {"0.2"}, {"v0.2.0", "x"}} {
		if out, err := run(args...); err == nil {
			t.Errorf("%q: %s", args, out)
		}
	}
}
