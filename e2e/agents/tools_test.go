package agents

import (
	"os"
	"path/filepath"
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
