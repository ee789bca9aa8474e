package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mattn/go-runewidth"

	"github.com/coltec/coltec/internal/sample"
)

// The table of ls fits the terminal, whatever its width; what goes to a pipe or a file is
// whole, and so is what --wide asks for.
func TestLsAtATerminal(t *testing.T) {
	sample.Long(t)
	apart := completed(t)
	docker := filepath.Join(apart, "..", "bin", "docker")
	if err := os.WriteFile(docker, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	whole := "~/ws/dev-one"
	for _, c := range []struct {
		width int
		line  string
		whole bool
	}{
		{40, "coltec ls --local", false}, {60, "coltec ls --local", false}, {80, "coltec ls --local", false}, {200, "coltec ls --local", true},
		{40, "coltec ls --local --wide", true}, {40, "coltec ls --local | cat", true}, {40, "coltec ls --local >out; cat out", true},
	} {
		t.Run(fmt.Sprintf("%d %s", c.width, c.line), func(t *testing.T) {
			x := onTerminal(t, "bash", "--norc", "-c", fmt.Sprintf("stty cols %d; %s", c.width, c.line))
			if code := x.ends(); code != 0 {
				t.Fatalf("%d\n%s", code, x.said.String())
			}
			said := strings.ReplaceAll(x.said.String(), "\r\n", "\n")
			if !strings.Contains(said, "WORKSPACE") || c.whole && !strings.Contains(said, whole) {
				t.Errorf("%s", said)
			}
			for line := range strings.Lines(said) {
				if w := runewidth.StringWidth(strings.TrimSuffix(line, "\n")); w > c.width && !c.whole {
					t.Errorf("%d cells: %s", w, line)
				}
			}
		})
	}
}
