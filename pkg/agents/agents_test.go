package agents

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/filter"
)

// What is known of each agent is whole: what is carried, left and a login are paths of a
// home, and what conversations are in is carried.
func TestKnown(t *testing.T) {
	if got := Names(); !slices.Equal(got, []string{"claude", "codex", "copilot", "gemini", "opencode"}) {
		t.Errorf("%q", got)
	}
	for _, a := range All() {
		var paths []string
		paths = append(append(append(paths, a.Carry...), a.Logins...), a.Talks...)
		for _, l := range a.Leave {
			paths = append(paths, l.Path)
			if l.Why == "" {
				t.Errorf("%s: %s is left without a reason", a.Name, l.Path)
			}
		}
		for _, p := range paths {
			if path.IsAbs(p) || path.Clean(p) != p || strings.HasPrefix(p, "..") || p == "." {
				t.Errorf("%s: %q is no path of a home", a.Name, p)
			}
		}
		if a.Seen == "" || a.Package == "" || a.Variable.Name == "" || a.Resume[0] != a.Program || len(a.Logins) == 0 {
			t.Errorf("%+v", a)
		}
		if h := a.Hooks; h.Form != "" && (!slices.Contains(a.Carry, h.File) || len(h.Events) == 0 || h.Form != FormJSON && h.Form != FormNotify) {
			t.Errorf("%s: hooks %+v", a.Name, h)
		}
		if got, is := Find(a.Name); !is || got.Title != a.Title {
			t.Errorf("%s is not found", a.Name)
		}
	}
	if len(Credentials()) < 20 {
		t.Error("too few credentials")
	}
	if _, is := Find("none"); is {
		t.Error("one that nobody knows is found")
	}
}

// TestOf: whose file a path of a home is, and which conversation.
func TestOf(t *testing.T) {
	list := append(All(), Agent{Name: "mine", Carry: []string{".mine/sessions", ".config/mine/"}})
	const number = "3b3f8f4e-5f6a-4c1e-9d54-0a3a7c1f9e21"
	for name, want := range map[string][2]string{
		".claude/projects/-workspace/" + number + ".jsonl":                    {"claude", number},
		".claude/projects/-workspace/" + number + "/subagents/agent-a1.jsonl": {"claude", ""},
		".claude/settings.json": {"claude", ""},
		".claude/other":         {"", ""},
		".claude":               {"", ""},
		".codex/sessions/2026/11/30/rollout-2026-11-30T04-51-07-" + number + ".jsonl": {"codex", number},
		".codex/sessions/2026/11/30/rollout-odd.jsonl":                                {"codex", "rollout-odd"},
		".copilot/session-state/" + number + "/events.jsonl":                          {"copilot", number},
		".gemini/tmp/p/chats/session-2026-01.jsonl":                                   {"gemini", "session-2026-01"},
		".local/share/opencode/opencode.db":                                           {"opencode", ""},
		".local/share/opencode/opencode.db-wal":                                       {"opencode", ""},
		".config/opencode/agent/x.md":                                                 {"opencode", ""},
		".mine/sessions/a/1.jsonl":                                                    {"mine", ""},
		".config/mine":                                                                {"mine", ""},
		".bashrc":                                                                     {"", ""},
		"":                                                                            {"", ""},
	} {
		if agent, talk := Of(list, name); agent != want[0] || talk != want[1] {
			t.Errorf("%s is of %q, conversation %q; want %q", name, agent, talk, want)
		}
	}
}

// What travels of a home, by the filter that the patterns make: the files that real programs
// were seen to write.
func TestWhatTravels(t *testing.T) {
	list := All()
	f, err := filter.Compile(append(filter.Excludes(Exclude(list, nil)), filter.Only(Include(list))...))
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]bool{
		".claude/projects/-workspace/6f1c.jsonl": true, ".claude/settings.json": true, ".claude/.credentials.json": false, ".claude.json": false,
		".claude/sessions/12.json": false, ".claude/shell-snapshots/x.sh": false,
		".codex/sessions/2026/11/30/rollout-2026.jsonl": true, ".codex/config.toml": true, ".codex/auth.json": false, ".codex/state_5.sqlite": false, ".codex/state_5.sqlite-wal": false,
		".codex/skills/mine/SKILL.md": true, ".codex/skills/.system/x": false, ".codex/installation_id": false,
		".local/share/opencode/opencode.db": true, ".local/share/opencode/opencode.db-wal": true, ".local/share/opencode/opencode.db-shm": false,
		".local/share/opencode/auth.json": false, ".local/share/opencode/log/x.log": false, ".config/opencode/opencode.json": true, ".config/opencode/node_modules/x/y.js": false,
		".gemini/tmp/workspace/chats/session-1.jsonl": true, ".gemini/tmp/workspace/.project_root": true, ".gemini/oauth_creds.json": false, ".gemini/settings.json": true, ".gemini/.env": false,
		".copilot/session-state/6f1c/events.jsonl": true, ".copilot/config.json": false, ".copilot/logs/x": false, ".copilot/session-state/6f1c/x.lock": false,
		".ssh/id_ed25519": false, ".npmrc": false, ".bashrc": false, "src/x.go": false, ".cache/x": false,
	} {
		if got := f.Carries(p, false); got != want {
			t.Errorf("%s travels: %v", p, got)
		}
	}
}

// A file that somebody names travels, though it is a credential by its name.
func TestNamed(t *testing.T) {
	if got := Exclude(nil, []string{".npmrc"}); slices.Contains(got, "/.npmrc") || !slices.Contains(got, "/.netrc") {
		t.Errorf("%q", got)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, body := range map[string]string{
		"another format": "format: 2\nname: a\ntitle: A\nprogram: a\ncarry: [.a]\nresume: [a]\n",
		"nothing":        "format: 1\n",
		"a stranger":     "format: 1\nname: a\ntitle: A\nprogram: a\ncarry: [.a]\nresume: [a]\nmore: 1\n",
	} {
		if _, err := parse([]byte(body)); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}
