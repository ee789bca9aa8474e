package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/fleet"
	"github.com/coltec/coltec/pkg/status"
)

// rows are what coltec ls says in JSON on a machine whose host has no Docker.
func (m *machine) rows(args ...string) (rows []fleet.Row) {
	m.t.Helper()
	cmd := exec.Command(coltec, append([]string{"ls", "--json", "--wait", "1m"}, args...)...)
	cmd.Env = append(os.Environ(), "COLTEC_RCLONE="+rclonePath, "PATH=/nonexistent")
	for name, value := range m.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.Output()
	if err != nil {
		m.t.Fatalf("coltec ls: %v\n%s", err, out)
	}
	if err := json.Unmarshal(out, &rows); err != nil {
		m.t.Fatalf("%v: %s", err, out)
	}
	return rows
}

// What happens on one machine is in the list of another, which asks the bucket once: that an
// agent waits for a person, that it goes on, that the workspace was given back.
func TestTheFleetIsToldAtOnce(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a := w.housed("a", func(o *specOptions) {
		o.Env, o.TTL, o.Renew = "one", "3m", "1m"
		o.More = map[string]any{"agents": []any{map[string]any{"name": "mine", "include": []any{".mine"}}}}
	})
	b := w.machine("b")
	b.spec(func(o *specOptions) { o.Env = "two" })
	b.trust()
	a.write("note", "text")
	a.start()
	a.sync()
	sees := func(what string, wanted func(fleet.Row) bool) {
		t.Helper()
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			rows := b.rows(b.dir)
			for _, r := range rows {
				if r.Workspace == "acme/widget/one" && wanted(r) {
					t.Logf("%s: seen after %.1f s", what, time.Since(began).Seconds())
					return
				}
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatalf("%s is not seen: %+v", what, rows)
			}
		}
	}
	sees("it is held", func(r fleet.Row) bool { return r.State == fleet.Elsewhere && r.Needs == "" })
	a.must("agents", "report", "waits", "--agent", "mine")
	sees("an agent waits", func(r fleet.Row) bool {
		return r.Needs == status.NeedAnswer && len(r.Agents) == 1 && r.Agents[0].State == status.AgentWaits
	})
	w.proxy.Reset()
	b.rows(b.dir)
	for _, r := range w.proxy.Requests() {
		if r.Kind != s3test.List && r.Kind != s3test.Put && r.Kind != s3test.Delete { // a writes meanwhile, and deletes its digest of before
			t.Errorf("a look takes %v", requestsOf(w.proxy))
		}
	}
	a.must("agents", "report", "working", "--agent", "mine")
	sees("it goes on", func(r fleet.Row) bool { return r.Needs == "" })
	a.stop()
	sees("it was given back", func(r fleet.Row) bool { return r.State == fleet.Free && len(r.Agents) == 0 })
}
