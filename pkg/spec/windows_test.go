package spec

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// saves are the forms in which editors save a text.
var saves = map[string]func(string) string{
	"CRLF":            func(src string) string { return strings.ReplaceAll(src, "\n", "\r\n") },
	"a mark":          func(src string) string { return "\ufeff" + src },
	"a mark and CRLF": func(src string) string { return "\ufeff" + strings.ReplaceAll(src, "\n", "\r\n") },
}

// A spec says the same in each form. A command in quotes over two lines became two commands.
func TestSavedOnWindows(t *testing.T) {
	sources := map[string]string{"a command": head + "services:\n  - name: web\n    command: [sh, -c, \"one\n      two\"]\n    env:\n      OPTIONS: a\n        --watch # reload\n"}
	files, _ := filepath.Glob("testdata/valid/*.yaml")
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sources[filepath.Base(file)] = string(src)
	}
	for name, src := range sources {
		want := mustParse(t, src)
		for form, save := range saves {
			got, err := Parse("spec.yaml", []byte(save(src)))
			if err != nil {
				t.Errorf("%s, %s: %v", name, form, err)
				continue
			}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Spec{})) + cmp.Diff(want.NotActedOn(), got.NotActedOn()); diff != "" {
				t.Errorf("%s, %s: %s", name, form, diff)
			}
		}
	}
	web := mustParse(t, sources["a command"]).Services[0]
	if web.Command[2] != "one two" || web.Env["OPTIONS"].Reveal() != "a --watch" {
		t.Errorf("command: %q, environment: %q", web.Command, web.Env["OPTIONS"].Reveal())
	}
}

// Problems are at the same places; they were some lines further.
func TestProblemsSavedOnWindows(t *testing.T) {
	files, _ := filepath.Glob("testdata/invalid/*.yaml")
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(src), "\r") || strings.HasPrefix(string(src), "\ufeff") {
			continue
		}
		_, want := Parse("spec.yaml", src)
		for form, save := range saves {
			_, err := Parse("spec.yaml", []byte(save(string(src))))
			if err == nil || err.Error() != want.Error() {
				t.Errorf("%s, %s:\n%v\nnot\n%v", filepath.Base(file), form, err, want)
			}
		}
	}
}
