package spec

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestValid holds that every example loads.
func TestValid(t *testing.T) {
	files, _ := filepath.Glob("testdata/valid/*.yaml")
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Parse(filepath.Base(file), src)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Replicas(); len(got) == 0 && s.Persistence.Enabled && s.Persistence.Mode == Replicated {
				t.Error("no replicas")
			}
		})
	}
}
