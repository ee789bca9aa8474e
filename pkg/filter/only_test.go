package filter

import "testing"

// What alone is asked for is entered and carried, with all below it, and nothing else is.
func TestOnly(t *testing.T) {
	rules := append(Excludes([]string{".git/**", "*.log", ".claude/statsig/**"}), Only([]string{".claude/", "/.gemini/tmp/*/chats", ".claude.json", `odd\[name`})...)
	f, err := Compile(rules)
	if err != nil {
		t.Fatal(err)
	}
	type row struct{ carried, asked bool }
	for path, want := range map[string]row{
		".claude/a": {true, true}, ".claude/x/y": {true, true}, ".claude/x.log": {false, true}, ".claude/statsig/x": {false, true},
		".claude.json": {true, true}, ".claude.json.tmp": {}, ".claude.json/x": {true, true},
		".gemini/tmp/p/chats/s.jsonl": {true, true}, ".gemini/tmp/p/logs": {}, ".gemini/x": {},
		"x/.claude/a": {}, "notes": {}, ".git/HEAD": {}, ".claude/.git/HEAD": {false, true}, "odd[name": {true, true},
	} {
		if got := (row{f.Carries(path, false), f.Asks(path)}); got != want {
			t.Errorf("%s: %+v, want %+v", path, got, want)
		}
	}
	for dir, want := range map[string]bool{
		"": true, ".claude": true, ".gemini": true, ".gemini/tmp": true, ".gemini/tmp/p": true, ".gemini/tmp/p/chats": true,
		".gemini/tmp/p/other": false, ".gemini/history": false, "node_modules": false, ".claude/statsig": false, ".git": false,
	} {
		if f.Carries(dir, true) != want || f.Dir(dir) != want {
			t.Errorf("%q: carried %v, entered %v, want %v", dir, f.Carries(dir, true), f.Dir(dir), want)
		}
	}
	if all, _ := Compile(Excludes([]string{"*.log"})); !all.Asks("x.log") || !(*Filter)(nil).Asks("x") {
		t.Error("rules that only take out ask for everything")
	}
}
