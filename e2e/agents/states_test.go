package agents

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/terminal"
)

// seat is an agent at a terminal.
type seat struct {
	w    *world
	cmd  *exec.Cmd
	host *os.File

	mu    sync.Mutex
	drawn bytes.Buffer
	ended chan struct{}
}

func (s *seat) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drawn.Write(p)
}

func (s *seat) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drawn.String()
}

// sit starts an agent at a terminal, with a first prompt.
func (w *world) sit(argv ...string) *seat {
	w.t.Helper()
	host, program, err := terminal.Open()
	if err != nil {
		w.t.Fatal(err)
	}
	defer program.Close()
	s := &seat{w: w, host: host, ended: make(chan struct{})}
	s.cmd = exec.Command(filepath.Join(agentsDir, "node_modules/.bin", argv[0]), argv[1:]...)
	s.cmd.Dir = w.work()
	s.cmd.Env = w.env("ANTHROPIC_BASE_URL="+w.model.URL, "ANTHROPIC_API_KEY="+secret, "FAKE_KEY="+secret, "TERM="+terminal.Name,
		"DISABLE_AUTOUPDATER=1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", w.withReports())
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = program, program, program
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		defer close(s.ended)
		_, _ = io.Copy(terminal.NewScreen(s, host), host)
	}()
	w.t.Cleanup(s.leave)
	return s
}

// withReports is a PATH on which coltecd is too, as in a container: one that notes how it is
// called.
func (w *world) withReports() string {
	w.t.Helper()
	dir := filepath.Join(w.runtime(), "bin")
	w.write(filepath.Join(dir, "coltecd"), "#!/bin/sh\necho \"$*\" >>"+w.reports()+"\nexec "+coltecd+" \"$@\"\n")
	if err := os.Chmod(filepath.Join(dir, "coltecd"), 0o755); err != nil {
		w.t.Fatal(err)
	}
	return "PATH=" + filepath.Join(agentsDir, "node_modules/.bin") + ":" + dir + ":" + os.Getenv("PATH")
}

func (w *world) reports() string { return filepath.Join(w.runtime(), "reports") }

// leave closes the terminal, as a window is closed, and waits for the end of what was there.
func (s *seat) leave() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGHUP)
	timer := time.AfterFunc(patience, func() { _ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) })
	defer timer.Stop()
	_ = s.cmd.Wait()
	s.host.Close()
	<-s.ended
}

// agent is what status says of one.
func (w *world) agent(name string) status.Agent {
	w.t.Helper()
	var doc status.Document
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, _ := w.verb(ctx, "status", "--json").Output() // its exit code says whether all is well
	if err := json.Unmarshal(out, &doc); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	for _, a := range doc.Agents {
		if a.Name == name {
			return a
		}
	}
	w.t.Fatalf("%s is not in the status: %s", name, out)
	return status.Agent{}
}

// commandLines are those of all that runs on the machine.
func (w *world) commandLines() (lines []string) {
	for _, pid := range w.processes() {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		lines = append(lines, strings.ReplaceAll(string(b), "\x00", " "))
	}
	return lines
}

// comesTo waits until an agent is in a state.
func (s *seat) comesTo(name string, state status.AgentState) (a status.Agent) {
	s.w.t.Helper()
	tick, deadline := time.NewTicker(200*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for {
		if a = s.w.agent(name); a.State == state {
			return a
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.w.t.Fatalf("%s is %+v, and not %s, in %s; it draws\n%s\n%s\n%q run", name, a, state, patience, s.text(), kinds(s.w.model.requests(0)), s.w.commandLines())
		}
	}
}

// The states of real agents at a terminal, with their own hooks and without any: a turn is work
// until its answer is there, then a person is waited for, and that is told once; the end of the
// program is the end. What a person had in the settings is there before and after.
func TestStates(t *testing.T) {
	for _, hooks := range []bool{true, false} {
		t.Run(fmt.Sprintf("hooks %v", hooks), func(t *testing.T) {
			w := newWorld(t)
			told := filepath.Join(w.runtime(), "told")
			w.inHome(".claude/settings.json", claudeSettings)
			w.inHome(".claude.json", `{"hasCompletedOnboarding": true, "theme": "dark", "projects": {"`+w.work()+
				`": {"hasTrustDialogAccepted": true, "hasCompletedProjectOnboarding": true}}, "customApiKeyResponses": {"approved": ["`+secret[len(secret)-20:]+`"]}}`)
			codex := w.readHome(".codex/config.toml") + "[projects.\"" + w.work() + "\"]\ntrust_level = \"trusted\"\n"
			w.inHome(".codex/config.toml", codex)
			w.specWith(fmt.Sprintf("agents: [{name: claude, hooks: %v}, {name: codex, hooks: %v}]", hooks, hooks),
				`hooks: {on_agent_waiting: [{command: [sh, -c, 'echo "$COLTEC_AGENT $COLTEC_CONVERSATION $COLTEC_SINCE" >>`+told+`']}]}`)
			w.start()
			if text := w.readHome(".claude/settings.json") + w.readHome(".codex/config.toml"); strings.Contains(text, "coltecd agents report") != hooks || !strings.Contains(text, "of a person") {
				t.Errorf("the settings: %s", text)
			}
			for _, name := range []string{"codex", "claude"} {
				w.turnAtATerminal(name, told)
			}
			b, _ := os.ReadFile(w.reports())
			for _, report := range []string{"working --agent claude", "waits --agent claude", "waits --agent codex"} {
				if strings.Contains(string(b), "agents report "+report+"\n") != hooks {
					t.Errorf("%s was reported: %q", report, b)
				}
			}
			w.specWith("agents: [{name: claude, hooks: false}, {name: codex, hooks: false}]", "")
			w.coltecd("reload")
			w.until("the settings are as they were", func() bool {
				return w.readHome(".claude/settings.json") == claudeSettings && !strings.Contains(w.readHome(".codex/config.toml"), "coltecd")
			})
			w.stop()
		})
	}
}

// claudeSettings are what a person has in the settings.
const claudeSettings = "{\n  \"hooks\": {\n    \"Stop\": [{\"hooks\": [{\"type\": \"command\", \"command\": \"true of a person\"}]}]\n  },\n  \"env\": {}\n}\n"

// turnAtATerminal holds what status says while an agent has a turn.
func (w *world) turnAtATerminal(name, told string) {
	w.t.Helper()
	reached := w.model.holdBack("the question at a terminal of " + name)
	s := w.sit(name, "the question at a terminal of "+name)
	select {
	case <-reached:
	case <-time.After(patience):
		w.t.Fatalf("%s asks nothing in %s; it draws\n%s\n%s", name, patience, s.text(), kinds(w.model.requests(0)))
	}
	s.comesTo(name, status.AgentWorking)
	w.model.goOn()
	a := s.comesTo(name, status.AgentWaits)
	if a.Conversation == "" || a.Since == nil || a.Talks != 1 {
		w.t.Errorf("%s: %+v", name, a)
	}
	w.until("the hook for it runs", func() bool {
		b, _ := os.ReadFile(told)
		return strings.Count(string(b), name+" "+a.Conversation+" 20") == 1
	})
	s.leave()
	s.comesTo(name, status.AgentDone)
}

func (w *world) readHome(path string) string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.home(), path))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// specWith writes the spec of the machine with other agents, and more behind it.
func (w *world) specWith(agents, more string) {
	w.t.Helper()
	w.spec()
	path := filepath.Join(w.work(), ".devcontainer/workspace-spec.yaml")
	b, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "agents: ") {
			lines[i] = agents
		}
	}
	w.write(path, strings.Join(lines, "\n")+more+"\n")
}
