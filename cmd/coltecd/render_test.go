package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/status"
)

var noon = time.Date(2025, 1, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) *time.Time {
	t := noon.Add(-d)
	return &t
}

func aDocument() status.Document {
	return status.Document{
		Workspace: status.Workspace{Org: "acme", Project: "widget", Env: "dev-a"},
		State:     status.Degraded, PID: 42, Since: ago(90 * time.Minute), Version: "1.0.0",
		Lease: status.Lease{State: status.LeaseWaiting, Epoch: 3, Generation: 17, Holder: &status.Holder{
			Host: "laptop", Container: "4f2a", Since: *ago(2 * time.Hour), LastSeen: ago(30 * time.Second)},
			Cost: status.Cost{RequestsPerHour: 61, BytesPerHour: 2048, IdlePerMonth: 43_200}},
		Units: []status.Unit{
			{Name: "web", Kind: "service", State: "running", Since: ago(5 * time.Minute), PID: 43},
			{Name: "bad", Kind: "service", State: "failed", Since: ago(5 * time.Second), Restarts: 10, LastExit: "exit status 3", NextRetry: ago(-5 * time.Minute)},
		},
		Replicas: []status.Replica{
			{Name: "workspace", Direction: "bidirectional", State: status.ReplicaRestoring, Pending: 2,
				Progress: &status.Progress{Bytes: 50, TotalBytes: 200, ETASeconds: 61}, Cost: status.Cost{RequestsPerHour: 13, BytesPerHour: 3 << 20}},
			{Name: "agents", Direction: "push-only", State: status.ReplicaRetrying, LastSync: ago(49 * time.Hour),
				NextRun: ago(-10 * time.Second), LastError: "cannot push:\n\x1b[31mtimeout"},
		},
		Agents: []status.Agent{
			{Name: "claude", State: status.AgentWorking, Talks: 2, LastTurn: ago(5 * time.Minute), Resume: []string{"claude", "--continue"}},
			{Name: "codex", State: status.AgentNone, Resume: []string{"codex", "resume", "--last"}},
		},
		Attention: []string{"do this"},
	}
}

func TestDocumentForPeople(t *testing.T) {
	r := renderer{now: func() time.Time { return noon }}
	want := `acme/widget/dev-a  degraded  pid 42, up 1h30m, coltecd 1.0.0
lease waiting  epoch 3, generation 17  held by laptop (4f2a) for 2h00m, last seen 30s ago
cost 74 requests and 3.0 MiB within the last hour, idle about 43200 requests a month

UNIT  KIND     STATE    FOR    PID  RESTARTS  NEXT      LAST ERROR
web   service  running  5m00s  43   0         -         -
bad   service  failed   5s     -    10        in 5m00s  exit status 3

REPLICA    DIRECTION      STATE                      LAST SYNC  PENDING  CONFLICTS  LAST HOUR        NEXT    LAST ERROR
workspace  bidirectional  restoring 25%, 1m01s left  never      2        0          13 req, 3.0 MiB  -       -
agents     push-only      retrying                   2d ago     0        0          -                in 10s  cannot push: ?[31mtimeout

agents
  claude: 2 conversations, last turn 11:55, working: claude --continue

attention
  - do this
`
	if diff := cmp.Diff(want, r.document(aDocument())); diff != "" {
		t.Error(diff)
	}
}

func TestNetworkForPeople(t *testing.T) {
	expiry := noon.Add(48 * time.Hour)
	n := &status.Network{
		State: status.NetworkRunning, Name: "dev-a.tail.test", Addresses: []string{"100.64.0.1", "fd7a::1"},
		Proxy: "localhost:1055", Socket: "/run/c/ts.sock", Health: []string{"no relay\x1b[31m"}, KeyExpiry: &expiry,
	}
	want := "running  dev-a.tail.test  100.64.0.1, fd7a::1  no relay?[31m  proxy localhost:1055  key expires in 2d"
	if got := (renderer{now: func() time.Time { return noon }}).network(n); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// With colours it is the same text: the columns stay where they are.
func TestColoursDoNotMoveColumns(t *testing.T) {
	now := func() time.Time { return noon }
	colored := renderer{color: true, now: now}.document(aDocument())
	for _, code := range []string{good, busy, warn, bad, dim, bold} {
		colored = strings.ReplaceAll(colored, "\x1b["+code+"m", "")
	}
	colored = strings.ReplaceAll(colored, "\x1b[0m", "")
	if diff := cmp.Diff(renderer{now: now}.document(aDocument()), colored); diff != "" {
		t.Error(diff)
	}
}

func TestEveryStateHasAColour(t *testing.T) {
	for _, s := range []string{
		"waiting", "starting", "running", "ready", "stopping", "killing", "backoff", "exited", "failed", "blocked", "paused",
		"degraded", "disabled", "stopped", "held", "fenced", "best_effort", "none", "offline", "joining", "restoring", "synced", "syncing", "retrying",
	} {
		if colorOf[s] == "" {
			t.Errorf("state %q has no colour", s)
		}
	}
}
