package daemon

import (
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/tailnet"
	"github.com/coltec/coltec/pkg/unit"
	"github.com/coltec/coltec/supervisor"
)

// tailnet are the units that join the user's tailnet.
func (s setting) tailnet() []unit.Unit {
	if !s.spec.Networking.Enabled {
		return nil
	}
	c, err := tailnet.Resolve(s.spec, lookup(s.environ))
	if err != nil {
		return []unit.Unit{tailnet.Blocked(err)}
	}
	return c.Units(s.tailnetPlace())
}

func (s setting) tailnetPlace() tailnet.Place {
	p := tailnet.Place{
		Coltecd: self(), Dir: s.runtime, Env: s.childEnv("", nil),
		Tailscale: s.find("tailscale"), Tailscaled: s.find("tailscaled"), TunMissing: tunMissing(),
	}
	p.Kept, p.KeptWhy = s.keptNode()
	return p
}

// keptNode is where a node's identity stays, and why it cannot stay there: in a tree
// that is synced it would be every machine's.
func (s setting) keptNode() (dir, why string) {
	get := lookup(s.environ)
	base, ok := get("XDG_STATE_HOME")
	if !ok {
		home, _ := get("HOME")
		base = filepath.Join(home, ".local/state")
	}
	if !filepath.IsAbs(base) {
		return "", "there is no place for the node's identity: set HOME, or XDG_STATE_HOME to a directory of its own"
	}
	m := s.spec.Metadata
	dir = filepath.Join(base, "coltec/tailnet", m.Org, m.Project, m.Environment)
	for _, y := range s.spec.Persistence.Sync {
		if slices.ContainsFunc(y.Trees(), func(tree string) bool { return within(dir, filepath.Clean(tree)) }) {
			return "", "the node's identity would lie in " + dir + ", which " + y.Name + " puts into the bucket: set XDG_STATE_HOME to a directory that is not synced"
		}
	}
	return dir, ""
}

// self is this program, as a child can run it.
func self() string {
	if path, err := os.Executable(); err == nil {
		return path
	}
	return "/proc/self/exe"
}

// find looks for a program beside coltecd, in PATH, and where daemons are, which
// a user's PATH seldom has. "" if it is nowhere.
func (s setting) find(name string) string {
	path, _ := lookup(s.environ)("PATH")
	for _, dir := range slices.Concat([]string{filepath.Dir(self())}, filepath.SplitList(path), []string{"/usr/local/sbin", "/usr/sbin"}) {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && filepath.IsAbs(dir) && info.Mode().IsRegular() && unix.Access(file, unix.X_OK) == nil {
			return file
		}
	}
	return ""
}

// tunMissing says what this process lacks for the kernel's network, "" if nothing.
func tunMissing() string {
	return tailnet.TunMissing(unix.Access(tailnet.TunDevice, unix.R_OK|unix.W_OK) == nil, netAdmin())
}

// netAdmin reports whether this process may change the network.
func netAdmin() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}

// network is the tailnet in the document, nil if the spec asks for none. Units
// of it get the reason of their failure, which an exit status does not tell.
func (s setting) network(units []status.Unit) *status.Network {
	if !s.spec.Networking.Enabled {
		return nil
	}
	n := tailnet.Status(s.tailnetPlace())
	for i := range units {
		u := &units[i]
		if u.Name != tailnet.Daemon && u.Name != tailnet.Joiner {
			continue
		}
		switch supervisor.State(u.State) {
		case supervisor.Blocked:
			return &status.Network{State: status.NetworkBlocked, LastError: u.LastError}
		case supervisor.Backoff, supervisor.Failed, supervisor.Paused, supervisor.Exited:
			if u.Name == tailnet.Daemon { // what the job saw last is no longer so
				n = status.Network{State: status.NetworkJoining, LastError: "tailscaled is not running: coltecd logs tailscaled says why"}
			} else if n.LastError != "" {
				u.LastError = n.LastError
			}
		}
	}
	if c, err := tailnet.Resolve(s.spec, lookup(s.environ)); err == nil && c.Tun == spec.TunUserspace {
		n.Proxy = c.Proxy
	}
	n.Socket = s.tailnetPlace().Socket()
	return &n
}

// expirySoon is when a person should hear that the node's key ends.
const expirySoon = 7 * 24 * time.Hour

// networkAttention is about a node that is in the tailnet, and cut off or not in it
// for long; what keeps it out is said of its units.
func networkAttention(n *status.Network, now time.Time) []string {
	if n == nil {
		return nil
	}
	var list []string
	if n.State == status.NetworkOffline {
		list = append(list, "tailnet: node "+n.Name+" cannot reach its control server and keeps trying: until then it does not learn who joins or leaves")
	}
	if n.KeyExpiry != nil && n.KeyExpiry.Sub(now) <= expirySoon {
		list = append(list, "tailnet: the key of node "+n.Name+" expires at "+n.KeyExpiry.UTC().Format(time.RFC3339)+": disable its expiry in the admin console, or give the container a new auth key")
	}
	return list
}
