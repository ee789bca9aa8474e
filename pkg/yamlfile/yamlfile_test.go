package yamlfile

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/goccy/go-yaml"
)

// What would take hours or gigabytes ends soon, as an error or as a value.
func TestBounds(t *testing.T) {
	sample.Long(t)
	laughs := "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
	for i := range 12 {
		ref := fmt.Sprintf("*a%d, ", i)
		laughs += fmt.Sprintf("a%d: &a%d [%s]\n", i+1, i+1, strings.Repeat(ref, 9))
	}
	var deep strings.Builder
	for i := range 700 {
		deep.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	var keys strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&keys, "k%d: v\n", i)
	}
	for name, src := range map[string]string{
		"keys": keys.String(), "most keys": strings.Join(strings.SplitAfter(keys.String(), "\n")[:5900], ""), "keys in a line": "{" + strings.ReplaceAll(keys.String(), "\n", ", ") + "}", "documents": strings.Repeat("---\na\n", 2900), "items": strings.Repeat("-\n", 1<<17),
		"tags": strings.Repeat("!a ", 1<<16), "most tags": "a: " + strings.Repeat("!a ", 3900) + "x", "anchors": strings.Repeat("&a ", 1<<16), "aliases": "a: &a b\nc: [" + strings.Repeat("*a,", 1<<16) + "]", "a text": "a: " + strings.Repeat("word ", 50_000),
		"lists": strings.Repeat("[", 1<<17), "maps": strings.Repeat("{a: ", 1<<15), "dashes": strings.Repeat("- ", 1<<16), "indents": deep.String(),
		"questions": strings.Repeat("? ", 1<<16), "laughs": laughs, "itself": "a: &a [*a]\n", "merge itself": "a: &a\n  <<: *a\n",
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			for _, opts := range [][]yaml.DecodeOption{nil, {yaml.UseOrderedMap()}} {
				var v any
				err := Unmarshal([]byte(src), &v, opts...)
				t.Logf("%v, %v", time.Since(began), err)
			}
			runtime.ReadMemStats(&after)
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it takes %v", took)
			}
			if got := (after.TotalAlloc - before.TotalAlloc) >> 20; got > 3000 {
				t.Errorf("it takes %d MB", got)
			}
		})
	}
}

// compose is a file as people write it, of so many services.
func compose(services int) string {
	var b strings.Builder
	b.WriteString("services:\n")
	for i := range services {
		fmt.Fprintf(&b, "  s%d:\n    image: registry.example/team/service%d:1.2.3\n    environment:\n      A: one\n      B: \"two\"\n    ports:\n      - \"%d:80\"\n    volumes:\n      - ./data:/data:ro\n    depends_on: [db, cache]\n    healthcheck:\n      test: [\"CMD\", \"curl\", \"-f\", \"http://localhost\"]\n", i, i, 8000+i)
	}
	return b.String()
}

// Some thousand lines, as generators and large teams have them, are no attack.
func TestLongFile(t *testing.T) {
	src := compose(400)
	began := time.Now()
	root, err := Parse([]byte(src))
	if root == nil || err != nil {
		t.Fatal(err)
	}
	t.Logf("%d lines, %d KiB, %v", strings.Count(src, "\n"), len(src)>>10, time.Since(began))
	var v struct{ Services map[string]any }
	if err := Unmarshal([]byte(src), &v); err != nil || len(v.Services) != 400 {
		t.Errorf("%v, %d services", err, len(v.Services))
	}
}

// What only one of several programs reads is read by none.
func TestOneDocument(t *testing.T) {
	for name, src := range map[string]string{
		"second": "a: 1\n---\na: 2\n", "after an end": "a: 1\n...\n---\na: 2\n", "after nothing": "---\n~\n---\na: 2\n",
	} {
		var v any
		if err := Unmarshal([]byte(src), &v); err == nil {
			t.Errorf("%s: read as %v", name, v)
		}
		if _, err := Parse([]byte(src)); err == nil {
			t.Errorf("%s: parsed", name)
		}
	}
	for name, src := range map[string]string{
		"next line": "# a\u0085b: 1\n", "line separator": "# a\u2028b: 1\n", "carriage return": "# a\rb: 1\n", "escape": "a: \x1b", "mark": "a: 1\n\ufeffb: 1\n", "no UTF-8": "a: \xff\n",
	} {
		if _, err := Parse([]byte(src)); err == nil {
			t.Errorf("%s: parsed", name)
		}
	}
	for name, src := range map[string]string{"one": "---\na: 1\n", "with an end": "a: 1\n...\n", "with nothing behind": "a: 1\n---\n", "a directive": "%YAML 1.2\n---\na: 1\n", "a mark": "\ufeffa: 1\r\n# ä 😀\r\n"} {
		if root, err := Parse([]byte(src)); root == nil || err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
