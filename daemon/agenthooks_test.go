package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/status"
)

// at is a pointer to what it is given.
func at[T any](v T) *T { return &v }

// Settings of agents follow the spec: they get what tells coltecd, keep what a person wrote, and
// are as they were when the spec says so, or says nothing any more.
func TestSettingsFollowTheSpec(t *testing.T) {
	home := t.TempDir()
	const mine = "{\n  \"model\": \"opus\"\n}\n"
	file := filepath.Join(home, ".claude/settings.json")
	notify := filepath.Join(home, ".codex/config.toml")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(mine), 0o640); err != nil {
		t.Fatal(err)
	}
	var h agentHooks
	set := func(list ...spec.Agent) (changed, failed []string) {
		return h.set(setting{spec: &spec.Spec{Agents: list}, environ: []string{"HOME=" + home}})
	}
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return string(b)
	}
	claude := func(hooks *bool) spec.Agent { return spec.Agent{Name: "claude", Hooks: hooks} }
	for _, step := range []struct {
		what    string
		list    []spec.Agent
		changed int
		told    bool
	}{
		{"nothing is said", []spec.Agent{claude(nil), {Name: "codex"}}, 0, false},
		{"they are asked for", []spec.Agent{claude(at(true)), {Name: "codex", Hooks: at(true)}, {Name: "copilot"}}, 2, true},
		{"again", []spec.Agent{claude(at(true)), {Name: "codex", Hooks: at(true)}}, 0, true},
		{"nothing is said any more", []spec.Agent{claude(nil), {Name: "codex"}}, 2, false},
		{"they are asked for again", []spec.Agent{claude(at(true)), {Name: "codex", Hooks: at(true)}}, 2, true},
		{"they are not wanted", []spec.Agent{claude(at(false)), {Name: "codex", Hooks: at(false)}}, 2, false},
		{"they were not there", []spec.Agent{claude(at(false)), {Name: "codex", Hooks: at(false)}}, 0, false},
		{"they are asked for once more", []spec.Agent{claude(at(true)), {Name: "codex", Hooks: at(true)}}, 2, true},
		{"the agents are not listed any more", nil, 2, false},
	} {
		changed, failed := set(step.list...)
		text := read(file)
		if len(changed) != step.changed || len(failed) != 0 || strings.Contains(text, "agents report") != step.told || strings.Contains(read(notify), "agents report") != step.told {
			t.Errorf("%s: %q, %q\n%s", step.what, changed, failed, text)
		}
		if !step.told && text != mine || step.told && !strings.Contains(text, "opus") {
			t.Errorf("%s: %s", step.what, cmp.Diff(mine, text))
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v, %v", step.what, info, err)
		}
	}
	if _, err := os.Lstat(notify); !os.IsNotExist(err) {
		t.Errorf("what was made for it is there still: %v", err)
	}
}

// What cannot be edited stays as it is, and is said: a link, which others may have too, settings
// that are none, and a command of somebody else where there can be one.
func TestSettingsThatAreNotEdited(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "settings.json")
	if err := os.WriteFile(outside, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		agent, text, link, want string
	}{
		"a link":            {"claude", "", outside, "claude does not tell what it does, ~/.claude/settings.json is as it was: it is no plain file"},
		"no JSON":           {"claude", "{", "", "claude does not tell what it does, ~/.claude/settings.json is as it was: "},
		"another command":   {"codex", "notify = [\"say\"]\n", "", "codex does not tell what it does, ~/.codex/config.toml is as it was: it runs another command"},
		"a list of nothing": {"gemini", `{"hooks": []}`, "", "gemini does not tell what it does, ~/.gemini/settings.json is as it was: "},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			file := filepath.Join(home, knownAs(tt.agent).Hooks.File)
			err := os.MkdirAll(filepath.Dir(file), 0o700)
			if err == nil && tt.link != "" {
				err = os.Symlink(tt.link, file)
			} else if err == nil {
				err = os.WriteFile(file, []byte(tt.text), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			var h agentHooks
			changed, failed := h.set(setting{spec: &spec.Spec{Agents: []spec.Agent{{Name: tt.agent, Hooks: at(true)}}}, environ: []string{"HOME=" + home}})
			if len(changed) != 0 || len(failed) != 1 || !strings.HasPrefix(failed[0], tt.want) {
				t.Errorf("%q, %q", changed, failed)
			}
			if b, err := os.ReadFile(file); err != nil || tt.link == "" && string(b) != tt.text || tt.link != "" && string(b) != "{}" {
				t.Errorf("it has %q, %v", b, err)
			}
		})
	}
}

// Settings are edited once the home is as it was left, not before, whatever else is restored.
func TestHomeRestored(t *testing.T) {
	s := setting{spec: &spec.Spec{}}
	if !homeRestored(s, status.Document{}) {
		t.Error("nothing of it is carried, and it is waited for")
	}
	sp, err := spec.Parse("x.yaml", []byte("version: 1\nname: dev\nmetadata: {org: acme, project: widget}\npersistence: {enabled: true, remotes: {a: {type: s3, bucket: b}}, default_remote: a, sync: [{name: w, path: /w}]}\nagents: [claude]\n"))
	if err != nil {
		t.Fatal(err)
	}
	s.spec = sp
	for state, want := range map[status.ReplicaState]bool{"": false, status.ReplicaWaiting: false, status.ReplicaRestoring: false, status.ReplicaBlocked: false, status.ReplicaSynced: true} {
		doc := status.Document{Replicas: []status.Replica{{Name: "w", State: status.ReplicaSynced}}}
		if state != "" {
			doc.Replicas = append(doc.Replicas, status.Replica{Name: "home", State: state})
		}
		if homeRestored(s, doc) != want {
			t.Errorf("%q: %v", state, !want)
		}
	}
}
