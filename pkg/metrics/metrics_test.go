package metrics

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/status"
)

var update = flag.Bool("update", false, "write the generated document anew")

// full is a document in which every metric has a sample.
func full() status.Document {
	at := time.UnixMilli(1_700_000_000_250)
	return status.Document{
		Workspace: status.Workspace{Org: "acme", Project: "widget", Env: "dev"}, State: status.Degraded, PID: 7, Since: &at, Version: "v1",
		Lease:   status.Lease{State: status.LeaseHeld, Epoch: 3, Generation: 12, Cost: status.Cost{Requests: 40, Errors: 1}},
		Units:   []status.Unit{{Name: "web", Kind: "service", State: "running", Restarts: 2}},
		Network: &status.Network{State: status.NetworkRunning},
		Agents:  []status.Agent{{Name: "claude", State: status.AgentWaits, LastTurn: &at}},
		Replicas: []status.Replica{{
			Name: "code", State: status.ReplicaIncomplete, Pending: 2, Conflicts: 1, Unplaced: []string{"x"}, Files: 9, Bytes: 900, LastSync: &at, LagSeconds: 1.5,
			OnlyHere: []account.Part{{Reason: account.Moving, Count: 2, Bytes: 20}},
			Cost:     status.Cost{IdlePerMonth: 30, Requests: 5, Sent: 600, Received: 700, Errors: 4},
		}},
		Attention: []string{"one", "two"},
	}
}

// zeros are samples of states that are not the state.
var zeros = regexp.MustCompile(`(?m)^coltec_(\w+_)?state\{.*\} 0\n`)

const fullText = `# HELP coltec_up 1 while coltecd supervises the workspace, 0 otherwise.
# TYPE coltec_up gauge
coltec_up{workspace="acme/widget/dev"} 1
`

func TestDocument(t *testing.T) {
	text := string(Document(Prometheus, full()))
	if !strings.HasPrefix(text, fullText) {
		t.Errorf("%s", text)
	}
	if n := strings.Count(text, `coltec_replica_state{workspace="acme/widget/dev",replica="code",state=`); n != len(replicaStates) {
		t.Errorf("%d states of a replica, want %d", n, len(replicaStates))
	}
	var got []string
	for line := range strings.Lines(zeros.ReplaceAllString(text, "")) {
		if !strings.HasPrefix(line, "#") {
			got = append(got, strings.TrimSpace(strings.ReplaceAll(line, `workspace="acme/widget/dev"`, "W")))
		}
	}
	want := strings.Split(strings.TrimSpace(`
coltec_up{W} 1
coltec_build_info{W,version="v1"} 1
coltec_state{W,state="degraded"} 1
coltec_start_time_seconds{W} 1.70000000025e+09
coltec_attention{W} 2
coltec_lease_state{W,state="held"} 1
coltec_lease_epoch{W} 3
coltec_generation{W} 12
coltec_head_requests_total{W} 40
coltec_head_errors_total{W} 1
coltec_network_state{W,state="running"} 1
coltec_agent_state{W,agent="claude",state="waits for you"} 1
coltec_agent_last_turn_timestamp_seconds{W,agent="claude"} 1.70000000025e+09
coltec_unit_state{W,unit="web",kind="service",state="running"} 1
coltec_unit_restarts_total{W,unit="web",kind="service"} 2
coltec_replica_state{W,replica="code",state="incomplete"} 1
coltec_replica_last_save_timestamp_seconds{W,replica="code"} 1.70000000025e+09
coltec_replica_lag_seconds{W,replica="code"} 1.5
coltec_replica_pending_paths{W,replica="code"} 2
coltec_replica_only_here_paths{W,replica="code",reason="moving"} 2
coltec_replica_only_here_bytes{W,replica="code",reason="moving"} 20
coltec_replica_conflicts{W,replica="code"} 1
coltec_replica_unplaced_paths{W,replica="code"} 1
coltec_replica_files{W,replica="code"} 9
coltec_replica_size_bytes{W,replica="code"} 900
coltec_replica_requests_total{W,replica="code"} 5
coltec_replica_sent_bytes_total{W,replica="code"} 600
coltec_replica_received_bytes_total{W,replica="code"} 700
coltec_replica_errors_total{W,replica="code"} 4
coltec_replica_idle_requests{W,replica="code"} 30`), "\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(want) != len(Families()) {
		t.Errorf("%d metrics have a sample, want each of %d", len(want), len(Families()))
	}
}

// A workspace without coltecd says that it is down, and nothing that nobody knows.
func TestDocumentOfNone(t *testing.T) {
	text := string(Document(Prometheus, status.Document{Workspace: full().Workspace, State: status.Stopped, Version: "v1", Lease: status.Lease{State: status.LeaseNone}}))
	if !strings.Contains(text, `coltec_up{workspace="acme/widget/dev"} 0`) || strings.Contains(text, "lease") || strings.Contains(text, "replica") {
		t.Error(text)
	}
}

// OpenMetrics names the family of a counter without _total, and ends in # EOF.
func TestOpenMetrics(t *testing.T) {
	text := string(Document(OpenMetrics, full()))
	for _, want := range []string{"\n# TYPE coltec_head_requests counter\ncoltec_head_requests_total{", "\n# EOF\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(string(Document(Prometheus, full())), "EOF") {
		t.Error("the other format has an end too")
	}
	for header, want := range map[string]Format{
		"": Prometheus, "*/*": Prometheus, "text/plain;version=0.0.4": Prometheus,
		"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1": OpenMetrics,
	} {
		if got := Accepted(header); got != want {
			t.Errorf("%q: %v", header, got)
		}
	}
}

// A label may be what another machine or program wrote: it ends neither itself nor its line,
// and what comes twice is one sample, as a text with both would be refused whole.
func TestLabels(t *testing.T) {
	long := strings.Repeat("é", labelMost)
	for in, want := range map[string]string{
		`a"b\c`: `a\"b\\c`, "a\nb": "a�b", "\x1b[2J": "�[2J", "\xff": "�", "a\u202eb": "a�b", "é": "é", "": "",
		long: strings.Repeat("é", labelMost/2) + "…", "x" + long: "x" + strings.Repeat("é", labelMost/2-1) + "�…",
	} {
		if got := labelValue(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	doc := full()
	doc.Units = append(doc.Units, doc.Units[0])
	if text := string(Document(Prometheus, doc)); strings.Count(text, "coltec_unit_restarts_total{") != 1 {
		t.Error(text)
	}
}

// A state of a later version is told.
func TestUnknownState(t *testing.T) {
	doc := full()
	doc.Lease.State = "lent"
	text := string(Document(Prometheus, doc))
	if !strings.Contains(text, `state="lent"} 1`) || !strings.Contains(text, `coltec_lease_state{workspace="acme/widget/dev",state="held"} 0`) {
		t.Error(text)
	}
}

func TestFleet(t *testing.T) {
	at, cost := time.Unix(1000, 0), 0.25
	text := string(Fleet([]Row{
		{Workspace: "a/b/c", Folder: "/w", Where: "here", State: "running", Needs: status.NeedAnswer, CostMonth: &cost, Since: &at, LastSeen: &at, Lag: 2, Attention: 1, Agents: []status.Agent{{Name: "codex", State: status.AgentDone}}},
		{Workspace: "a/b/d", Where: "laptop", State: "elsewhere"},
	}))
	for _, want := range []string{
		`coltec_workspace_info{workspace="a/b/c",folder="/w",where="here"} 1`, `coltec_workspace_state{workspace="a/b/d",folder="",state="elsewhere"} 1`,
		`coltec_workspace_since_timestamp_seconds{workspace="a/b/c",folder="/w"} 1000`, `coltec_workspace_last_seen_timestamp_seconds{workspace="a/b/c",folder="/w"} 1000`,
		`coltec_workspace_lag_seconds{workspace="a/b/c",folder="/w"} 2`, `coltec_workspace_attention{workspace="a/b/c",folder="/w"} 1`,
		`coltec_workspace_agent_state{workspace="a/b/c",folder="/w",agent="codex",state="done"} 1`,
		`coltec_workspace_needs{workspace="a/b/c",folder="/w",need="asks"} 1`, `coltec_workspace_cost_month_dollars{workspace="a/b/c",folder="/w"} 0.25`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	for _, unknown := range []string{`coltec_workspace_needs{workspace="a/b/d"`, `coltec_workspace_cost_month_dollars{workspace="a/b/d"`} {
		if strings.Contains(text, unknown) {
			t.Errorf("%s is told, and nobody knows it", unknown)
		}
	}
	if len(Fleet(nil)) != 0 {
		t.Error("nothing has metrics")
	}
}

// names are what metrics may be called: https://prometheus.io/docs/practices/naming/
func TestNames(t *testing.T) {
	for _, f := range slices.Concat(Families(), FleetFamilies()) {
		if !regexp.MustCompile(`^coltec_[a-z_]+$`).MatchString(f.Name) || strings.HasSuffix(f.Name, "_total") != (f.Kind == Counter) || !strings.HasSuffix(f.Help, ".") {
			t.Errorf("%s, a %s: %s", f.Name, f.Kind, f.Help)
		}
	}
}

// FuzzDocument: whatever a label is, each line of the text is a comment or one sample.
func FuzzDocument(f *testing.F) {
	line := regexp.MustCompile(`^(# (HELP|TYPE) coltec_\w+ .*|coltec_\w+\{(\w+="(\\[\\"]|[^"\\])*",?)*\} \S+)$`)
	f.Add(`a"b\`, "\n# EOF\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		doc := full()
		doc.Workspace.Org, doc.Units[0].Name, doc.Replicas[0].Name, doc.Version = a, b, a+b, b+a
		for text := range strings.SplitSeq(strings.TrimSuffix(string(Document(Prometheus, doc)), "\n"), "\n") {
			if !line.MatchString(text) {
				t.Errorf("%q", text)
			}
		}
	})
}

const page = "../../docs/metrics.md"

// TestMetricsDoc holds the tables of docs/metrics.md to the metrics. Run it with -update to
// write them anew.
func TestMetricsDoc(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := between(t, between(t, string(text), "workspace", markdown(Families())), "fleet", markdown(FleetFamilies()))
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("docs/metrics.md is not what there is; run: go test ./pkg/metrics -run MetricsDoc -update\n%s", diff)
	}
}

// markdown are families as a table of Markdown.
func markdown(families []*Family) string {
	var b strings.Builder
	b.WriteString("| metric | kind | labels | meaning |\n|---|---|---|---|\n")
	for _, f := range families {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, f.Kind, strings.Join(f.Labels, ", "), f.Help)
	}
	return b.String()
}

// between puts a table between its marks.
func between(t *testing.T, text, name, table string) string {
	t.Helper()
	begin, end := "<!-- "+name+" -->\n\n", "\n<!-- end of "+name+" -->"
	before, rest, ok := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no marks for %s", page, name)
	}
	return before + begin + table + end + after
}

// TestDashboard: each metric of the dashboard and of the page's alerts exists, with the
// labels that are asked for.
func TestDashboard(t *testing.T) {
	labels := map[string][]string{}
	for _, f := range slices.Concat(Families(), FleetFamilies()) {
		labels[f.Name] = f.Labels
	}
	metric := regexp.MustCompile(`\b(coltec_\w+)(\{[^}]*\})?`)
	label := regexp.MustCompile(`(\w+)(?:=~|!=|=)`)
	for _, file := range []string{"../../docs/grafana/coltec.json", page} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, ".json") && !json.Valid(text) {
			t.Errorf("%s is no JSON", file)
		}
		found := metric.FindAllStringSubmatch(strings.ReplaceAll(string(text), `\"`, `"`), -1)
		if len(found) < 10 {
			t.Errorf("%s: %d metrics", file, len(found))
		}
		for _, m := range found {
			known, ok := labels[m[1]]
			if !ok {
				t.Errorf("%s: there is no metric %s", file, m[1])
			}
			for _, l := range label.FindAllStringSubmatch(m[2], -1) {
				if ok && !slices.Contains(known, l[1]) {
					t.Errorf("%s: %s has no label %s", file, m[1], l[1])
				}
			}
		}
	}
}
