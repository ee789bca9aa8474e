package tailnet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/coltec/coltec/pkg/secret"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/wholefile"
)

// Join is one run of the job.
type Join struct {
	Tailscale string   // path of the client
	Socket    string   // of tailscaled
	State     string   // directory of tailscaled
	Report    string   // file for the status
	Up        []string // flags of tailscale up
	Key       secret.Value
	Env       []string
}

// report is what the job saw last, for the status.
type report struct {
	Network status.Network `json:"network"`
	Daemon  string         `json:"daemon"` // which start of tailscaled it is about
}

// applied is what the node runs with. It outlives tailscaled, as the state of a node
// that is kept does: such a node needs no key again, and a one-off key is used up.
type applied struct {
	Flags string `json:"flags"`          // checksum
	Note  string `json:"note,omitempty"` // what it runs without, though it was asked for
}

// applied is the file for it.
func (j Join) applied() string { return filepath.Join(j.State, "coltec.json") }

// running is tailscale's word for a node that is in the tailnet.
const running = "Running"

// state is what `tailscale status --json` says, as far as it matters here.
type state struct {
	BackendState string
	Health       []string
	Self         *struct {
		HostName     string
		DNSName      string
		TailscaleIPs []string
		Online       bool // the control server is reached
		KeyExpiry    *time.Time
	}
}

func (s state) joined() bool {
	return s.BackendState == running && s.Self != nil && len(s.Self.TailscaleIPs) > 0
}

// coming reports whether the control server knows the node, which is on its way into the
// tailnet: it needs no key.
func (s state) coming() bool { return s.BackendState == "NoState" || s.BackendState == "Starting" }

// Run looks, joins if need be, and looks again: the state counts, not what
// tailscale up returns. The report is written in any case.
func (j Join) Run(ctx context.Context) error {
	daemon := started(j.Socket) // before the look: a later start is another one
	is, want := read[applied](j.applied()), checksum(strings.Join(j.Up, "\x00"))
	now, err := j.look(ctx)
	if is.Flags == want {
		now, err = j.settle(ctx, now, err)
	}
	switch {
	case err != nil:
	case is.Flags == want && now.coming():
		err = reason(now, nil)
	case !now.joined() || is.Flags != want:
		var upErr error
		is.Note, upErr = j.up(ctx)
		if now, err = j.look(ctx); err == nil && (!now.joined() || upErr != nil) {
			err = reason(now, upErr)
		}
		if is.Flags = want; err != nil {
			is.Flags = ""
		}
		err = errors.Join(err, write(j.applied(), is))
	}
	if is.Note != "" {
		now.Health = append(now.Health, is.Note)
	}
	return errors.Join(err, write(j.Report, report{Network: network(now, err), Daemon: daemon}))
}

// How long a node may take to come back by itself before its absence is reported, and
// how often we look meanwhile. On a good network it takes half a second.
const (
	settleTime  = 5 * time.Second
	settleEvery = 200 * time.Millisecond
)

// settle looks again while the node is on its way.
func (j Join) settle(ctx context.Context, now state, err error) (state, error) {
	over, tick := time.After(settleTime), time.NewTicker(settleEvery)
	defer tick.Stop()
	for err == nil && now.coming() {
		select {
		case <-ctx.Done():
			return now, context.Cause(ctx)
		case <-over:
			return now, nil
		case <-tick.C:
			now, err = j.look(ctx)
		}
	}
	return now, err
}

// look asks for the state.
func (j Join) look(ctx context.Context) (state, error) {
	cmd := j.command(ctx, "status", "--json", "--peers=false")
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	var s state
	if err := cmd.Run(); err != nil {
		return s, fmt.Errorf("cannot ask tailscaled: %w: %s", err, lastLine(talk.String()))
	}
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		return s, fmt.Errorf("cannot read the answer of tailscale status: %w", err)
	}
	return s, nil
}

// noSSH is the note of a node whose tailnet has no SSH.
const noSSH = "Tailscale SSH is not enabled in this tailnet: the node runs without it"

// up runs tailscale up. In a tailnet without SSH a node that asks for it joins, and
// then refuses every change of its settings, its logout among them: it runs without,
// and the note says so.
func (j Join) up(ctx context.Context) (note string, err error) {
	without := slices.Clone(j.Up)
	asks := slices.Index(without, "--ssh=true")
	err = j.tell(ctx, append([]string{"up"}, j.Up...)...)
	if asks < 0 {
		return "", err
	}
	without[asks] = "--ssh=false"
	switch {
	case refusesSSH(err): // it was in the tailnet before
		return noSSH, j.tell(ctx, append([]string{"up"}, without...)...)
	case err == nil && refusesSSH(j.tell(ctx, "set", "--ssh=true")): // a change that is none, to be told
		return noSSH, j.tell(ctx, "set", "--ssh=false")
	}
	return "", err
}

func refusesSSH(err error) bool {
	return err != nil && strings.Contains(err.Error(), "Unable to enable local Tailscale SSH server")
}

// tell runs a verb of the client, with the key on its standard input. Its error is
// what it said last.
func (j Join) tell(ctx context.Context, args ...string) error {
	cmd := j.command(ctx, args...)
	cmd.Stdin = strings.NewReader(j.Key.Reveal())
	var talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &talk, &talk
	if err := cmd.Run(); err != nil {
		text := lastLine(string(secret.NewRedactor(j.Key.Reveal()).Redact(talk.Bytes())))
		if text == "" {
			return fmt.Errorf("tailscale %s: %w", args[0], err)
		}
		return errors.New(text)
	}
	return nil
}

// command is the client in a group of its own, which ends with ctx.
func (j Join) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, j.Tailscale, append([]string{"--socket=" + j.Socket}, args...)...)
	cmd.Env = slices.DeleteFunc(slices.Clone(j.Env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(spec.TailnetKeys, name)
	})
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	return cmd
}

// reason is why a node is not in the tailnet.
func reason(s state, cause error) error {
	text := ""
	if cause != nil {
		text = cause.Error()
	}
	switch lower := strings.ToLower(text); {
	case strings.Contains(lower, "invalid key"), strings.Contains(lower, "invalid authkey"), strings.Contains(lower, "not valid"):
		return fmt.Errorf("invalid key: the control server refuses the one in %s (%s)", spec.TailnetKeys[0], text)
	case text == "" && len(s.Health) > 0:
		text = s.Health[0]
	case text == "":
		text = "no reason was given"
	case strings.Contains(lower, "timeout") && len(s.Health) > 0:
		text += ": " + strings.Join(s.Health, "; ")
	}
	return fmt.Errorf("not in the tailnet (%s): %s", firstOf(s.BackendState, "no state"), text)
}

// network is the state for the status document.
func network(s state, err error) status.Network {
	n := status.Network{State: status.NetworkJoining, Health: s.Health}
	if err != nil {
		n.LastError = err.Error()
	}
	if s.Self != nil {
		n.Name = strings.TrimSuffix(firstOf(s.Self.DNSName, s.Self.HostName), ".")
		n.Addresses, n.KeyExpiry = s.Self.TailscaleIPs, s.Self.KeyExpiry
	}
	switch {
	case s.joined() && s.Self.Online:
		n.State = status.NetworkRunning
	case s.joined():
		n.State = status.NetworkOffline
	}
	return n
}

// Status reads what the job reported last; there may be nothing yet.
func Status(p Place) status.Network {
	r := read[report](p.Report())
	if r.Network.State == "" || r.Daemon != started(p.Socket()) {
		return status.Network{State: status.NetworkJoining}
	}
	return r.Network
}

// started distinguishes one start of tailscaled from another: each makes its socket anew.
func started(socket string) string {
	info, err := os.Stat(socket)
	if err != nil {
		return ""
	}
	return info.ModTime().UTC().Format(time.RFC3339Nano)
}

// Ready reports whether tailscaled answers.
func Ready(socket string) error {
	c, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return err
	}
	return c.Close()
}

// read returns what is in a file that write made.
func read[T any](path string) T {
	var v T
	if b, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(b, &v) // an unreadable one counts as none
	}
	return v
}

// write makes the file appear whole.
func write(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return wholefile.Write(path, b, 0o600, wholefile.Volatile)
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
