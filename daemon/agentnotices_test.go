package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/unit"
)

// writeAll writes files below a directory.
func writeAll(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, []byte(text), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A variable that has an agent keep its files where nothing is carried is told.
func TestAVariableMovesTheHome(t *testing.T) {
	home, work := t.TempDir(), t.TempDir()
	writeAll(t, home, map[string]string{".claude/x": ""})
	if err := os.Symlink(filepath.Join(home, ".claude"), filepath.Join(home, "link")); err != nil {
		t.Fatal(err)
	}
	for value, told := range map[string]bool{
		"": false, "relative": false, filepath.Join(home, ".claude"): false, filepath.Join(home, "link"): false, filepath.Join(home, ".claude") + "/": false,
		filepath.Join(home, ".claude-work"): true, "/elsewhere": true, filepath.Join(work, ".claude"): false,
	} {
		sp := &spec.Spec{Agents: []spec.Agent{{Name: "claude"}, {Name: "gemini"}}}
		sp.Persistence.Enabled, sp.Persistence.Mode = true, spec.Replicated
		sp.Persistence.Sync = []spec.Sync{{Name: "w", Path: work}}
		s := setting{spec: sp, environ: []string{"HOME=" + home, "CLAUDE_CONFIG_DIR=" + value, "GEMINI_CLI_HOME=" + home}}
		got := s.agentNotices()
		if told != (len(got) == 1 && strings.HasPrefix(got[0], "CLAUDE_CONFIG_DIR is set: claude keeps its files in "+filepath.Clean(value)+", and nothing")) || !told && len(got) > 0 {
			t.Errorf("%s: %q", value, got)
		}
	}
}

// A version that is newer than what is known, and keeps its conversations elsewhere, is told; one
// alone of both is not.
func TestANewerVersionKeepsItsFilesElsewhere(t *testing.T) {
	const stray = ".claude/talks/2027/1.jsonl"
	for name, tt := range map[string]struct {
		version string
		files   map[string]string
		told    bool
	}{
		"newer, elsewhere":         {"2.2.0", map[string]string{stray: ""}, true},
		"much newer, elsewhere":    {"10.0", map[string]string{stray: ""}, true},
		"as it was seen":           {"2.1.999", map[string]string{stray: ""}, false},
		"older":                    {"1.9.0", map[string]string{stray: ""}, false},
		"newer, as it was":         {"2.2.0", map[string]string{stray: "", ".claude/projects/-workspace/1.jsonl": ""}, false},
		"newer, no conversation":   {"2.2.0", map[string]string{".claude/todos/1.json": "", ".claude/history.jsonl": "", ".claude/debug/1.jsonl": ""}, false},
		"newer, of a test version": {"2.2.0-rc.1", map[string]string{stray: ""}, true},
		"no version":               {"\x1b[2J", map[string]string{stray: ""}, false},
	} {
		t.Run(name, func(t *testing.T) {
			home, prefix := t.TempDir(), t.TempDir()
			writeAll(t, home, tt.files)
			writeAll(t, prefix, map[string]string{
				"lib/claude-code/package.json": fmt.Sprintf(`{"name": "@anthropic-ai/claude-code", "version": %q}`, tt.version),
				"lib/claude-code/bin/cli.js":   "",
				"lib/package.json":             `{"name": "another", "version": "99.0"}`,
			})
			if err := os.Symlink(filepath.Join(prefix, "lib/claude-code/bin/cli.js"), filepath.Join(prefix, "claude")); err != nil {
				t.Fatal(err)
			}
			s := setting{spec: &spec.Spec{Agents: []spec.Agent{{Name: "claude"}}}, environ: []string{"HOME=" + home, "PATH=/nowhere:" + prefix}}
			got := s.agentNotices()
			if told := len(got) == 1 && strings.Contains(got[0], "is newer than what is known of it (2.1)") && strings.Contains(got[0], "~/"+stray); told != tt.told || !told && len(got) > 0 {
				t.Errorf("%q", got)
			}
		})
	}
}

// The unit of an agent waits for the restore, has a terminal, and none of the bucket's keys.
func TestAgentUnits(t *testing.T) {
	s := setting{spec: &spec.Spec{Agents: []spec.Agent{{Name: "claude", Resume: spec.ResumeAlways}, {Name: "codex"}}}, folder: "/w", environ: []string{"HOME=/h", "TERM=dumb"}}
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	units := s.agentUnits()
	if len(units) != 1 {
		t.Fatalf("%d units", len(units))
	}
	want := unit.Unit{
		Name: "agent-claude", Kind: unit.Service, Screen: true, Dir: "/w", After: []string{"restore"},
		Argv: []string{own, "agents", "resume", "claude"}, Env: []string{"HOME=/h", "TERM=xterm-256color"},
	}
	if !unit.Equal(units[0], want) {
		t.Error(cmp.Diff(fmt.Sprintf("%q", want.Argv), fmt.Sprintf("%q %q", units[0].Argv, units[0].Env)))
	}
	if err := unit.ValidateSet(units, []string{milestoneRestore}); err != nil {
		t.Error(err)
	}
}

// An agent goes on where it has a conversation in exactly that folder: the program looks for no
// other.
func TestResumeCommands(t *testing.T) {
	home := t.TempDir()
	environ := []string{"HOME=" + home}
	writeAll(t, home, map[string]string{".claude/projects/-w/1.jsonl": `{"type":"user","cwd":"/w/below"}` + "\n"})
	for folder, want := range map[string][]string{"/w": nil, "/w/below": {"claude", "--continue"}} {
		resume, begin, err := ResumeCommands("claude", folder, environ)
		if err != nil || !cmp.Equal(resume, want) || !cmp.Equal(begin, []string{"claude"}) {
			t.Errorf("%s: %q, %q, %v", folder, resume, begin, err)
		}
	}
	if _, _, err := ResumeCommands("mine", "/w", environ); err == nil {
		t.Error("one that nobody knows is run")
	}
}

// An agent that cannot be kept running has failed, whatever its conversations say.
func TestAgentsOfUnits(t *testing.T) {
	was := []status.Agent{{Name: "claude", State: status.AgentDone}, {Name: "codex", State: status.AgentDone}}
	got := withUnits(was, []status.Unit{{Name: "agent-claude", State: "failed"}, {Name: "agent-codex", State: "running"}, {Name: "codex", State: "failed"}})
	if got[0].State != status.AgentFailed || got[1].State != status.AgentDone || was[0].State != status.AgentDone {
		t.Errorf("%+v", got)
	}
}
