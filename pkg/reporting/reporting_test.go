package reporting

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/agents"
)

func known(t *testing.T, name string) agents.Agent {
	t.Helper()
	a, is := agents.Find(name)
	if !is || a.Hooks.Form == "" {
		t.Fatalf("no hooks of %s are known", name)
	}
	return a
}

// undo holds that what was put into settings is there once however often it is asked for, and
// that they are as they were, byte for byte, when it is taken out.
func undo(t *testing.T, a agents.Agent, src []byte) (with []byte) {
	t.Helper()
	with, err := Add(a, src)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Add(a, with); err != nil || string(again) != string(with) {
		t.Errorf("asked for a second time it is %q, %v; was %q", again, err, with)
	}
	if n := strings.Count(string(with), verb); n != len(a.Hooks.Events) {
		t.Errorf("%d commands in %s", n, with)
	}
	back, err := Remove(a, with)
	if err != nil || string(back) != string(src) || (back == nil) != (src == nil) {
		t.Errorf("undone: %v %s", err, cmp.Diff(string(src), string(back)))
	}
	return with
}

// The settings of an agent get a command for each event, and keep all that a person wrote.
func TestJSON(t *testing.T) {
	for name, src := range map[string]string{
		"none":             "",
		"empty":            "{}",
		"a person's":       "{\n  \"model\": \"opus\",\n  \"permissions\": {\"allow\": [\"Bash(ls)\"]}\n}\n",
		"a person's hooks": "{\n  \"hooks\": {\n    \"Stop\": [\n      {\n        \"hooks\": [{\"type\": \"command\", \"command\": \"say done\"}]\n      }\n    ],\n    \"PreToolUse\": []\n  },\n  \"model\": \"opus\"\n}\n",
		"of Windows":       "\ufeff{\r\n\t\"model\": \"opus\"\r\n}\r\n",
		"with comments":    "{ // mine\n  \"hooks\": { /* all */ \"SessionEnd\": [ /* none yet */ {\"a\": 1} ] }, // end\n}\n",
	} {
		for _, agent := range []string{"claude", "gemini"} {
			t.Run(agent+", "+name, func(t *testing.T) {
				var was []byte
				if src != "" {
					was = []byte(src)
				}
				a := known(t, agent)
				with := undo(t, a, was)
				if strings.Contains(src, "//") {
					return // comments are for who reads JSON with comments
				}
				var v struct {
					Model string
					Hooks map[string][]struct {
						Hooks []struct{ Type, Command string }
					}
				}
				if err := json.Unmarshal([]byte(strings.TrimPrefix(string(with), "\ufeff")), &v); err != nil {
					t.Fatalf("%v\n%s", err, with)
				}
				for _, e := range a.Hooks.Events {
					list := v.Hooks[e.On]
					if len(list) == 0 || list[len(list)-1].Hooks[0].Type != "command" || list[len(list)-1].Hooks[0].Command != command(agent, e.State) {
						t.Errorf("%s: %+v", e.On, list)
					}
				}
				if strings.Contains(src, "opus") && v.Model != "opus" || strings.Contains(src, "say done") && !strings.Contains(string(with), "say done") {
					t.Errorf("it lost something: %s", with)
				}
			})
		}
	}
}

// An older command of ours is replaced; one of ours to which somebody added another stays, and so does what is no JSON.
func TestJSONOfOthers(t *testing.T) {
	a := known(t, "claude")
	old := `{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "` + verb + `waits"}]}]}}`
	with, err := Add(a, []byte(old))
	if err != nil || strings.Count(string(with), verb) != len(a.Hooks.Events) {
		t.Errorf("%s, %v", with, err)
	}
	shared := `{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "` + verb + `waits"}, {"type": "command", "command": "say done"}]}]}}`
	if left, err := Remove(a, []byte(shared)); err != nil || string(left) != shared {
		t.Errorf("%s, %v", left, err)
	}
	for _, bad := range []string{"{", "[]", `{"hooks": 1}`, `{"hooks": {"Stop": "` + verb + `"}}`} {
		if with, err := Add(a, []byte(bad)); err == nil {
			t.Errorf("%s became %s", bad, with)
		}
	}
}

// A line in front of a configuration is its own, whatever the rest is, and goes without a trace.
func TestNotify(t *testing.T) {
	a := known(t, "codex")
	for name, src := range map[string]string{
		"none":                    "",
		"keys":                    "model = \"x\"\n",
		"tables":                  "# mine\n[model_providers.fake]\nname = \"fake\"\n",
		"without an end":          "model = \"x\"",
		"of Windows":              "\ufeffmodel = \"x\"\r\n[a]\r\nb = 1\r\n",
		"a word in a text":        "instructions = \"\"\"\nset notify = 1 in it\n\"\"\"\n",
		"a key that begins alike": "notifyme = true\n",
	} {
		t.Run(name, func(t *testing.T) {
			var was []byte
			if src != "" {
				was = []byte(src)
			}
			with := undo(t, a, was)
			var before, after map[string]any
			if _, err := toml.Decode(strings.TrimPrefix(src, byteOrder), &before); err != nil {
				t.Fatal(err)
			}
			if _, err := toml.Decode(strings.TrimPrefix(string(with), byteOrder), &after); err != nil {
				t.Fatalf("%v\n%s", err, with)
			}
			if diff := cmp.Diff([]any{"sh", "-c", command("codex", "waits")}, after["notify"]); diff != "" {
				t.Error(diff)
			}
			delete(after, "notify")
			if diff := cmp.Diff(before, after); diff != "" && len(before) > 0 {
				t.Error(diff)
			}
		})
	}
	for _, taken := range []string{"notify = [\"say\"]\n", "a = 1\n  'notify'=[]\n", "\"notify\" = []", "[tui]\nnotify = true\n"} {
		if with, err := Add(a, []byte(taken)); !errors.Is(err, ErrTaken) {
			t.Errorf("%q became %q, %v", taken, with, err)
		}
		if left, err := Remove(a, []byte(taken)); err != nil || string(left) != taken {
			t.Errorf("%q became %q, %v", taken, left, err)
		}
	}
}

// What a person added to a command of ours, or around it, went with it at the next start.
func TestWhatAPersonAddedStays(t *testing.T) {
	a := known(t, "claude")
	ours := command("claude", "waits")
	for name, entry := range map[string]string{
		"a matcher":       `{"matcher": "Bash", "hooks": [{"type": "command", "command": "` + ours + `"}]}`,
		"a timeout":       `{"hooks": [{"type": "command", "command": "` + ours + `", "timeout": 5}]}`,
		"another command": `{"hooks": [{"type": "command", "command": "` + ours + `; say done"}]}`,
		"an argument":     `{"hooks": [{"type": "command", "command": "` + verb + `waits --agent claude --loud"}]}`,
		"beside ours":     `{"hooks": [{"type": "command", "command": "` + ours + `"}, {"type": "command", "command": "say done"}]}`,
	} {
		src := `{"hooks": {"Stop": [` + entry + `]}}`
		if left, err := Remove(a, []byte(src)); err != nil || string(left) != src {
			t.Errorf("%s: removed: %s, %v", name, left, err)
		}
		with, err := Add(a, []byte(src))
		if err != nil || !strings.Contains(string(with), entry) || strings.Count(string(with), verb) != len(a.Hooks.Events) {
			t.Errorf("%s: added: %s, %v", name, with, err)
		}
		if again, err := Add(a, with); err != nil || string(again) != string(with) {
			t.Errorf("%s: asked for a second time it is %q, %v; was %q", name, again, err, with)
		}
	}
	a = known(t, "codex")
	ours = command("codex", "waits")
	for name, src := range map[string]string{
		"another command": `notify = ["sh", "-c", "` + ours + `; say done"]` + "\nmodel = \"x\"\n",
		"a comment":       `notify = ["sh", "-c", "` + ours + `"] # mine` + "\n",
		"several lines":   "notify = [\n  \"sh\", \"-c\",\n  \"" + ours + "\",\n]\n",
		"another shell":   `notify = ["bash", "-c", "` + ours + `"]` + "\n",
		"in a text":       "a = \"\"\"\nnotify = [\"say\", \"" + verb + "waits\"]\n\"\"\"\n",
	} {
		for what, do := range map[string]func(agents.Agent, []byte) ([]byte, error){"removed": Remove, "added": Add} {
			if left, err := do(a, []byte(src)); err != nil || string(left) != src {
				t.Errorf("%s: %s: %q, %v", name, what, left, err)
			}
		}
	}
}
