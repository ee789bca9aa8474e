package agents

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Real agents have the tools of coltecd mcp: one takes a checkpoint before it works, and goes back to
// that. Its conversation goes on with what the tools said, as the rewind is of the folder alone.
func TestAgentRewinds(t *testing.T) {
	w := newWorld(t)
	w.inHome("tools.json", `{"mcpServers": {"coltec": {"command": "`+coltecd+`", "args": ["mcp", "--allow", "rewind"]}}}`)
	w.inHome(".codex/config.toml", w.readHome(".codex/config.toml")+"[mcp_servers.coltec]\ncommand = \""+coltecd+"\"\nargs = [\"mcp\", \"--allow\", \"rewind\"]\ndefault_tools_approval_mode = \"approve\"\n")
	claude := []string{"claude", "--settings", `{"env": {"ENABLE_TOOL_SEARCH": "false"}}`, "--mcp-config", filepath.Join(w.home(), "tools.json"), "--strict-mcp-config", "--allowedTools", "mcp__coltec__checkpoint,mcp__coltec__rewind"}
	notes := filepath.Join(w.work(), "notes.txt")
	w.write(notes, "one")
	w.start()
	for _, a := range usual {
		first, next := a.first, a.next
		if a.name == "claude" {
			first, next = append(claude[:len(claude):len(claude)], "-p"), append(claude[:len(claude):len(claude)], "--continue", "-p")
		}
		name, keep, back := "by-"+a.name, "keep this state, "+a.name, "go back to it, "+a.name
		id := w.model.UseTool(keep, "checkpoint", object{"name": name, "message": "before I work"})
		w.do(a, first, keep).holds(t, id, "before I work", `\"generation\":`)
		w.write(notes, "two")
		w.coltecd("sync")
		id = w.model.UseTool(back, "rewind", object{"at": name, "path": w.work()})
		w.do(a, next, back).holds(t, keep, id, "before-rewind-")
		if b, err := os.ReadFile(w.real(w.at, notes)); string(b) != "one" {
			t.Errorf("%s: the file is %q, %v", a.name, b, err)
		}
		w.do(a, next, "the third question").holds(t, keep, back, id, "before-rewind-")
		if list := w.coltecd("checkpoints"); !strings.Contains(list, name) || !strings.Contains(list, "before-rewind-") {
			t.Errorf("checkpoints: %s", list)
		}
	}
	w.stop()
}

// sdk is where programs of the machine see the folder with the client of the TypeScript SDK.
func (w *world) sdk() string {
	w.t.Helper()
	for i, dir := range agentsDirs {
		if _, err := os.Stat(filepath.Join(dir, "node_modules/@modelcontextprotocol/sdk")); err == nil {
			return w.tools(i)
		}
	}
	w.t.Fatalf("no folder of %q has the client, which scripts/install-agents.sh mcp installs", agentsDirs)
	return ""
}

// A client that nobody here wrote lists the tools, calls each, calls some wrongly and at once, cancels,
// gives up, and leaves in the middle of a call.
func TestForeignClient(t *testing.T) {
	w := newWorld(t)
	folder := w.sdk()
	script, err := os.ReadFile("testdata/client.cjs")
	if err != nil {
		t.Fatal(err)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal(err)
	}
	w.write(filepath.Join(w.home(), "client.cjs"), string(script))
	w.write(filepath.Join(w.work(), "notes.txt"), "one")
	w.start()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := w.command(ctx, []string{node, filepath.Join(w.home(), "client.cjs"), folder, coltecd, "mcp", "--allow-actions"})
	cmd.Env = w.env()
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	type call struct {
		Name, Thrown, Text string
		Failed, Structured bool
	}
	var seen struct {
		Server                 string
		Tools, Faults          []string
		Calls, Together        []call
		Cancelled, Late, After call
		Unknown                int
		Ended                  string
	}
	if err != nil || json.Unmarshal(out, &seen) != nil {
		t.Fatalf("%v\n%s\n%s", err, out, &said)
	}
	if seen.Server != "coltecd" || len(seen.Tools) != 14 || len(seen.Faults) > 0 || said.Len() > 0 {
		t.Errorf("%q %q %q %q", seen.Server, seen.Tools, seen.Faults, &said)
	}
	fails := map[int]string{ // the others are answered
		9: "acme/widget/no", 12: "nothing", 13: "nothing", 14: "checkpoint needs name", 15: "5.5", 16: `takes no "remove"`,
	}
	for i, c := range seen.Calls {
		part, failed := fails[i]
		switch {
		case c.Name == "no_such_tool":
			if c.Thrown != "-32602" {
				t.Errorf("%+v", c)
			}
		case c.Thrown != "" || !c.Structured || c.Failed != failed || !strings.Contains(c.Text, part):
			t.Errorf("%d: %+v", i, c)
		}
		if !slices.Contains(append(seen.Tools, "no_such_tool"), c.Name) {
			t.Errorf("%s is not listed", c.Name)
		}
	}
	for _, c := range append(seen.Together, seen.After) {
		if c.Thrown != "" || c.Failed {
			t.Errorf("%+v", c)
		}
	}
	if seen.Cancelled.Thrown == "" || seen.Late.Thrown != "-32001" || seen.Unknown != -32601 || seen.Ended != "code 0, signal null" {
		t.Errorf("%+v", seen)
	}
	w.stop()
}

// An agent that gives up on a tool tells its model so, and has the verb interrupted, although it was told
// all the time that it goes on: the bounds are the agents' own.
func TestAgentGivesUp(t *testing.T) {
	w := newWorld(t)
	bin := filepath.Join(w.home(), "bin")
	server, err := os.ReadFile(filepath.Join(filepath.Dir(coltecd), "coltec-mcp"))
	if err != nil {
		t.Fatal(err)
	}
	w.write(filepath.Join(bin, "coltec-mcp"), string(server))
	w.write(filepath.Join(bin, "coltecd"), `#!/bin/sh
trap 'echo interrupted >>`+w.home()+`/told; kill $!; exit 130' INT
while :; do echo still there >&2; sleep 0.1 & wait $!; done
`)
	for _, name := range []string{"coltec-mcp", "coltecd"} {
		if err := os.Chmod(w.real(w.at, filepath.Join(bin, name)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.inHome("told", "")
	w.inHome("tools.json", `{"mcpServers": {"coltec": {"command": "`+bin+`/coltec-mcp", "timeout": 10000}}}`) // far more than what the verb takes until it can be interrupted
	w.inHome(".codex/config.toml", w.readHome(".codex/config.toml")+"[mcp_servers.coltec]\ncommand = \""+bin+"/coltec-mcp\"\ntool_timeout_sec = 10\ndefault_tools_approval_mode = \"approve\"\n")
	for i, a := range usual {
		argv := a.first
		if a.name == "claude" {
			argv = []string{"claude", "--settings", `{"env": {"ENABLE_TOOL_SEARCH": "false"}}`, "--mcp-config", filepath.Join(w.home(), "tools.json"), "--strict-mcp-config", "--allowedTools", "mcp__coltec__checkpoint", "-p"}
		}
		prompt := "keep this state, " + a.name
		id := w.model.UseTool(prompt, "checkpoint", object{"name": "by-" + a.name})
		w.do(a, argv, prompt).holds(t, id, "timed out")
		w.until("the verb is interrupted", func() bool {
			return w.readHome("told") == strings.Repeat("interrupted\n", i+1)
		})
	}
}
