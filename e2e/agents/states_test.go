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

	"github.com/coltec/coltec/internal/modeltest"
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
	a, _ := pick(argv[0])
	tools, err := a.find()
	if err != nil {
		w.t.Fatal(err)
	}
	s.cmd = w.command(context.Background(), append([]string{filepath.Join(w.tools(tools), "node_modules/.bin", argv[0])}, argv[1:]...))
	s.cmd.Env = append(w.agentEnv(), "TERM="+terminal.Name, w.withReports())
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = program, program, program
	s.cmd.SysProcAttr.Setsid, s.cmd.SysProcAttr.Setctty = true, true
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

// asked has Claude Code not ask what it asks once on each machine: what it looks like, and
// whether the folder and the key are meant.
func (w *world) asked() {
	w.t.Helper()
	w.inHome(".claude.json", `{"hasCompletedOnboarding": true, "theme": "dark", "projects": {"`+w.work()+
		`": {"hasTrustDialogAccepted": true, "hasCompletedProjectOnboarding": true}}, "customApiKeyResponses": {"approved": ["`+secret[len(secret)-20:]+`"]}}`)
}

// withReports is a PATH on which coltecd is too, as in a container: one that notes how it is
// called.
func (w *world) withReports() string {
	w.t.Helper()
	dir := filepath.Join(w.runtime(), "bin")
	w.write(filepath.Join(dir, "coltecd"), "#!/bin/sh\necho \"$*\" >>"+w.reports()+"\nexec "+coltecd+" \"$@\"\n")
	if err := os.Chmod(w.real(w.at, filepath.Join(dir, "coltecd")), 0o755); err != nil {
		w.t.Fatal(err)
	}
	path, _ := strings.CutPrefix(w.env()[0], "PATH=")
	return "PATH=" + dir + ":" + path
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

// document is the status.
func (w *world) document() (doc status.Document) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := w.verb(ctx, "status", "--json")
	var said bytes.Buffer
	cmd.Stderr = &said
	out, failed := cmd.Output() // it fails where something needs attention, too
	if err := json.Unmarshal(out, &doc); err != nil {
		w.t.Fatalf("status: %v (%v): %s %s", err, failed, out, &said)
	}
	return doc
}

// agent is what status says of one.
func (w *world) agent(name string) status.Agent {
	w.t.Helper()
	for _, a := range w.document().Agents {
		if a.Name == name {
			return a
		}
	}
	w.t.Fatalf("%s is not in the status", name)
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
			s.w.t.Fatalf("%s is %+v, and not %s, in %s; it draws\n%s\n%s\n%q run", name, a, state, patience, s.text(), kinds(s.w.model.Asked(0)), s.w.commandLines())
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
			w.asked()
			w.inHome(".codex/config.toml", w.readHome(".codex/config.toml")+"[projects.\""+w.work()+"\"]\ntrust_level = \"trusted\"\n")
			w.specWith(fmt.Sprintf("agents: [{name: claude, hooks: %v}, {name: codex, hooks: %v}]", hooks, hooks),
				`hooks: {on_agent_waiting: [{command: [sh, -c, 'echo "$COLTEC_AGENT $COLTEC_CONVERSATION $COLTEC_SINCE" >>`+told+`']}]}`)
			w.start()
			if text := w.readHome(".claude/settings.json") + w.readHome(".codex/config.toml"); strings.Contains(text, "coltecd agents report") != hooks || !strings.Contains(text, "of a person") {
				t.Errorf("the settings: %s", text)
			}
			for _, name := range []string{"codex", "claude"} {
				w.turnAtATerminal(name, told, hooks)
			}
			b, _ := os.ReadFile(w.real(w.at, w.reports()))
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
func (w *world) turnAtATerminal(name, told string, hooks bool) {
	w.t.Helper()
	reached := w.model.HoldBack("the question at a terminal of " + name)
	s := w.sit(name, "the question at a terminal of "+name)
	select {
	case <-reached:
	case <-time.After(patience):
		w.t.Fatalf("%s asks nothing in %s; it draws\n%s\n%s", name, patience, s.text(), kinds(w.model.Asked(0)))
	}
	s.comesTo(name, status.AgentWorking)
	w.model.GoOn()
	a := s.comesTo(name, status.AgentWaits)
	w.until("its conversation is told too", func() bool { // a hook may say it before the next look at conversations
		a = w.agent(name)
		return a.State == status.AgentWaits && a.Conversation != "" && a.Since != nil && a.Talks == 1
	})
	w.until("its hook has said it", func() bool { // or has not begun when the conversation does
		b, _ := os.ReadFile(w.real(w.at, w.reports()))
		return !hooks || strings.Contains(string(b), "agents report waits --agent "+name+"\n")
	})
	w.until("the hook for it runs", func() bool {
		b, _ := os.ReadFile(w.real(w.at, told))
		return strings.Count(string(b), name+" "+a.Conversation+" 20") == 1
	})
	s.leave()
	s.comesTo(name, status.AgentDone)
}

func (w *world) readHome(path string) string {
	w.t.Helper()
	b, err := os.ReadFile(w.real(w.at, filepath.Join(w.home(), path)))
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
	b, err := os.ReadFile(w.real(w.at, path))
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

// Agents that coltecd runs begin a conversation where there is none, go on with the last one on
// another machine, once it is there, and are started again when they end.
func TestResume(t *testing.T) {
	w := newWorld(t)
	const agents = "agents: [{name: claude, resume: always}, {name: codex, resume: always}]"
	w.inHome(".codex/config.toml", w.readHome(".codex/config.toml")+"[projects.\""+w.work()+"\"]\ntrust_level = \"trusted\"\n")
	said := map[string]string{}
	for _, at := range []string{"a", "b"} {
		w.enter(at)
		w.asked()
		w.specWith(agents, "")
		w.startWith(w.agentEnv()...)
		for _, a := range usual {
			if said[a.name] != "" {
				w.draws(a.name, said[a.name], 1)
				continue
			}
			w.draws(a.name, "", 1) // it has begun
			s := w.sit(a.name, "the question to "+a.name)
			w.until(a.name+" answers", func() bool { return modeltest.Nonce(s.text()) != "" })
			s.comesTo(a.name, status.AgentWaits)
			said[a.name] = modeltest.Nonce(s.text())
			s.leave()
		}
		if at == "b" {
			for _, a := range usual {
				w.endUnit(a.name)
				w.draws(a.name, said[a.name], 2)
			}
		}
		w.stop()
	}
}

// startWith starts coltecd with more in its environment.
func (w *world) startWith(more ...string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := w.verb(ctx, "start", "--wait")
	cmd.Env = append(cmd.Env, more...)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("%s: %v\n%s", w.at, err, out)
	}
}

// draws waits until an agent that coltecd runs has drawn a text so often; "": anything.
func (w *world) draws(name, text string, times int) {
	w.t.Helper()
	tick, deadline := time.NewTicker(200*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for {
		b, _ := os.ReadFile(w.real(w.at, filepath.Join(w.work(), ".devcontainer/logs", "agent-"+name+".log")))
		if n := strings.Count(string(b), text); text == "" && len(b) > 0 || text != "" && n >= times {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("%s on %s draws %q not %d times:\n%s\n%+v", name, w.at, text, times, b, w.document().Units)
		}
	}
}

// endUnit ends an agent that coltecd runs, and waits until it is started again.
func (w *world) endUnit(name string) {
	w.t.Helper()
	unit := func() (u status.Unit) {
		for _, u = range w.document().Units {
			if u.Name == "agent-"+name {
				return u
			}
		}
		w.t.Fatalf("agent-%s is no unit", name)
		return u
	}
	was := unit()
	if err := syscall.Kill(was.PID, syscall.SIGKILL); err != nil {
		w.t.Fatal(err)
	}
	w.until(name+" is started again", func() bool { is := unit(); return is.PID != 0 && is.PID != was.PID && is.Restarts > was.Restarts })
}
