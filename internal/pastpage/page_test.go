package pastpage

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/control"
)

func TestTellOlder(t *testing.T) {
	var out strings.Builder
	p := Page{Out: &out}
	p.printOlder("w", &control.Older{Count: 2, Paths: []control.OlderPath{{Path: "a", Why: "it changes while it is read"}}})
	if diff := cmp.Diff("w: 2 paths are older than this generation, or missing from it:\n  \"a\": it changes while it is read\n", out.String()); diff != "" {
		t.Error(diff)
	}
}

// A verb is called by the workspace where it is not that of the current directory.
func TestForms(t *testing.T) {
	lines := func() [][2]string { return [][2]string{{"history", "lists"}, {"history ls PATH", "versions"}} }
	for of, want := range map[string]string{
		"":           "history          lists\nhistory ls PATH  versions\n",
		"WORKSPACE ": "history WORKSPACE          lists\nhistory WORKSPACE ls PATH  versions\n",
	} {
		if diff := cmp.Diff(want, Page{Of: of}.forms(lines())); diff != "" {
			t.Errorf("%q: %s", of, diff)
		}
	}
}
