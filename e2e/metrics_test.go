package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/porttest"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/metrics"
	"github.com/coltec/coltec/pkg/status"
)

// prometheusOf is a program of the Prometheus that make e2e-metrics brought.
func prometheusOf(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("COLTEC_PROMETHEUS")
	if dir == "" {
		t.Skip("make e2e-metrics runs it, with a real Prometheus")
	}
	return filepath.Join(dir, name)
}

// lint has promtool look at a text.
func lint(t *testing.T, promtool, what, text string) {
	t.Helper()
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%s: %v\n%s\n%s", what, err, out, text)
	}
}

// measured is the value of an expression, as a Prometheus has it now; "" for none.
func measured(ctx context.Context, at, expr string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+"/api/v1/query?query="+url.QueryEscape(expr), nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct {
		Status string
		Data   struct{ Result []struct{ Value [2]any } }
	}
	body, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil || answer.Status != "success" {
		return "", fmt.Errorf("%s: %w\n%s", expr, err, body)
	}
	if len(answer.Data.Result) == 0 {
		return "", nil
	}
	return fmt.Sprint(answer.Data.Result[0].Value[1]), nil
}

// A real Prometheus scrapes the port while files change: it understands all of it, the
// counters grow, and a workspace that is stopped is seen to be.
func TestPrometheus(t *testing.T) {
	program, promtool := prometheusOf(t, "prometheus"), prometheusOf(t, "promtool")
	sample.Long(t)
	w := newWorld(t)
	m := w.machine("a")
	target := porttest.Free(t)
	m.spec(func(o *specOptions) {
		o.More = map[string]any{"metrics": map[string]any{"listen": target}}
		o.Services = []map[string]any{{"name": "web", "command": []string{"sleep", "1000"}}}
	})
	m.write("notes.txt", "one")
	m.start()
	m.sync() // what is sent at the beginning is not to come in the middle
	lint(t, promtool, "coltecd metrics", m.must("metrics"))
	now, cost := time.Now(), 0.25
	lint(t, promtool, "coltec ls --prometheus", string(metrics.Fleet([]metrics.Row{{
		Workspace: "a/b/c", State: "running", Needs: status.NeedAnswer, CostMonth: &cost, Since: &now, LastSeen: &now, Agents: []status.Agent{{Name: "codex", State: status.AgentDone}},
	}})))
	at := prometheus(t, program, target)
	const of = `{workspace="acme/widget/dev",replica="workspace"}`
	expect := func(expr, want string) {
		t.Helper()
		eventually(t, expr, func() error {
			if got, err := measured(t.Context(), at, expr); err != nil || got != want {
				return fmt.Errorf("%q, want %q: %w", got, want, err)
			}
			return nil
		})
	}
	expect(`up{job="coltec"}`, "1") // it could parse all of it
	expect(`coltec_up{workspace="acme/widget/dev"}`, "1")
	expect(`coltec_lease_state{state="held"}`, "1")
	expect(`coltec_unit_state{unit="web",state="running"}`, "1")
	expect(`coltec_replica_pending_paths`+of, "0")
	expect(`count({__name__=~"coltec_.*_total"}) >= bool 5`, "1")
	before := m.status()
	sent := replicaIn(t, before, "workspace").Cost.Sent
	expect(`coltec_replica_sent_bytes_total`+of, fmt.Sprint(sent))
	m.write("more.bin", strings.Repeat("x", 100_000))
	m.sync()
	expect(`coltec_generation{workspace="acme/widget/dev"}`, fmt.Sprint(before.Lease.Generation+1))
	expect(fmt.Sprintf(`coltec_replica_sent_bytes_total%s > bool %d`, of, sent), "1")
	expect(`time() - coltec_replica_last_save_timestamp_seconds`+of+` < bool 60`, "1")
	// What was scraped over and over is one series each.
	expect(`max(count by (__name__, workspace, replica, state, unit, kind, reason, version) ({__name__=~"coltec_.*"}))`, "1")
	m.stop()
	lint(t, promtool, "coltecd metrics, stopped", m.must("metrics"))
	expect(`up{job="coltec"}`, "0")
}

// prometheus runs one that scrapes a target each second, until the end of the test, and
// gives its address.
func prometheus(t *testing.T, program, target string) string {
	t.Helper()
	dir, at := t.TempDir(), porttest.Free(t)
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs: [{job_name: coltec, static_configs: [{targets: [%q]}]}]\n", target)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+at)
	said, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = said, said, 10*time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		said.Close()
		if t.Failed() {
			text, _ := os.ReadFile(said.Name())
			t.Logf("Prometheus said:\n%s", firstLines(string(text), 40))
		}
	})
	return at
}
