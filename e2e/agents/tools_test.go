package agents

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A real agent has the tools of coltecd mcp: it takes a checkpoint before it works, and goes back to
// that. Its conversation goes on, with what the tools said.
func TestAgentRewinds(t *testing.T) {
	w := newWorld(t)
	claude, _ := pick("claude")
	w.inHome("tools.json", `{"mcpServers": {"coltec": {"command": "`+coltecd+`", "args": ["mcp", "--allow", "rewind"]}}}`)
	turn := func(more ...string) []string {
		return append([]string{"claude", "--settings", `{"env": {"ENABLE_TOOL_SEARCH": "false"}}`, "--mcp-config", filepath.Join(w.home(), "tools.json"), "--strict-mcp-config", "--allowedTools", "mcp__coltec__checkpoint,mcp__coltec__rewind"}, more...)
	}
	notes := filepath.Join(w.work(), "notes.txt")
	w.write(notes, "one")
	w.start()
	w.model.UseTool("keep this state", "mcp__coltec__checkpoint", object{"name": "by-agent", "message": "before I work"})
	w.do(claude, turn("-p"), "keep this state").holds(t, "tool_result", "toolu_of_the_model_0", "before I work", `\"generation\":`)
	w.write(notes, "two")
	w.coltecd("sync")
	w.model.UseTool("go back to it", "mcp__coltec__rewind", object{"at": "by-agent", "path": w.work()})
	w.do(claude, turn("--continue", "-p"), "go back to it").holds(t, "keep this state", "tool_result", "toolu_of_the_model_1", "before-rewind-")
	if b, err := os.ReadFile(w.real(w.at, notes)); string(b) != "one" {
		t.Errorf("the file is %q, %v", b, err)
	}
	if list := w.coltecd("checkpoints"); !strings.Contains(list, "by-agent") || !strings.Contains(list, "before I work") || !strings.Contains(list, "before-rewind-") {
		t.Errorf("checkpoints: %s", list)
	}
	w.stop()
}
