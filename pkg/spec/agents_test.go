package spec

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/agents"
)

// withAgents is a spec with a bucket, and what is added.
func withAgents(t *testing.T, more string) *Spec {
	t.Helper()
	return mustParse(t, head+"\npersistence:\n  remotes: {primary: {bucket: b}}\n"+more)
}

// What the listed agents keep is one replica of the home, that is restored first.
func TestAgentsAreOneReplica(t *testing.T) {
	s := withAgents(t, `  sync: [{name: workspace, path: /workspace}]
agents: [claude, {name: codex, include: [.codex/extra, .npmrc], exclude: [/.codex/sessions/old/**]}, {name: mine, include: [.mine/], logins_files: [.mine/auth.json]}]
`)
	list := s.Replicas()
	if len(list) != 2 {
		t.Fatalf("%d replicas", len(list))
	}
	home := list[0]
	if home.Name != "home" || home.Path != "~" || home.Priority != 0 || home.RemotePath != "workspaces/acme/widget/dev/home" || !home.Agents {
		t.Errorf("%+v", home)
	}
	claude, _ := agents.Find("claude")
	codex, _ := agents.Find("codex")
	want := append(append(slices.Clone(claude.Carry), codex.Carry...), ".codex/extra", ".npmrc", ".mine")
	if diff := cmp.Diff(want, home.Include); diff != "" {
		t.Error(diff)
	}
	for pattern, is := range map[string]bool{
		"/.codex/sessions/old/**": true, "/.codex/auth.json": true, "/.gemini/oauth_creds.json": true, "/.mine/auth.json": true, "/.ssh/**": true,
		"/.npmrc": false, // it is named
	} {
		if slices.Contains(home.Exclude, pattern) != is {
			t.Errorf("%s is excluded: %v", pattern, !is)
		}
	}
}

// The spec's own replica of the home carries them, too.
func TestAgentsInTheHomeOfASpec(t *testing.T) {
	for name, tt := range map[string]struct {
		entry    string
		include  []string // the beginning
		priority int
	}{
		"with an include": {"{name: home, path: ~, include: [.config/mine], remote_path: x, priority: 5}", []string{".config/mine", ".codex/sessions"}, 5},
		"all of it":       {"{name: home, path: ~/}", nil, 0},
	} {
		s := withAgents(t, "  sync: ["+tt.entry+"]\nagents: [codex]\n")
		list := s.Replicas()
		if len(list) != 1 || list[0].Priority != tt.priority || !slices.Contains(list[0].Exclude, "/.codex/auth.json") {
			t.Fatalf("%s: %+v", name, list)
		}
		if got := list[0].Include; len(got) < len(tt.include) || !slices.Equal(got[:len(tt.include)], tt.include) || tt.include == nil && len(got) > 0 {
			t.Errorf("%s: it includes %q", name, got)
		}
	}
	if list := withAgents(t, "  sync: [{name: workspace, path: /workspace}]\n").Replicas(); len(list) != 1 || strings.Contains(list[0].Path, "~") {
		t.Errorf("without agents: %+v", list)
	}
}

// Where the home is a replica of the spec under another name, and written out, that one
// carries what agents keep.
func TestAgentsInAHomeThatIsWrittenOut(t *testing.T) {
	for include, want := range map[string][]string{"": nil, ", include: [notes]": {"notes", ".codex/sessions"}} {
		s := withAgents(t, "  sync: [{name: workspace, path: /workspace}, {name: mine, path: /home/me"+include+"}]\nagents: [codex]\n")
		if err := s.ApplyEnvironment(env(map[string]string{"HOME": "/home/me"})); err != nil {
			t.Fatal(err)
		}
		list := s.Replicas()
		if len(list) != 2 || list[1].Name != "mine" || !slices.Contains(list[1].Exclude, "/.codex/auth.json") {
			t.Fatalf("%+v", list)
		}
		if got := list[1].Include; len(got) < len(want) || !slices.Equal(got[:len(want)], want) || want == nil && len(got) > 0 {
			t.Errorf("it includes %q", got)
		}
		if err := s.ApplyEnvironment(env(map[string]string{"HOME": "/home/me"})); err != nil || len(s.Replicas()) != 2 {
			t.Errorf("a second time: %v", err)
		}
	}
}
