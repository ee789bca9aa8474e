package plan

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/tree/treetest"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write generated documents anew")

// TestPlannerDoc holds the table of docs/planner.md: it is printed from the
// planner itself.
func TestPlannerDoc(t *testing.T) {
	const file = "../../docs/planner.md"
	sides := []struct{ name, content string }{{"same", "1"}, {"changed", "2"}, {"gone", ""}, {"new", "2"}}
	words := map[Op]string{
		Nothing: "–", Adopt: "note that they agree", Take: "take the remote version", Delete: "delete the local one (kept aside)",
		Keep: "keep the local version, push it", Withdraw: "delete the remote one", Forget: "forget",
		Conflict: "conflict: the remote version keeps the name, the local one is kept aside",
	}
	var b strings.Builder
	b.WriteString("| local | remote | what is done |\n|---|---|---|\n")
	for _, l := range sides {
		for _, r := range sides {
			known := l.name != "new" && r.name != "new"
			if !known && (l.name == "same" || l.name == "changed" || r.name == "same" || r.name == "changed") {
				continue // new means: not in the base
			}
			for _, alike := range []bool{false, true} {
				docRow(&b, words, known, l, r, alike)
			}
		}
	}
	old, err := os.ReadFile(file)
	if err != nil && !*update {
		t.Fatal(err)
	}
	const begin, end = "<!-- table -->\n", "<!-- end -->\n"
	before, rest, _ := strings.Cut(string(old), begin)
	_, after, _ := strings.Cut(rest, end)
	want := before + begin + b.String() + end + after
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(old)); diff != "" {
		t.Errorf("docs/planner.md is out of date (make generate):\n%s", diff)
	}
}

// docRow writes one row; alike says that both sides changed to the same content.
func docRow(b *strings.Builder, words map[Op]string, known bool, l, r struct{ name, content string }, alike bool) {
	both := l.content == "2" && r.content == "2"
	if alike && !both {
		return
	}
	local, remote, base := l.content, r.content, ""
	if known {
		base = "a=1"
	}
	if both && !alike {
		remote = "3"
	}
	one := func(content string) string {
		if content == "" {
			return ""
		}
		return "a=" + content
	}
	plan := Merge(Sides{Base: treetest.Parse(base), Local: treetest.Parse(one(local)), Remote: treetest.Parse(one(remote))})
	word := "–"
	if len(plan) > 0 {
		word = words[plan[0].Op]
	}
	suffix := ""
	if alike {
		suffix = " alike"
	}
	fmt.Fprintf(b, "| %s | %s%s | %s |\n", l.name, r.name, suffix, word)
}
