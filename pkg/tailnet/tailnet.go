// Package tailnet joins a workspace to the user's tailnet: what the spec and the
// environment say becomes units, by pure functions, and Join is what the job among
// them does. tailscaled runs as a service of its own with its own socket and state.
//
// Read tailnet.go for what is asked for, units.go for what runs, join.go for how a
// join is judged.
package tailnet

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/secret"
	"github.com/coltec/coltec/pkg/spec"
)

// The variables of the environment; each wins over the spec.
const (
	EnvHostname     = "COLTEC_NET_HOSTNAME"
	EnvPrefix       = "COLTEC_NET_HOSTNAME_PREFIX"
	EnvTags         = "COLTEC_NET_TAGS"
	EnvAcceptDNS    = "COLTEC_NET_ACCEPT_DNS"
	EnvAcceptRoutes = "COLTEC_NET_ACCEPT_ROUTES"
	EnvSSH          = "COLTEC_NET_SSH"
	EnvExtraArgs    = "COLTEC_NET_EXTRA_ARGS"
	EnvLoginServer  = "COLTEC_NET_LOGIN_SERVER"
	EnvEphemeral    = "COLTEC_NET_EPHEMERAL"
	EnvTun          = "COLTEC_NET_TUN"
	EnvProxy        = "COLTEC_NET_PROXY"
)

// DefaultProxy is where tailscaled listens for SOCKS5 and HTTP in mode userspace.
const DefaultProxy = "localhost:1055"

// Config is what is asked for: the spec with the environment over it.
type Config struct {
	Hostname     string
	Tags         []string
	AcceptDNS    bool
	AcceptRoutes bool
	SSH          bool
	ExtraArgs    []string // of tailscale up
	LoginServer  string   // empty: Tailscale's own
	Ephemeral    bool     // the node leaves the tailnet when tailscaled ends
	Tun          string
	Proxy        string // host:port, on loopback
	Key          secret.Value
}

// Resolve returns what sp and the environment ask for. Its error names every
// variable that cannot be read.
func Resolve(sp *spec.Spec, get spec.Lookup) (Config, error) {
	n := &sp.Networking
	r := reader{get: get}
	c := Config{
		Hostname:     hostname(r.text(EnvPrefix, n.HostnamePrefix) + strings.Join([]string{sp.Metadata.Org, sp.Metadata.Project, sp.Metadata.Environment}, "-")),
		Tags:         r.list(EnvTags, n.Tags),
		AcceptDNS:    r.flag(EnvAcceptDNS, n.AcceptDNS),
		AcceptRoutes: r.flag(EnvAcceptRoutes, n.AcceptRoutes),
		SSH:          r.flag(EnvSSH, n.SSH),
		ExtraArgs:    n.ExtraArgs,
		LoginServer:  r.text(EnvLoginServer, ""),
		Ephemeral:    r.flag(EnvEphemeral, true),
		Tun:          r.text(EnvTun, n.Tun),
		Proxy:        r.text(EnvProxy, DefaultProxy),
	}
	if name := r.text(EnvHostname, ""); name != "" {
		c.Hostname = hostname(name)
	}
	if args := r.text(EnvExtraArgs, ""); args != "" {
		c.ExtraArgs = strings.Fields(args)
	}
	for _, name := range spec.TailnetKeys {
		if key := strings.TrimSpace(r.text(name, "")); key != "" {
			c.Key = secret.New(key)
			break
		}
	}
	r.check(c)
	return c, r.err
}

// check finds what tailscale would refuse, or what would give a secret away.
func (r *reader) check(c Config) {
	if c.Hostname == "" {
		r.bad(EnvHostname, "has no letter or digit: a host name needs one")
	}
	for _, tag := range c.Tags {
		if !strings.HasPrefix(tag, "tag:") || len(tag) == len("tag:") {
			r.bad(EnvTags, fmt.Sprintf("has %q: a tag begins with tag: and a name, such as tag:devcontainer", tag))
		}
	}
	if !slices.Contains([]string{spec.TunUserspace, spec.TunKernel}, c.Tun) {
		r.bad(EnvTun, fmt.Sprintf("is %q, not %s or %s", c.Tun, spec.TunUserspace, spec.TunKernel))
	}
	if host, _, err := net.SplitHostPort(c.Proxy); err != nil || !onLoopback(host) {
		r.bad(EnvProxy, fmt.Sprintf("is %q, not a port on loopback such as %s: who reaches it is in the tailnet", c.Proxy, DefaultProxy))
	}
	for _, arg := range c.ExtraArgs {
		name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if name == "auth-key" || name == "authkey" {
			r.err = hint.Wrap(fmt.Errorf("extra_args holds --%s: a key on a command line is seen by every user", name), "set %s instead", spec.TailnetKeys[0])
		}
	}
}

func onLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// reader reads variables and keeps the first that is wrong.
type reader struct {
	get spec.Lookup
	err error
}

func (r *reader) bad(name, why string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s %s", name, why)
	}
}

func (r *reader) text(name, fallback string) string {
	if v, ok := r.get(name); ok {
		return v
	}
	return fallback
}

// list reads a comma list; a lone comma or space is the empty one.
func (r *reader) list(name string, fallback []string) []string {
	v, ok := r.get(name)
	if !ok {
		return fallback
	}
	var list []string
	for item := range strings.SplitSeq(v, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

func (r *reader) flag(name string, fallback bool) bool {
	v, ok := r.get(name)
	if !ok {
		return fallback
	}
	switch strings.ToLower(strings.TrimSpace(v)) {
	case "1", "true", "yes", "on":
		return true
	case "0", "false", "no", "off":
		return false
	}
	r.bad(name, fmt.Sprintf("is %q, not true or false", v))
	return fallback
}

// labelLimit is what a label of DNS holds.
const labelLimit = 63

// hostname makes a label of DNS of any text: lower case, what is not a letter or
// digit becomes a dash, no dash at the ends. A name that is too long keeps its
// end, where the environment is, and its beginning, where the prefix is.
func hostname(text string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(text) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			b.WriteRune(c)
		} else {
			b.WriteByte('-')
		}
	}
	name := strings.Trim(b.String(), "-")
	if len(name) > labelLimit {
		sum := checksum(name)
		head, tail := (labelLimit-len(sum)-2)/2, (labelLimit-len(sum)-2)/2
		name = name[:head] + "-" + sum + "-" + name[len(name)-tail:]
	}
	return name
}
