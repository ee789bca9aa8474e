package supervisor

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestFaultsDocument holds docs/faults.md, guarantees.md and security.md to the tests:
// each row names at least one, and each that is named exists.
func TestFaultsDocument(t *testing.T) {
	for file, least := range map[string]int{"faults.md": 30, "guarantees.md": 30, "security.md": 20} {
		t.Run(file, func(t *testing.T) { holdDocument(t, filepath.Join("../docs", file), least) })
	}
}

func holdDocument(t *testing.T, file string, least int) {
	t.Helper()
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz)[A-Za-z0-9]+)`")
	rows := 0
	for line := range strings.Lines(string(doc)) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| fault |") || strings.HasPrefix(line, "| guarantee |") || strings.HasPrefix(line, "| what is tried |") {
			continue
		}
		rows++
		found := named.FindAllStringSubmatch(line, -1)
		if len(found) == 0 {
			t.Errorf("no test holds: %s", line)
		}
		for _, m := range found {
			if !hasTest(t, filepath.Join("..", m[1]), m[2]) {
				t.Errorf("there is no %s in %s", m[2], m[1])
			}
		}
	}
	if rows < least {
		t.Errorf("only %d rows: is the table read?", rows)
	}
}

func hasTest(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}
