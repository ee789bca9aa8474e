package talks

import (
	"os"
	"slices"
	"testing"
	"time"
)

// What lies where no conversation is known is told only where none is where they are known, and
// only what is of the same kind and not known to be something else.
func TestElsewhere(t *testing.T) {
	for name, tt := range map[string]struct {
		agent string
		files []string
		want  []string
	}{
		"nothing":              {"claude", nil, nil},
		"moved":                {"claude", []string{".claude/talks/a/1.jsonl", ".claude/talks/b.jsonl"}, []string{".claude/talks/a/1.jsonl", ".claude/talks/b.jsonl"}},
		"one is where it was":  {"claude", []string{".claude/talks/a/1.jsonl", ".claude/projects/-w/1.jsonl"}, nil},
		"known for other uses": {"claude", []string{".claude/history.jsonl", ".claude/debug/x.jsonl", ".claude/statsig/x.jsonl", ".claude/plugins/x.jsonl"}, nil},
		"of another kind":      {"claude", []string{".claude/talks/1.json"}, nil},
		"deeper than before":   {"codex", []string{".codex/sessions/2027/w50/mon/1/rollout-1.jsonl"}, []string{".codex/sessions/2027/w50/mon/1/rollout-1.jsonl"}},
		"a database":           {"opencode", []string{".local/share/opencode/next.db"}, []string{".local/share/opencode/next.db"}},
		"many":                 {"claude", []string{".claude/x/1.jsonl", ".claude/x/2.jsonl", ".claude/x/3.jsonl", ".claude/x/4.jsonl"}, []string{"", "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range tt.files {
				put(t, dir, file, "x", time.Now(), time.Minute)
			}
			home, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer home.Close()
			got := Elsewhere(home, known(t, tt.agent))
			if !slices.Equal(got, tt.want) && (name != "many" || len(got) != len(tt.want)) {
				t.Errorf("%q", got)
			}
		})
	}
}
