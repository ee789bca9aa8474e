package daemon

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/porttest"
	"github.com/coltec/coltec/pkg/metrics"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/supervisor"
)

// scrape asks for metrics at an address by the name of a host.
func scrape(t *testing.T, at, host, path string) (code int, body string, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+at+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func newPort() *metricsPort {
	return &metricsPort{log: slog.New(slog.DiscardHandler), look: func() status.Document {
		return status.Document{State: status.Running, Workspace: status.Workspace{Org: "a", Project: "b", Env: "c"}}
	}}
}

// The port follows the spec, and answers who asked for this machine.
func TestMetricsPort(t *testing.T) {
	m := newPort()
	defer m.set("")
	at := porttest.Free(t)
	m.set(at)
	_, port, _ := net.SplitHostPort(at)
	for host, want := range map[string]int{
		at: 200, "localhost:" + port: 200, "127.1.2.3": 200, "[::1]:9": 200, "[::1]": 200, "LocalHost:" + port: 200,
		"evil.example:" + port: 403, "10.0.0.1:" + port: 403, "localhost.evil.example": 403, "0.0.0.0:" + port: 403,
	} {
		code, body, err := scrape(t, at, host, "/metrics")
		if err != nil || code != want || (code == 200) != strings.Contains(body, `coltec_up{workspace="a/b/c"} 1`) {
			t.Errorf("%s: %d, want %d, %v\n%s", host, code, want, err, body)
		}
	}
	if code, _, _ := scrape(t, at, at, "/v1/status"); code != http.StatusNotFound {
		t.Errorf("something else is answered: %d", code)
	}
	next := porttest.Free(t)
	m.set(next)
	if _, _, err := scrape(t, at, at, "/metrics"); err == nil {
		t.Error("the old port answers")
	}
	if code, _, err := scrape(t, next, next, "/metrics"); code != 200 {
		t.Errorf("the new port: %d %v", code, err)
	}
	m.set("")
	if _, _, err := scrape(t, next, next, "/metrics"); err == nil {
		t.Error("it answers without being asked for")
	}
}

// A port that another program has is said, and tried again at a reload.
func TestMetricsPortTaken(t *testing.T) {
	l := porttest.Listen(t)
	at := l.Addr().String()
	m := newPort()
	defer m.set("")
	m.set(at)
	if text := strings.Join(m.attention("coltecd"), "\n"); !strings.Contains(text, at) || !strings.Contains(text, "coltecd reload") {
		t.Errorf("%q", text)
	}
	l.Close()
	m.set(at)
	if code, _, err := scrape(t, at, at, "/metrics"); code != 200 || m.attention("coltecd") != nil {
		t.Errorf("%d %v, %v", code, err, m.attention("coltecd"))
	}
}

// A port that is lost while it was asked for is said, and taken again at a reload.
func TestMetricsPortLost(t *testing.T) {
	l := porttest.Listen(t)
	m := newPort()
	defer m.set("")
	m.at, m.server = l.Addr().String(), &http.Server{Handler: m.handler()}
	l.Close()
	m.serve(m.server, l)
	if text := strings.Join(m.attention("coltecd"), "\n"); !strings.Contains(text, "no metrics are served") {
		t.Errorf("%q", text)
	}
	m.set(m.at)
	if code, _, err := scrape(t, m.at, m.at, "/metrics"); code != 200 || m.attention("coltecd") != nil {
		t.Errorf("%d %v, %v", code, err, m.attention("coltecd"))
	}
}

// Each state that a unit may be in has its sample.
func TestMetricsKnowUnits(t *testing.T) {
	for _, s := range []supervisor.State{
		supervisor.Waiting, supervisor.Starting, supervisor.Running, supervisor.Ready, supervisor.Stopping, supervisor.Killing,
		supervisor.Backoff, supervisor.Exited, supervisor.Failed, supervisor.Blocked, supervisor.Paused,
	} {
		doc := status.Document{Units: []status.Unit{{Name: "web", State: string(s)}}}
		if n := strings.Count(string(metrics.Document(metrics.Prometheus, doc)), "coltec_unit_state{"); n != len(metrics.UnitStates) {
			t.Errorf("%s is not among the %d states, %d samples", s, len(metrics.UnitStates), n)
		}
	}
}
