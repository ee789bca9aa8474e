package scaffold

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// answersCanary stands for what an answer holds, and no error may show.
const answersCanary = "hushhush"

// What an answer holds was in the error about the line beside it.
func TestErrorsShowNoAnswer(t *testing.T) {
	for name, src := range map[string]string{
		"the line before":  "answers:\n  token: hushhush\n  other: [x]\n",
		"the line itself":  "template: base\nword: hushhush\n",
		"another kind":     "version: [hushhush]\n",
		"syntax":           "answers: {a: hushhush\nx",
		"an open quote":    "version: 'hushhush",
		"a key twice":      "version: hushhush\nversion: hushhush\n",
		"a template's too": "template: hushhush\n\tversion: 1\n",
	} {
		if _, err := ParseRecord([]byte(src)); err == nil || strings.Contains(err.Error(), answersCanary) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzAnswers holds what every answers.yaml gives, whoever wrote it: an error of one
// line, soon, or a record that is the same when it is written and read again.
func FuzzAnswers(f *testing.F) {
	for _, src := range []string{
		"", "template: base\nversion: 1.0.0\nanswers:\n  org: acme\n  project: widget\n", "template: ../x\nversion: '1'\nanswers: {}\n",
		"template: https://x.test/t.git//a#v1\nanswers: {a: \"x\\ny\", b: 'it''s', c: |\n  two\n  lines\n}", "answers: &a {x: *a}", "<<: {template: x}", "a: !!binary aGk=",
		"template: \u2028\nversion: 0x1f\nanswers: {yes: no, 1: 2.50, ~: null, '': ''}", strings.Repeat("[", 300), strings.Repeat("- ", 300), strings.Repeat("a: &a [*a, *a]\n", 20),
		"? a\n: b\n---\ntemplate: y\n", "%YAML 9.9\n---\n", "template: \"\\x00\\e[31m\"", "answers: {t: hushhush, u: [}",
	} {
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src string) {
		began := time.Now()
		r, err := ParseRecord([]byte(src))
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("it takes %v", took)
		}
		if err != nil {
			return
		}
		b, err := yaml.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseRecord(b)
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		if again.Template != r.Template || again.Version != r.Version || !maps.Equal(again.Answers, r.Answers) {
			t.Errorf("%+v became %+v by\n%s", r, again, b)
		}
	})
}
