package spec

import (
	"path/filepath"
	"testing"
)

// TestKeptSpecs: what a person wrote for any release, this one reads. The files of a format are
// kept as they were; those in valid change with the format.
func TestKeptSpecs(t *testing.T) {
	files, _ := filepath.Glob("testdata/format-*/*.yaml")
	if len(files) < 7 {
		t.Fatalf("only %q are kept", files)
	}
	for _, file := range files {
		s, err := Load(file)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if s.ID() == "" || s.Version != "" && s.Version[0] != '1' {
			t.Errorf("%s: workspace %q of version %q", file, s.ID(), s.Version)
		}
	}
}
