//go:build demo

package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/fleet"
	"github.com/coltec/coltec/pkg/order"
	"github.com/coltec/coltec/pkg/status"
)

func TestDemo(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("N"))
	states := []string{"running", "degraded", "silent", "down", "new", "elsewhere", "free", "lost", "unreadable", "disabled"}
	now := time.Now()
	ago := func(d time.Duration) *time.Time { x := now.Add(-d); return &x }
	var list []fleet.Row
	for i := range n {
		r := fleet.Row{Workspace: fmt.Sprintf("acme/widget/dev-%02d", i), State: states[i%len(states)], Where: "here", Attention: []string{}, LastSeen: ago(time.Duration(i) * time.Minute), LastSave: ago(time.Duration(i*7) * time.Second)}
		switch r.State {
		case "elsewhere", "lost":
			r.Where = "laptop"
		case "free", "unreadable":
			r.Where = ""
		default:
			r.Folder, r.Container = fmt.Sprintf("/home/u/widget-dev-%02d", i), "abcdef012345"
		}
		if i%7 == 1 {
			r.Needs, r.Attention = "asks", []string{"claude waits for you since 12:03: claude --continue", "workspace: 12 changes are not in the bucket"}
			r.Agents = []status.Agent{{Name: "claude", State: status.AgentWaits, Since: ago(5 * time.Minute)}, {Name: "codex", State: status.AgentWorking, Since: ago(time.Minute)}}
		}
		if i == 8 {
			r.Needs, r.Attention = "conflicts", []string{"<img src=x onerror=alert(1)> \x1b[31mred\u202e evil", strings.Repeat("verylongwordwithoutanybreak", 12)}
			r.Conflicts = 3
		}
		list = append(list, r)
	}
	l, err := net.Listen("tcp", "127.0.0.1:7555")
	if err != nil {
		t.Fatal(err)
	}
	carry := func(ctx context.Context, argv []string, say func(Line)) (int, error) {
		j := func(v any) { b, _ := json.Marshal(v); say(Line{Text: string(b)}) }
		switch argv[0] {
		case "history":
			var g []any
			for i := range 60 {
				g = append(g, map[string]any{"generation": i + 1, "time": now.Add(-time.Duration((60-i)*(60-i)) * time.Minute), "replicas": map[string]any{"workspace": map[string]any{"files": 1200 + i, "bytes": 34567890 + i*10000}}})
			}
			j(g)
		case "checkpoints":
			j([]any{map[string]any{"name": "before-upgrade", "generation": 12, "made": now.Add(-time.Hour), "text": "before <b>npm</b> audit fix", "replicas": map[string]any{"w": map[string]any{"bytes": 1234567}}}})
		case "status":
			j(map[string]any{"state": "running", "lease": map[string]any{"cost": map[string]any{"requests": 12}}, "replicas": []any{map[string]any{"name": "workspace", "state": "synced", "files": 1234, "bytes": 34567890, "last_sync": now, "cost": map[string]any{"sent_bytes": time.Now().UnixNano() / 1e5 % 1e8, "requests": 30}}}, "units": []any{map[string]any{"name": "web", "kind": "service", "state": "running", "since": now, "restarts": 1}}})
		case "conflicts":
			k := map[string]any{"replica": "workspace", "id": "k1", "path": "src/main.go", "time": now, "host": "laptop", "size": 2345, "here": true}
			if strings.Contains(strings.Join(argv, " "), "show") {
				k["diff"] = "--- a\n+++ b\n@@ -1,5 +1,5 @@\n package main\n \n-import \"fmt\"\n+import \"log\"\n+import \"os\"\n \n func main() {\n"
				j(k)
			} else {
				j([]any{k})
			}
		case "compare":
			j(map[string]any{"replicas": map[string]any{"workspace": []any{map[string]any{"path": "a.txt", "what": "changed", "kind": "file", "before": 10, "after": 2000, "diff": "@@ -1,2 +1,2 @@\n-a\n+b\n c\n"}, map[string]any{"path": "new.txt", "what": "added", "kind": "file", "after": 20}}}})
		case "logs":
			for i := range 100 {
				say(Line{Text: fmt.Sprintf("2026-11-30T12:00:%02d web | GET / 200 <script>x</script>", i%60)})
			}
		default:
			say(Line{Text: "pushing 3 files …", Err: true})
			select {
			case <-time.After(2 * time.Second):
			case <-ctx.Done():
			}
			say(Line{Text: "in the bucket"})
		}
		return 0, nil
	}
	c, err := New(t.Context(), Settings{Version: "demo", Token: "demo", Port: 7555, Actions: os.Getenv("RO") == "", Orders: order.All(), Carry: carry,
		Follow: func(ctx context.Context, tell func(View)) {
			tell(View{Rows: list, Notes: []string{"note: x is not shown"}[:1]})
			<-ctx.Done()
		}})
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: c.Handler()}
	go s.Serve(l)
	<-time.After(time.Hour)
}
