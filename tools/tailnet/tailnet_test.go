// Package tailnet_test shows coltecd's nodes in a tailnet: the built coltecd, real
// tailscale and tailscaled, and a control server, DERP and STUN on loopback. It is
// a module of its own, so that coltecd does not depend on tailscale. Each test has a
// tailnet of its own, and names that no other test has.
package tailnet_test

import (
	"encoding/json"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTwoNodesReachEachOther: both ways, by both proxies, by address and by name.
func TestTwoNodesReachEachOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t).open()
	a, b := w.machine("dev-a"), w.machine("dev-b")
	a.start()
	b.start()
	da, db := a.awaitJoined(), b.awaitJoined()
	for _, way := range []struct {
		from, to *machine
		of, peer document
	}{{a, b, da, db}, {b, a, db, da}} {
		name := "dev-acme-widget-" + way.to.name
		if want := name + ".tail.test"; way.peer.Network.Name != want {
			t.Errorf("%s is called %q, want %q", way.to.name, way.peer.Network.Name, want)
		}
		if peers := way.from.peers(way.of.Network.Socket); !slices.Equal(peers, []string{way.peer.Network.Name}) {
			t.Errorf("%s sees %q, want %q", way.from.name, peers, way.peer.Network.Name)
		}
		// In mode userspace what comes in for a port goes to the same port of loopback.
		text := "hello from " + way.to.name
		port := page(t, text)
		for _, scheme := range []string{"socks5", "http"} {
			for _, host := range []string{way.peer.Network.Addresses[0], name} {
				if got := fetch(t, &url.URL{Scheme: scheme, Host: way.from.proxy}, "http://"+net.JoinHostPort(host, port)); got != text {
					t.Errorf("%s by %s from %s: got %q", way.from.name, scheme, host, got)
				}
			}
		}
	}
	a.noKey(rightKey)
	w.awaitRequest("dev-acme-widget-dev-b", `"Ephemeral": true`, rightKey)

	// A node leaves the tailnet when its workspace stops.
	b.stop()
	w.awaitRequest("dev-acme-widget-dev-b", `"Expiry": "1970`)
}

// peers are the names that the node sees in its tailnet.
func (m *machine) peers(socket string) []string {
	m.w.t.Helper()
	var names []string
	wait(m.w.t, "a peer", func() (bool, string) {
		text := m.tailscale(socket, "status", "--json")
		var s struct {
			Peer map[string]struct{ DNSName string }
		}
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			m.w.t.Fatal(err)
		}
		names = nil
		for _, p := range s.Peer {
			names = append(names, strings.TrimSuffix(p.DNSName, "."))
		}
		return len(names) > 0, text
	})
	return names
}

// TestVariablesReachTheNode: COLTEC_NET_HOSTNAME, _TAGS, _ACCEPT_ROUTES, _SSH,
// _EXTRA_ARGS and _LOGIN_SERVER, each against another value in the spec; then
// COLTEC_NET_HOSTNAME_PREFIX alone.
func TestVariablesReachTheNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t).open()
	m := w.machine("dev-v")
	m.spec(", hostname_prefix: spec-, tags: ['tag:spec'], accept_routes: false, ssh: true, extra_args: [--advertise-exit-node]")
	for name, value := range map[string]string{
		"HOSTNAME": "Other Box", "TAGS": "tag:ci,tag:dev", "ACCEPT_ROUTES": "true", "SSH": "false", "EXTRA_ARGS": "--shields-up",
	} {
		m.env["COLTEC_NET_"+name] = value
	}
	m.start()
	d := m.awaitJoined()
	if want := "other-box.tail.test"; d.Network.Name != want {
		t.Errorf("it is called %q, want %q", d.Network.Name, want)
	}
	w.awaitRequest("other-box", `"tag:ci"`, `"tag:dev"`)
	var prefs struct {
		ControlURL, Hostname        string
		RouteAll, RunSSH, ShieldsUp bool
		AdvertiseTags               []string
		AdvertiseRoutes             []string
	}
	if err := json.Unmarshal([]byte(m.tailscale(d.Network.Socket, "debug", "prefs")), &prefs); err != nil {
		t.Fatal(err)
	}
	if prefs.ControlURL != "http://"+w.door.addr() || prefs.Hostname != "other-box" || !prefs.RouteAll || prefs.RunSSH || !prefs.ShieldsUp ||
		!slices.Equal(prefs.AdvertiseTags, []string{"tag:ci", "tag:dev"}) || len(prefs.AdvertiseRoutes) > 0 {
		t.Errorf("the node runs with %+v", prefs)
	}

	delete(m.env, "COLTEC_NET_HOSTNAME")
	m.env["COLTEC_NET_HOSTNAME_PREFIX"] = "box-"
	m.stop()
	m.start()
	if d := m.awaitJoined(); d.Network.Name != "box-acme-widget-dev-v.tail.test" {
		t.Errorf("it is called %q", d.Network.Name)
	}
}

// TestTemplate: what coltec new makes of extensions/coltec-network is valid, and joins.
func TestTemplate(t *testing.T) {
	t.Parallel()
	w := newWorld(t).open()
	m := w.machine("dev-t")
	if err := os.RemoveAll(m.dir); err != nil {
		t.Fatal(err)
	}
	template, err := filepath.Abs("../../extensions/coltec-network")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(bin, "coltec"), "new", m.dir, "--template", template,
		"--data", "org=acme", "--data", "project=widget", "--data", "env=dev-t", "--data", "persistence_enabled=false", "--data", "hostname_prefix=made-").CombinedOutput()
	if err != nil {
		t.Fatalf("coltec new: %v\n%s", err, out)
	}
	m.own()
	if text, err := m.coltecd("validate"); err != nil || strings.Contains(text, "notice") {
		t.Errorf("validate: %v\n%s", err, text)
	}
	m.start()
	d := m.awaitJoined()
	if d.Network.Name != "made-acme-widget-dev-t.tail.test" || len(d.Attention) > 0 {
		t.Errorf("it is called %q, and wants %q", d.Network.Name, d.Attention)
	}
	if !strings.Contains(strings.Join(d.Network.Health, "\n"), "SSH is not enabled in this tailnet") { // the template asks for it
		t.Errorf("health: %q", d.Network.Health)
	}
}

func TestKeyWrongMissingThenThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t).open()
	m := w.machine("dev-k")
	delete(m.env, "COLTEC_TAILSCALE_AUTH_KEY")
	m.start()
	m.await("blocked by name", func(d document) bool {
		return d.Network.State == "blocked" && strings.Contains(d.attention(), "COLTEC_TAILSCALE_AUTH_KEY is not set")
	})
	m.env["TAILSCALE_AUTH_KEY"] = wrongKey // the second name serves too
	m.start()
	m.await("invalid key", func(d document) bool {
		return strings.Contains(d.Network.LastError, "invalid key") && strings.Contains(d.attention(), "invalid key")
	})
	m.noKey(wrongKey)
	m.env["COLTEC_TAILSCALE_AUTH_KEY"] = rightKey // and the first wins
	m.start()
	m.awaitJoined()
}

// outage is how long the control server is down when a node starts.
const outage = time.Minute

func TestControlServerIsBackAfterAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine("dev-l")
	m.start()
	over := time.After(outage)
	m.await("a failed try", func(d document) bool { return d.Network.LastError != "" && !joined(d) })
	<-over
	m.await("trying still", func(d document) bool {
		return d.Network.State == "joining" && strings.Contains(d.attention(), "not in the tailnet")
	})
	w.open()
	m.awaitJoined()
}

// TestNetworkLoss: control server and relay are gone after the node joined, and back.
func TestNetworkLoss(t *testing.T) {
	t.Parallel()
	w := newWorld(t).open()
	a, b := w.machine("loss-a"), w.machine("loss-b")
	a.start()
	b.start()
	a.awaitJoined()
	to := b.awaitJoined().Network.Addresses[0]
	w.shut()
	a.await("offline, and said", func(d document) bool {
		return d.Network.State == "offline" && strings.Contains(d.attention(), "cannot reach its control server")
	})
	a.start() // with the network gone
	w.open()
	a.awaitJoined()
	port := page(t, "hello again")
	if got := fetch(t, a.socks(), "http://"+net.JoinHostPort(to, port)); got != "hello again" {
		t.Errorf("got %q", got)
	}
}

// TestExpiredKey: a node whose key expired is out of the tailnet, and joins anew with
// the auth key as soon as the control server takes it.
func TestExpiredKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t).open()
	m := w.machine("dev-e")
	m.start()
	m.awaitJoined()
	w.control.SetExpireAllNodes(true)
	m.await("out of the tailnet", func(d document) bool {
		return d.Network.State == "joining" && strings.Contains(d.attention(), "not in the tailnet")
	})
	m.start()
	w.control.SetExpireAllNodes(false)
	m.awaitJoined()
}

func TestKilledDaemon(t *testing.T) {
	t.Parallel()
	w := newWorld(t).open()
	m := w.machine("dev-d")
	m.start()
	was := m.awaitJoined().pid("tailscaled")
	if err := syscall.Kill(was, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	m.await("another tailscaled, joined", func(d document) bool {
		pid := d.pid("tailscaled")
		return pid != 0 && pid != was && joined(d)
	})
}

// TestRestart: in order, and after coltecd itself was killed with everything it ran.
func TestRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t).open()
	m := w.machine("dev-r")
	m.start()
	m.awaitJoined()
	m.stop()
	m.start()
	d := m.awaitJoined()
	was := d.pid("tailscaled")
	if err := syscall.Kill(d.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	m.start()
	m.await("another coltecd and tailscaled, joined", func(now document) bool {
		pid := now.pid("tailscaled")
		return now.PID != d.PID && pid != 0 && pid != was && joined(now)
	})
	if err := syscall.Kill(was, 0); err == nil {
		t.Errorf("the tailscaled of the killed coltecd still runs: %d", was)
	}
}

// TestKeptNode: with COLTEC_NET_EPHEMERAL=false a node stays when its workspace stops,
// and is back with its address and without the key, which may be a one-off.
func TestKeptNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t).open()
	m := w.machine("dev-p")
	m.env["COLTEC_NET_EPHEMERAL"] = "false"
	const host = "dev-acme-widget-dev-p"
	m.start()
	was := m.awaitJoined().Network.Addresses
	m.stop()
	keys := asked.count(host, rightKey)
	if n := asked.count(host, `"Expiry": "1970`); keys == 0 || n > 0 {
		t.Errorf("the key came %d times, the node left %d times", keys, n)
	}
	w.control.RequireAuthKey = "" // no node is there to be asked for one
	m.start()
	if now := m.awaitJoined().Network.Addresses; !slices.Equal(was, now) {
		t.Errorf("it had %q, and has %q", was, now)
	}
	if n := asked.count(host, rightKey); n != keys {
		t.Errorf("the key came again, %d times", n-keys)
	}
}

// TestFewerFlags: tailscale up refuses a call with fewer flags than the last one
// had, unless it is told to reset.
func TestFewerFlags(t *testing.T) {
	t.Parallel()
	w := newWorld(t).open()
	m := w.machine("dev-f")
	m.spec(", extra_args: [--advertise-exit-node]")
	m.start()
	offers := func(d document) bool {
		return strings.Contains(m.tailscale(d.Network.Socket, "debug", "prefs"), "0.0.0.0/0")
	}
	if !offers(m.awaitJoined()) {
		t.Error("the node offers no exit, which the extra arguments ask for")
	}
	m.spec("")
	m.await("no exit node any more", func(d document) bool { return joined(d) && !offers(d) })
}

// TestAsAnotherUser: all nodes of these tests but the kernel's run without root.
func TestAsAnotherUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t).open()
	m := w.machine("dev-u")
	m.start()
	pid := m.awaitJoined().pid("tailscaled")
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"\nUid:\t0", "\nCapEff:\t0000000000000000\n"} {
		if has := strings.Contains(string(b), line); has != strings.Contains(line, "CapEff") {
			t.Errorf("tailscaled is privileged:\n%s", b)
		}
	}
}
