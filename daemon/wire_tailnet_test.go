package daemon

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/tailnet"
	"github.com/coltec/coltec/supervisor"
)

const networked = `
version: 1
name: dev-a
metadata: {org: acme, project: widget}
networking: {enabled: true}
services: [{name: web, command: [web]}]
`

// programs makes executables that are never run, and returns their directory.
func programs(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestTailnetUnits(t *testing.T) {
	both := programs(t, "tailscale", "tailscaled")
	tests := map[string]struct {
		spec    string
		environ []string
		want    []string // units, with what blocks them
	}{
		"not asked for": {strings.Replace(networked, "true", "false", 1), []string{"PATH=" + both, "TS_AUTHKEY=k"}, nil},
		"well":          {networked, []string{"PATH=" + both, "TS_AUTHKEY=k"}, []string{"tailscaled: ", "tailscale-up: "}},
		"no key":        {networked, []string{"PATH=" + both}, []string{"tailscale-up: COLTEC_TAILSCALE_AUTH_KEY is not set"}},
		"wrong value":   {networked, []string{"PATH=" + both, "TS_AUTHKEY=k", "COLTEC_NET_SSH=maybe"}, []string{`tailscaled: COLTEC_NET_SSH is "maybe", not true or false`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, u := range wiring(t, tt.spec, tt.environ...).tailnet() {
				got = append(got, u.Name+": "+u.Blocked)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestKeyStaysInTheJob: services get the environment without the key, tailscaled too.
func TestKeyStaysInTheJob(t *testing.T) {
	s := wiring(t, networked, "PATH="+programs(t, "tailscale", "tailscaled"), "TAILSCALE_AUTH_KEY=tskey", "TS_AUTHKEY=tskey")
	for _, u := range s.units(noRclone) {
		if all := strings.Join(slices.Concat(u.Argv, u.Env), " "); strings.Contains(all, "tskey") != (u.Name == tailnet.Joiner) || strings.Contains(strings.Join(u.Argv, " "), "tskey") {
			t.Errorf("%s: %s", u.Name, all)
		}
	}
	if got := secretValues(s.spec, s.environ); !slices.Contains(got, "tskey") {
		t.Errorf("logs would show the key: %q", got)
	}
}

// TestKeptNode: the identity of a node is this machine's, and never in the bucket.
func TestKeptNode(t *testing.T) {
	const synced = networked + `
persistence:
  remotes: {here: {bucket: b}}
  sync: [{name: home, path: /home/me}]
`
	tests := map[string]struct {
		spec    string
		environ []string
		dir     string
		why     string // how it begins
	}{
		"home":          {networked, []string{"HOME=/home/me"}, "/home/me/.local/state/coltec/tailnet/acme/widget/dev-a", ""},
		"asked for":     {networked, []string{"HOME=/home/me", "XDG_STATE_HOME=/state"}, "/state/coltec/tailnet/acme/widget/dev-a", ""},
		"nowhere":       {networked, nil, "", "there is no place for the node's identity"},
		"synced":        {synced, []string{"HOME=/home/me"}, "", "the node's identity would lie in /home/me/.local/state/coltec/tailnet/acme/widget/dev-a, which home puts into the bucket"},
		"beside synced": {synced, []string{"HOME=/home/me2"}, "/home/me2/.local/state/coltec/tailnet/acme/widget/dev-a", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if dir, why := wiring(t, tt.spec, tt.environ...).keptNode(); dir != tt.dir || !strings.HasPrefix(why, tt.why) || (why == "") != (tt.why == "") {
				t.Errorf("got %q, %q", dir, why)
			}
		})
	}
}

// TestFindProgram: what lies beside PATH's relative entries, or cannot run, is none.
func TestFindProgram(t *testing.T) {
	dir := programs(t, "tailscaled")
	if err := os.WriteFile(filepath.Join(dir, "tailscale"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	s := wiring(t, networked, "PATH=.:"+dir)
	if got, want := s.find("tailscaled"), filepath.Join(dir, "tailscaled"); got != want {
		t.Errorf("tailscaled: %q, want %q", got, want)
	}
	if got := s.find("tailscale"); strings.HasPrefix(got, dir) || got == "tailscale" {
		t.Errorf("tailscale: %q, which cannot be run", got)
	}
}

// TestNetwork is the document for each state of the two units.
func TestNetwork(t *testing.T) {
	const report = `{"network": {"state": "running", "name": "a.tail.test", "addresses": ["100.64.0.1"], "health": ["slow"], "last_error": "what up said"}}`
	unit := func(name string, state supervisor.State) status.Unit {
		return status.Unit{Name: name, State: string(state), LastError: "exit status 1"}
	}
	joined := status.Network{State: status.NetworkRunning, Name: "a.tail.test", Addresses: []string{"100.64.0.1"}, Health: []string{"slow"}, LastError: "what up said"}
	tests := map[string]struct {
		units []status.Unit
		want  status.Network
		said  string // of the last unit
	}{
		"both run":      {[]status.Unit{unit("tailscaled", supervisor.Running), unit("tailscale-up", supervisor.Running)}, joined, "exit status 1"},
		"a try failed":  {[]status.Unit{unit("tailscale-up", supervisor.Backoff)}, joined, "what up said"},
		"daemon died":   {[]status.Unit{unit("tailscaled", supervisor.Backoff)}, status.Network{State: status.NetworkJoining, LastError: "tailscaled is not running: coltecd logs tailscaled says why"}, "exit status 1"},
		"blocked":       {[]status.Unit{unit("tailscale-up", supervisor.Blocked)}, status.Network{State: status.NetworkBlocked, LastError: "exit status 1"}, "exit status 1"},
		"another fails": {[]status.Unit{unit("web", supervisor.Backoff)}, joined, "exit status 1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := wiring(t, networked)
			s.runtime = t.TempDir()
			if err := os.WriteFile(s.tailnetPlace().Report(), []byte(report), 0o600); err != nil {
				t.Fatal(err)
			}
			if tt.want.State != status.NetworkBlocked {
				tt.want.Proxy, tt.want.Socket = tailnet.DefaultProxy, filepath.Join(s.runtime, "ts.sock")
			}
			if diff := cmp.Diff(&tt.want, s.network(tt.units)); diff != "" {
				t.Error(diff)
			}
			if got := tt.units[len(tt.units)-1].LastError; got != tt.said {
				t.Errorf("the unit says %q, want %q", got, tt.said)
			}
		})
	}
	if n := wiring(t, wired).network(nil); n != nil {
		t.Errorf("a spec without networking has %+v", n)
	}
}

func TestNetworkAttention(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	in := func(d time.Duration) *time.Time { at := now.Add(d); return &at }
	tests := map[string]struct {
		network *status.Network
		want    []string // how the lines begin
	}{
		"no network":      {nil, nil},
		"well":            {&status.Network{State: status.NetworkRunning, KeyExpiry: in(8 * 24 * time.Hour)}, nil},
		"expires":         {&status.Network{State: status.NetworkRunning, Name: "a", KeyExpiry: in(6 * 24 * time.Hour)}, []string{"tailnet: the key of node a expires at 2026-01-07T00:00:00Z"}},
		"offline":         {&status.Network{State: status.NetworkOffline, Name: "a"}, []string{"tailnet: node a cannot reach its control server"}},
		"health is shown": {&status.Network{State: status.NetworkRunning, Health: []string{"slow"}}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := networkAttention(tt.network, now)
			if len(got) != len(tt.want) {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], tt.want[i]) {
					t.Errorf("got %q, want %q…", got[i], tt.want[i])
				}
			}
		})
	}
}
