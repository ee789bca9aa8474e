package yamlfile

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// What would take hours or gigabytes ends soon, as an error or as a value.
func TestBounds(t *testing.T) {
	laughs := "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
	for i := range 12 {
		ref := fmt.Sprintf("*a%d, ", i)
		laughs += fmt.Sprintf("a%d: &a%d [%s]\n", i+1, i+1, strings.Repeat(ref, 9))
	}
	var deep strings.Builder
	for i := range 1500 {
		deep.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	for name, src := range map[string]string{
		"lists": strings.Repeat("[", 1<<20), "maps": strings.Repeat("{a: ", 1<<20), "dashes": strings.Repeat("- ", 1<<20), "indents": deep.String(),
		"questions": strings.Repeat("? ", 1<<20), "laughs": laughs, "itself": "a: &a [*a]\n", "merge itself": "a: &a\n  <<: *a\n",
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
