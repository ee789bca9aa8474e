package tailnet_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/tailscale/netlink"
)

// TestKernelModeIsBlocked: without the right to change the network, by name.
func TestKernelModeIsBlocked(t *testing.T) {
	t.Parallel()
	m := newWorld(t).open().machine("dev-n")
	m.spec(", tun: kernel")
	m.start()
	m.await("blocked by name", func(d document) bool {
		return d.Network.State == "blocked" && strings.Contains(d.attention(), "tun is kernel, and ")
	})
}

// inNamespace marks the run of this test that has a network of its own.
const inNamespace = "COLTEC_TAILNET_NAMESPACE"

// TestKernelMode: a node with a network interface reaches one in mode userspace, and
// is reached, without a proxy. It runs in a network namespace of its own, so that
// the machine's network stays as it is.
func TestKernelMode(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		t.Parallel()
		if err := syscall.Access("/dev/net/tun", 6); err != nil || os.Getuid() != 0 {
			if os.Getenv("CI") != "" {
				t.Fatal("CI is root and has /dev/net/tun")
			}
			t.Skip("kernel mode needs root and /dev/net/tun")
		}
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestKernelMode$", "-test.v")
		cmd.Env = append(os.Environ(), inNamespace+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	wire(t)
	w := newWorld(t).open()
	a, b := w.machine("kern-a"), w.machine("kern-b")
	a.root = true
	a.spec(", tun: kernel")
	a.start()
	b.start()
	da, db := a.awaitJoined(), b.awaitJoined()
	if ifi, err := net.InterfaceByName("tailscale0"); err != nil || ifi.Flags&net.FlagUp == 0 {
		t.Errorf("tailscale0: %+v, %v", ifi, err)
	}
	if argv, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(da.pid("tailscaled")), "cmdline")); !strings.Contains(string(argv), "--tun=tailscale0") || strings.Contains(string(argv), "socks5") {
		t.Errorf("tailscaled runs as %q", argv)
	}
	port := page(t, "hello")
	if got := fetch(t, nil, "http://"+net.JoinHostPort(db.Network.Addresses[0], port)); got != "hello" {
		t.Errorf("from the kernel's node: got %q", got)
	}
	if got := fetch(t, b.socks(), "http://"+net.JoinHostPort(da.Network.Addresses[0], port)); got != "hello" {
		t.Errorf("to the kernel's node: got %q", got)
	}
	a.stop()
	if _, err := net.InterfaceByName("tailscale0"); err == nil {
		t.Error("tailscale0 is there after the stop")
	}
}

// wire brings up loopback, and an interface with an address: a machine without one
// has no network in tailscaled's eyes.
func wire(t *testing.T) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	lo, err := netlink.LinkByName("lo")
	must(err)
	must(netlink.LinkSetUp(lo))
	must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "v0"}, PeerName: "v1"}))
	for name, addr := range map[string]string{"v0": "192.0.2.1/24", "v1": ""} {
		link, err := netlink.LinkByName(name)
		must(err)
		if addr != "" {
			a, err := netlink.ParseAddr(addr)
			must(err)
			must(netlink.AddrAdd(link, a))
		}
		must(netlink.LinkSetUp(link))
	}
}
