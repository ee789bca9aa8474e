package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/status"
)

// agentAt is the state of an agent, "" for one that status does not list.
func (m *machine) agentAt(name string) status.AgentState {
	m.t.Helper()
	for _, a := range m.status().Agents {
		if a.Name == name {
			return a.State
		}
	}
	return ""
}

// turnLine is a line of a conversation of Claude Code in the machine's folder.
func (m *machine) turnLine(role, reason string) string {
	return fmt.Sprintf(`{"type":%q,"message":{"role":%[1]q,"stop_reason":%q},"cwd":%q,"timestamp":%q}`+"\n",
		role, reason, m.dir, time.Now().UTC().Format(time.RFC3339Nano))
}

// A stop in the middle of a turn waits until it has ended, and the next machine has the answer
// and says how to go on; one that does not end is carried as it is.
func TestAStopLetsATurnEnd(t *testing.T) {
	sample.Long(t)
	for name, ends := range map[string]bool{"it ends": true, "it does not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stopInATurn(t, ends)
		})
	}
}

func stopInATurn(t *testing.T, ends bool) {
	w := newWorld(t)
	const talk = ".claude/projects/-w/1.jsonl"
	agent := func(o *specOptions) { o.More = map[string]any{"agents": []any{"claude"}} }
	a, b := w.housed("a", agent), w.housed("b", agent)
	text := a.turnLine("user", "")
	a.atHome(talk, text)
	a.start()
	eventually(t, "claude works", func() error {
		if is := a.agentAt("claude"); is != status.AgentWorking {
			return fmt.Errorf("it is %q", is)
		}
		return nil
	})
	stop := a.command(t.Context(), "stop", "--timeout", "30s")
	if err := stop.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stop has begun", func() error {
		if !strings.Contains(a.log(), "msg=stopping") {
			return errors.New(a.log())
		}
		return nil
	})
	said := "agents had not ended their turn"
	if ends {
		said = "agents have ended their turn"
		text += a.turnLine("assistant", "end_turn")
		a.atHome(talk, text)
	}
	if err := stop.Wait(); err != nil {
		t.Fatal(err)
	}
	if log := a.log(); !strings.Contains(log, said) {
		t.Errorf("the log does not say %q:\n%s", said, log)
	}
	b.start()
	b.has(talk, text)
	b.stop()
}
