package spec

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/hint"
)

var update = flag.Bool("update", false, "write the expected errors; read them before you commit them")

// TestInvalid holds the exact errors of malformed specs, beside each as .err.
// hunter2 stands for a secret in them and must not show.
func TestInvalid(t *testing.T) {
	files, _ := filepath.Glob("testdata/invalid/*.yaml")
	if len(files) < 60 {
		t.Errorf("only %d malformed specs", len(files))
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Parse(filepath.Base(file), src)
			if err == nil || s != nil {
				t.Fatalf("it was accepted: %v, %v", s != nil, err)
			}
			got := err.Error() + "\n"
			golden := strings.TrimSuffix(file, ".yaml") + ".err"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err2 := os.ReadFile(golden)
			if err2 != nil {
				t.Fatal(err2)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(got, "hunter2") {
				t.Error("it shows a secret")
			}
			if len(Problems(err)) != strings.Count(got, "\n") {
				t.Error("Problems is not what Error says, or a problem has more than one line")
			}
			if steps := hint.Of(err); len(steps) != 1 || !strings.Contains(steps[0], "coltecd validate") {
				t.Errorf("hints: %q", steps)
			}
		})
	}
}
