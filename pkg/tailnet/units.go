package tailnet

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/unit"
)

// The names of the units.
const (
	Daemon = "tailscaled"   // the service
	Joiner = "tailscale-up" // the job
)

// Place is where things are on this machine.
type Place struct {
	Coltecd    string   // the program whose verb tailnet-up calls Join
	Tailscale  string   // path of the client; empty: not found
	Tailscaled string   // path of the daemon; empty: not found
	Dir        string   // private, short, outlives tailscaled
	Env        []string // of tailscaled and the job, no credentials in it
	TunMissing string   // why the kernel's network cannot be used; empty: it can
	Kept       string   // private, outlives coltecd: of a node that is not ephemeral
	KeptWhy    string   // why there is no such place; empty: there is
}

// TunDevice is what tailscaled makes a network interface with.
const TunDevice = "/dev/net/tun"

// TunMissing is what a process lacks for the kernel's network, "" if nothing.
func TunMissing(device, netAdmin bool) string {
	lacks := ""
	switch {
	case !device:
		lacks = TunDevice + " cannot be opened"
	case !netAdmin:
		lacks = "NET_ADMIN is missing"
	default:
		return ""
	}
	return "tun is kernel, and " + lacks + ": give the container --device " + TunDevice + " --cap-add NET_ADMIN and run coltecd as root, or ask for userspace"
}

// Socket is where tailscaled answers.
func (p Place) Socket() string { return filepath.Join(p.Dir, "ts.sock") }

// Report is the file that the job leaves for the status.
func (p Place) Report() string { return filepath.Join(p.Dir, "tailnet.json") }

// state is the directory of tailscaled.
func (c Config) state(p Place) string {
	if c.Ephemeral {
		return filepath.Join(p.Dir, "tailscale")
	}
	return p.Kept
}

// How often the job looks. A look is two short processes; after a tailscaled that
// was killed the node is back within this time.
const (
	lookEvery   = 10 * time.Second
	joinTimeout = 45 * time.Second // of a run of the job; longer than upTimeout and its look
	upTimeout   = 25 * time.Second // of tailscale up, whose own default is for ever
)

// Units are tailscaled and the job that joins, or the one of them that says why
// it cannot run.
func (c Config) Units(p Place) []unit.Unit {
	daemon := unit.Unit{
		Name: Daemon, Kind: unit.Service, Argv: c.daemonArgv(p), Dir: "/",
		Env: append(slices.Clone(p.Env), "TS_LOGS_DIR="+c.state(p)), // root's default is shared by all
		// It must come back after any fault, however long that lasts.
		StartLimit: unit.StartLimit{Burst: -1},
		Stop:       unit.Stop{Signal: syscall.SIGTERM, Grace: 5 * time.Second}, // an ephemeral node says good-bye
		Ready:      &unit.Probe{Exec: []string{p.Coltecd, "tailnet-up", "--socket", p.Socket(), "--ready"}, Interval: 200 * time.Millisecond},
	}
	joiner := unit.Unit{
		Name: Joiner, Kind: unit.Job, Argv: c.joinArgv(p), Dir: "/", After: []string{Daemon},
		Env:      append(slices.Clone(p.Env), spec.TailnetKeys[0]+"="+c.Key.Reveal()),
		Schedule: unit.Schedule{Every: lookEvery}, Timeout: joinTimeout,
		Restart: unit.OnFailure, Backoff: unit.Backoff{Base: time.Second, Max: time.Minute}, StartLimit: unit.StartLimit{Burst: -1},
	}
	switch {
	case p.Tailscaled == "" || p.Tailscale == "":
		daemon.Argv, daemon.Ready = []string{Daemon}, nil
		daemon.Blocked = "tailscale and tailscaled are not installed: install them in the image, or set networking.enabled: false"
		return []unit.Unit{daemon}
	case c.Tun == spec.TunKernel && p.TunMissing != "":
		daemon.Blocked = p.TunMissing
		return []unit.Unit{daemon}
	case !c.Ephemeral && p.KeptWhy != "":
		daemon.Blocked = EnvEphemeral + " is false, and " + p.KeptWhy
		return []unit.Unit{daemon}
	case c.Key.Empty():
		joiner.Env, joiner.After = nil, nil
		joiner.Blocked = spec.TailnetKeys[0] + " is not set"
		return []unit.Unit{joiner}
	}
	return []unit.Unit{daemon, joiner}
}

// Blocked is the unit that says why nothing can be asked for.
func Blocked(err error) unit.Unit {
	return unit.Unit{Name: Daemon, Kind: unit.Service, Argv: []string{Daemon}, Blocked: err.Error()}
}

// daemonArgv is the command line of tailscaled. An ephemeral node keeps its state
// in memory: tailscaled then registers it as ephemeral and logs it out at its end.
func (c Config) daemonArgv(p Place) []string {
	argv := []string{p.Tailscaled, "--socket=" + p.Socket(), "--statedir=" + c.state(p)}
	if c.Ephemeral {
		argv = append(argv, "--state=mem:")
	}
	if c.Tun == spec.TunKernel {
		return append(argv, "--tun=tailscale0")
	}
	return append(argv, "--tun=userspace-networking", "--socks5-server="+c.Proxy, "--outbound-http-proxy-listen="+c.Proxy)
}

// joinArgv is the command line of the job: where things are, then the flags of
// tailscale up.
func (c Config) joinArgv(p Place) []string {
	argv := []string{p.Coltecd, "tailnet-up", "--tailscale", p.Tailscale, "--socket", p.Socket(), "--state", c.state(p), "--report", p.Report(), "--"}
	return append(argv, c.upFlags()...)
}

// upFlags are the flags of tailscale up. Without --reset a later call with fewer
// flags fails. The key comes by standard input: a command line is seen by all.
func (c Config) upFlags() []string {
	flags := []string{
		"--reset", "--timeout=" + upTimeout.String(), "--auth-key=file:/dev/stdin", "--hostname=" + c.Hostname,
		"--accept-dns=" + strconv.FormatBool(c.AcceptDNS), "--accept-routes=" + strconv.FormatBool(c.AcceptRoutes),
		"--ssh=" + strconv.FormatBool(c.SSH),
	}
	if len(c.Tags) > 0 {
		flags = append(flags, "--advertise-tags="+strings.Join(c.Tags, ","))
	}
	if c.LoginServer != "" {
		flags = append(flags, "--login-server="+c.LoginServer)
	}
	return append(flags, c.ExtraArgs...)
}

// checksum is short and distinguishes long names.
func checksum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
}
