package tailnet

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/secret"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/unit"
)

func workspace() *spec.Spec {
	return &spec.Spec{
		Metadata:   spec.Metadata{Org: "acme", Project: "widget", Environment: "dev-a"},
		Networking: spec.Networking{Enabled: true, HostnamePrefix: "dev-", Tags: []string{"tag:devcontainer"}, SSH: true, Tun: spec.TunUserspace},
	}
}

func environ(kv ...string) spec.Lookup {
	return func(name string) (string, bool) {
		for _, e := range kv {
			if k, v, _ := strings.Cut(e, "="); k == name {
				return v, v != ""
			}
		}
		return "", false
	}
}

var here = Place{Coltecd: "/bin/coltecd", Tailscale: "/bin/tailscale", Tailscaled: "/sbin/tailscaled", Dir: "/run/c", Env: []string{"HOME=/h"}, Kept: "/h/kept"}

const (
	join   = "/bin/coltecd tailnet-up --tailscale /bin/tailscale --socket /run/c/ts.sock --state /run/c/tailscale --report /run/c/tailnet.json -- "
	common = "--reset --timeout=25s --auth-key=file:/dev/stdin "
	daemon = "/sbin/tailscaled --socket=/run/c/ts.sock --statedir=/run/c/tailscale --state=mem: --tun=userspace-networking --socks5-server=localhost:1055 --outbound-http-proxy-listen=localhost:1055"
)

// TestArgv is the command line of each variable.
func TestArgv(t *testing.T) {
	const rest = " --accept-dns=false --accept-routes=false --ssh=true --advertise-tags=tag:devcontainer"
	const plain = common + "--hostname=dev-acme-widget-dev-a"
	tests := map[string]struct{ env, up, daemon string }{
		"defaults":      {"", plain + rest, daemon},
		"hostname":      {EnvHostname + "=My Box.", common + "--hostname=my-box" + rest, daemon},
		"prefix":        {EnvPrefix + "=box-", common + "--hostname=box-acme-widget-dev-a" + rest, daemon},
		"tags":          {EnvTags + "=tag:a, tag:b,", plain + " --accept-dns=false --accept-routes=false --ssh=true --advertise-tags=tag:a,tag:b", daemon},
		"no tags":       {EnvTags + "=,", plain + " --accept-dns=false --accept-routes=false --ssh=true", daemon},
		"accept dns":    {EnvAcceptDNS + "=true", plain + " --accept-dns=true --accept-routes=false --ssh=true --advertise-tags=tag:devcontainer", daemon},
		"accept routes": {EnvAcceptRoutes + "=yes", plain + " --accept-dns=false --accept-routes=true --ssh=true --advertise-tags=tag:devcontainer", daemon},
		"ssh":           {EnvSSH + "=0", plain + " --accept-dns=false --accept-routes=false --ssh=false --advertise-tags=tag:devcontainer", daemon},
		"extra args":    {EnvExtraArgs + "=--shields-up  --operator=vscode", plain + rest + " --shields-up --operator=vscode", daemon},
		"login server":  {EnvLoginServer + "=http://127.0.0.1:1", plain + rest + " --login-server=http://127.0.0.1:1", daemon},
		"kept node":     {EnvEphemeral + "=off", plain + rest, strings.Replace(daemon, "/run/c/tailscale --state=mem:", "/h/kept", 1)},
		"kernel":        {EnvTun + "=kernel", plain + rest, "/sbin/tailscaled --socket=/run/c/ts.sock --statedir=/run/c/tailscale --state=mem: --tun=tailscale0"},
		"proxy":         {EnvProxy + "=127.0.0.1:9", plain + rest, strings.ReplaceAll(daemon, "localhost:1055", "127.0.0.1:9")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := Resolve(workspace(), environ(spec.TailnetKeys[0]+"=tskey", tt.env))
			if err != nil {
				t.Fatal(err)
			}
			units := c.Units(here)
			var got []string
			for _, u := range units {
				got = append(got, strings.Join(u.Argv, " "))
			}
			job := join
			if !c.Ephemeral {
				job = strings.Replace(join, "/run/c/tailscale", here.Kept, 1)
			}
			if diff := cmp.Diff([]string{tt.daemon, job + tt.up}, got); diff != "" {
				t.Error(diff)
			}
			if err := unit.ValidateSet(units, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestKey shows which variable counts, and that only the job gets it, by its
// environment.
func TestKey(t *testing.T) {
	tests := map[string]struct {
		env  []string
		want string
	}{
		"first":  {[]string{"TS_AUTHKEY=c", "TAILSCALE_AUTH_KEY=b", "COLTEC_TAILSCALE_AUTH_KEY=a"}, "a"},
		"second": {[]string{"TS_AUTHKEY=c", "TAILSCALE_AUTH_KEY=b"}, "b"},
		"third":  {[]string{"TS_AUTHKEY= c\n"}, "c"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := Resolve(workspace(), environ(tt.env...))
			if err != nil || c.Key.Reveal() != tt.want {
				t.Fatalf("got %q, %v, want %q", c.Key.Reveal(), err, tt.want)
			}
			units := c.Units(here)
			if diff := cmp.Diff([]string{"HOME=/h", "COLTEC_TAILSCALE_AUTH_KEY=" + tt.want}, units[1].Env); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(strings.Join(units[0].Env, " "), "AUTH") {
				t.Errorf("tailscaled gets the key: %q", units[0].Env)
			}
		})
	}
}

func TestBlocked(t *testing.T) {
	tests := map[string]struct {
		env   []string
		place func(*Place)
		want  string
	}{
		"no key":    {nil, func(*Place) {}, "COLTEC_TAILSCALE_AUTH_KEY is not set"},
		"no daemon": {[]string{"TS_AUTHKEY=k"}, func(p *Place) { p.Tailscaled = "" }, "tailscale and tailscaled are not installed"},
		"no client": {nil, func(p *Place) { p.Tailscale = "" }, "tailscale and tailscaled are not installed"},
		"no home":   {[]string{"TS_AUTHKEY=k", EnvEphemeral + "=no"}, func(p *Place) { p.KeptWhy = "why" }, "COLTEC_NET_EPHEMERAL is false, and why"},
		"no tun":    {[]string{"TS_AUTHKEY=k", EnvTun + "=kernel"}, func(p *Place) { p.TunMissing = "no device" }, "no device"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := here
			tt.place(&p)
			c, err := Resolve(workspace(), environ(tt.env...))
			if err != nil {
				t.Fatal(err)
			}
			units := c.Units(p)
			if len(units) != 1 || !strings.HasPrefix(units[0].Blocked, tt.want) {
				t.Errorf("got %d units, blocked by %q, want one by %q", len(units), units[0].Blocked, tt.want)
			}
			if err := unit.ValidateSet(units, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTunMissing(t *testing.T) {
	for _, tt := range []struct {
		device, netAdmin bool
		want             string
	}{
		{true, true, ""},
		{false, true, "tun is kernel, and /dev/net/tun cannot be opened"},
		{true, false, "tun is kernel, and NET_ADMIN is missing"},
	} {
		if got, _, _ := strings.Cut(TunMissing(tt.device, tt.netAdmin), ":"); got != tt.want {
			t.Errorf("%+v: got %q", tt, got)
		}
	}
}

// TestEnvironmentWins: each variable wins over its field of the spec, and a field
// counts where there is none.
func TestEnvironmentWins(t *testing.T) {
	sp := workspace()
	sp.Networking = spec.Networking{
		Enabled: true, HostnamePrefix: "spec-", Tags: []string{"tag:spec"}, AcceptDNS: true, AcceptRoutes: true,
		ExtraArgs: []string{"--shields-up"}, Tun: spec.TunKernel,
	}
	fields := Config{
		Hostname: "spec-acme-widget-dev-a", Tags: []string{"tag:spec"}, AcceptDNS: true, AcceptRoutes: true,
		ExtraArgs: []string{"--shields-up"}, Ephemeral: true, Tun: spec.TunKernel, Proxy: DefaultProxy,
	}
	variables := Config{
		Hostname: "env-acme-widget-dev-a", Tags: []string{"tag:env"}, SSH: true,
		ExtraArgs: []string{"--operator=vscode"}, LoginServer: "http://env", Tun: spec.TunUserspace, Proxy: "127.0.0.1:9",
	}
	all := []string{
		EnvPrefix + "=env-", EnvTags + "=tag:env", EnvAcceptDNS + "=false", EnvAcceptRoutes + "=false", EnvSSH + "=true",
		EnvExtraArgs + "=--operator=vscode", EnvLoginServer + "=http://env", EnvEphemeral + "=false", EnvTun + "=userspace", EnvProxy + "=127.0.0.1:9",
	}
	for name, tt := range map[string]struct {
		env  []string
		want Config
	}{"the spec": {nil, fields}, "the environment": {all, variables}} {
		t.Run(name, func(t *testing.T) {
			got, err := Resolve(sp, environ(tt.env...))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(secret.Value{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWrongVariables(t *testing.T) {
	tests := map[string]struct{ env, want string }{
		"bool":        {EnvSSH + "=maybe", `COLTEC_NET_SSH is "maybe", not true or false`},
		"tag":         {EnvTags + "=ci", `COLTEC_NET_TAGS has "ci": a tag begins with tag: and a name, such as tag:devcontainer`},
		"hostname":    {EnvHostname + "=---", `COLTEC_NET_HOSTNAME has no letter or digit: a host name needs one`},
		"tun":         {EnvTun + "=yes", `COLTEC_NET_TUN is "yes", not userspace or kernel`},
		"open proxy":  {EnvProxy + "=0.0.0.0:1055", `COLTEC_NET_PROXY is "0.0.0.0:1055", not a port on loopback such as localhost:1055: who reaches it is in the tailnet`},
		"key in args": {EnvExtraArgs + "=--auth-key=tskey-x", `extra_args holds --auth-key: a key on a command line is seen by every user`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Resolve(workspace(), environ(tt.env))
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestHostname(t *testing.T) {
	long := strings.Repeat("x", 40)
	tests := map[string]string{
		"dev-a":     "dev-a",
		"Dev_A.b":   "dev-a-b",
		"-é-":       "",
		"a--b":      "a--b",
		"dev-Über1": "dev--ber1",
	}
	for in, want := range tests {
		if got := hostname(in); got != want {
			t.Errorf("hostname(%q) = %q, want %q", in, got, want)
		}
	}
	one, two := hostname("dev-"+long+"-one-"+long+"-e"), hostname("dev-"+long+"-two-"+long+"-e")
	for _, name := range []string{one, two} {
		if len(name) > labelLimit || !strings.HasPrefix(name, "dev-") || !strings.HasSuffix(name, "-e") {
			t.Errorf("%q (%d) is too long, or lost its ends", name, len(name))
		}
	}
	if one == two {
		t.Errorf("two long names became one: %s", one)
	}
}

// client makes a stand-in for tailscale: what status says first, what it says
// after up, and how up ends. It notes its command lines and the key.
func client(t *testing.T, before, after, up string) (Join, func(file string) string) {
	t.Helper()
	dir := t.TempDir()
	script := `#!/bin/sh
cd "` + dir + `"
echo "$*" >>calls
case $2 in
status) if [ -e up ]; then cat after; else cat before; if [ -e next ]; then mv next before; fi; fi ;;
up | set) cat >key; env >env; touch up; ` + up + ` ;;
esac
`
	for name, text := range map[string]string{"tailscale": script, "before": before, "after": after} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	read := func(file string) string {
		b, _ := os.ReadFile(filepath.Join(dir, file))
		return string(b)
	}
	return Join{
		Tailscale: filepath.Join(dir, "tailscale"), Socket: "s", State: dir, Report: filepath.Join(dir, "tailnet.json"),
		Up: []string{"--reset"}, Key: secret.New("tskey-1"), Env: []string{"PATH=/usr/bin:/bin", "TS_AUTHKEY=tskey-1"},
	}, read
}

const (
	loggedOut = `{"BackendState":"NeedsLogin","Health":["You are logged out."]}`
	inside    = `{"BackendState":"Running","Self":{"HostName":"a","DNSName":"a.tail.test.","TailscaleIPs":["100.64.0.1"],"Online":true,"KeyExpiry":"2027-01-02T00:00:00Z"}}`
	noAddress = `{"BackendState":"Running","Self":{"HostName":"a"}}`
)

func TestJoin(t *testing.T) {
	tests := map[string]struct{ before, after, up, want string }{
		"joins":            {loggedOut, inside, "true", ""},
		"wrong key":        {loggedOut, loggedOut, "echo 'backend error: invalid key: API key tskey-1 not valid' >&2; exit 1", "invalid key: the control server refuses the one in COLTEC_TAILSCALE_AUTH_KEY (backend error: invalid key: API key ******** not valid)"},
		"up says it is ok": {loggedOut, loggedOut, "true", "not in the tailnet (NeedsLogin): You are logged out."},
		"timeout":          {loggedOut, loggedOut, "echo 'timeout waiting' >&2; exit 1", "not in the tailnet (NeedsLogin): timeout waiting: You are logged out."},
		"no address":       {loggedOut, noAddress, "true", "not in the tailnet (Running): no reason was given"},
		"flags refused":    {inside, inside, "echo 'flag provided but not defined: -x' >&2; exit 2", "not in the tailnet (Running): flag provided but not defined: -x"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			j, read := client(t, tt.before, tt.after, tt.up)
			got := ""
			if err := j.Run(t.Context()); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if read("key") != "tskey-1" || strings.Contains(read("calls")+read("env")+read("tailnet.json"), "tskey-1") {
				t.Errorf("the key goes in by standard input alone: %q\n%s%s%s", read("key"), read("calls"), read("env"), read("tailnet.json"))
			}
			if n := Status(Place{Dir: filepath.Dir(j.Report)}); n.LastError != tt.want {
				t.Errorf("reported: %q", n.LastError)
			}
		})
	}
}

// TestJoinOnlyWhenNeeded: a look at a node that runs with the right flags starts no up.
func TestJoinOnlyWhenNeeded(t *testing.T) {
	j, read := client(t, loggedOut, inside, "true")
	ups := func() int { return strings.Count(read("calls"), " up ") }
	for i, want := range []int{1, 1} {
		if err := j.Run(t.Context()); err != nil || ups() != want {
			t.Fatalf("run %d: %v, %d times up, want %d", i, err, ups(), want)
		}
	}
	j.Up = []string{"--reset", "--ssh=false"}
	if err := j.Run(t.Context()); err != nil || ups() != 2 {
		t.Errorf("other flags: %v, %d times up, want 2", err, ups())
	}
	expiry := time.Date(2027, 1, 2, 0, 0, 0, 0, time.UTC)
	want := status.Network{State: status.NetworkRunning, Name: "a.tail.test", Addresses: []string{"100.64.0.1"}, KeyExpiry: &expiry}
	if diff := cmp.Diff(want, Status(Place{Dir: filepath.Dir(j.Report)})); diff != "" {
		t.Error(diff)
	}
}

// TestKeptNode: a node that comes back into the tailnet by itself was asked to join
// again, with a key that may be used up.
func TestKeptNode(t *testing.T) {
	j, read := client(t, loggedOut, inside, "true")
	for range 2 {
		if err := j.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(j.Report); err != nil { // as a coltecd that starts does
			t.Fatal(err)
		}
	}
	if ups := strings.Count(read("calls"), " up "); ups != 1 {
		t.Errorf("%d times up, want 1", ups)
	}
}

// TestComingNode: a kept node that was looked at while it came back was asked to join
// again, now and then.
func TestComingNode(t *testing.T) {
	j, read := client(t, `{"BackendState":"Starting"}`, "", "true")
	if err := os.WriteFile(filepath.Join(j.State, "next"), []byte(inside), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := write(j.applied(), applied{Flags: checksum("--reset")}); err != nil {
		t.Fatal(err)
	}
	if err := j.Run(t.Context()); err != nil || strings.Contains(read("calls"), " up ") {
		t.Errorf("%v, calls: %s", err, read("calls"))
	}
	if n := Status(Place{Dir: j.State}); n.State != status.NetworkRunning {
		t.Errorf("reported: %+v", n)
	}
}

// TestNoSSHInTheTailnet: a node that asked for SSH in a tailnet without it joined, and
// then could neither take other flags nor log out.
func TestNoSSHInTheTailnet(t *testing.T) {
	const refuses = `case "$*" in *--ssh=true*) [ -n "$JOINS" ] && [ $2 = up ] || { echo "Unable to enable local Tailscale SSH server; not enabled on Tailnet." >&2; exit 1; } ;; esac`
	tests := map[string]struct {
		joins string   // an up that asks for SSH passes
		want  []string // what changes the node
	}{
		"joins, and is stuck":  {"1", []string{"up --reset --ssh=true", "set --ssh=true", "set --ssh=false"}},
		"was in it, and stuck": {"", []string{"up --reset --ssh=true", "up --reset --ssh=false"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			j, read := client(t, loggedOut, inside, "JOINS="+tt.joins+"; "+refuses)
			j.Up = []string{"--reset", "--ssh=true"}
			for range 2 { // what was found out is kept, and costs nothing more
				if err := j.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for line := range strings.Lines(read("calls")) {
				if call := strings.TrimPrefix(strings.TrimSpace(line), "--socket=s "); !strings.HasPrefix(call, "status") {
					got = append(got, call)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if n := Status(Place{Dir: filepath.Dir(j.Report)}); n.State != status.NetworkRunning || !slices.Contains(n.Health, noSSH) {
				t.Errorf("reported: %+v", n)
			}
		})
	}
}

// TestOffline: a node whose control server went away is still in the tailnet, and no
// longer well; joining anew would not bring the server back.
func TestOffline(t *testing.T) {
	j, read := client(t, strings.Replace(inside, `"Online":true`, `"Online":false`, 1), "", "true")
	if err := write(j.applied(), applied{Flags: checksum("--reset")}); err != nil {
		t.Fatal(err)
	}
	if err := j.Run(t.Context()); err != nil || strings.Contains(read("calls"), " up ") {
		t.Errorf("%v, calls: %s", err, read("calls"))
	}
	if n := Status(Place{Dir: filepath.Dir(j.Report)}); n.State != status.NetworkOffline || n.Name != "a.tail.test" {
		t.Errorf("reported: %+v", n)
	}
}

// TestReportOfAnotherDaemon: a tailscaled that was killed came back outside of the
// tailnet, and the status said for seconds that it was in.
func TestReportOfAnotherDaemon(t *testing.T) {
	j, _ := client(t, loggedOut, inside, "true")
	p := Place{Dir: filepath.Dir(j.Report)}
	j.Socket = p.Socket()
	for i, want := range []status.NetworkState{status.NetworkRunning, status.NetworkJoining} {
		if err := os.WriteFile(p.Socket(), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p.Socket(), time.Time{}, time.Unix(int64(1e9+i), 0)); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := j.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := Status(p).State; got != want {
			t.Errorf("start %d of tailscaled: %s, want %s", i, got, want)
		}
	}
}

func TestNoDaemon(t *testing.T) {
	j, _ := client(t, "no json", "", "true")
	if err := j.Run(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "cannot read the answer of tailscale status") {
		t.Errorf("got %v", err)
	}
	j.Tailscale = "/does/not/exist"
	if err := j.Run(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
