package main

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/status"
)

// Colours of a terminal, by what they mean.
const (
	good = "32" // green
	busy = "36" // cyan
	warn = "33" // yellow
	bad  = "31" // red
	dim  = "2"
	bold = "1"
)

// colorOf gives the colour of a state, of whatever it is a state.
var colorOf = map[string]string{
	"running": good, "ready": good, "held": good, "synced": good,
	"starting": busy, "waiting": busy, "joining": busy, "syncing": busy, "restoring": busy, "stopping": busy, "killing": busy,
	"backoff": warn, "degraded": warn, "retrying": warn, "paused": warn, "incomplete": warn, "best_effort": warn, "disabled": warn, "offline": warn,
	"failed": bad, "blocked": bad, "fenced": bad, "stopped": bad,
	"exited": dim, "none": dim,
}

// renderer writes a status document for people.
type renderer struct {
	color bool
	width int // of a line of the terminal, in cells; 0: any
	now   func() time.Time
}

// document is the whole text.
func (r renderer) document(d status.Document) string {
	var b strings.Builder
	r.headline(&b, d)
	if len(d.Units) > 0 {
		b.WriteString("\n" + r.units(d.Units))
	}
	if len(d.Replicas) > 0 {
		b.WriteString("\n" + r.replicas(d.Replicas))
		b.WriteString(r.onlyHere(d.Replicas))
	}
	b.WriteString(r.agents(d.Agents))
	if len(d.Attention) > 0 {
		b.WriteString("\n" + r.paint(bold, "attention") + "\n")
		for _, a := range d.Attention {
			b.WriteString("  - " + cmdline.Plain(a) + "\n")
		}
	}
	return b.String()
}

func (r renderer) headline(b *strings.Builder, d status.Document) {
	if d.Workspace.Org != "" {
		b.WriteString(r.paint(bold, cmdline.Plain(d.Workspace.String())) + "  ")
	}
	b.WriteString(r.state(string(d.State)))
	if d.PID != 0 {
		fmt.Fprintf(b, "  pid %d, up %s, coltecd %s", d.PID, r.ago(d.Since), cmdline.Plain(d.Version))
	}
	b.WriteString("\n")
	if len(d.Replicas) > 0 || d.Lease.State != status.LeaseNone {
		b.WriteString("lease " + r.lease(d.Lease) + "\n")
	}
	if cost := d.Cost(); cost != (status.Cost{}) {
		b.WriteString("cost " + costs(cost) + "\n")
	}
	if d.Network != nil {
		b.WriteString("tailnet " + r.network(d.Network) + "\n")
	}
}

// network is the node in the tailnet, on one line.
func (r renderer) network(n *status.Network) string {
	text := r.state(string(n.State))
	for _, word := range append([]string{n.Name, strings.Join(n.Addresses, ", ")}, n.Health...) {
		if word != "" {
			text += "  " + cmdline.Plain(word)
		}
	}
	if n.Proxy != "" {
		text += "  proxy " + cmdline.Plain(n.Proxy)
	}
	if n.KeyExpiry != nil {
		text += "  key expires " + r.in(n.KeyExpiry)
	}
	return text
}

// costs is what the workspace asks of its store.
func costs(c status.Cost) string {
	return fmt.Sprintf("%.0f requests and %s within the last hour, idle about %.0f requests a month",
		c.RequestsPerHour, cmdline.Size(int64(c.BytesPerHour)), c.IdlePerMonth)
}

func (r renderer) lease(l status.Lease) string {
	text := r.state(string(l.State))
	if l.Epoch > 0 {
		text += fmt.Sprintf("  epoch %d, generation %d", l.Epoch, l.Generation)
	}
	if h := l.Holder; h != nil && l.State != status.LeaseHeld {
		text += "  held by " + cmdline.Plain(h.Host)
		if h.Container != "" {
			text += " (" + cmdline.Plain(h.Container) + ")"
		}
		if !h.Since.IsZero() {
			text += " for " + r.ago(&h.Since)
		}
		if h.LastSeen != nil {
			text += ", last seen " + r.ago(h.LastSeen) + " ago"
		}
	}
	return text
}

func (r renderer) units(units []status.Unit) string {
	t := cmdline.Table{{"UNIT", "KIND", "STATE", "FOR", "PID", "RESTARTS", "NEXT", "LAST ERROR"}}
	for _, u := range units {
		next := u.NextRun
		if next == nil {
			next = u.NextRetry
		}
		last := u.LastError
		if u.PID == 0 || u.Restarts > 0 { // else what ended it was asked for: a pause, a restart, another command
			last = cmp.Or(last, u.LastExit)
		}
		t = append(t, []string{
			cmdline.Plain(u.Name), cmdline.Plain(u.Kind), r.state(u.State), r.ago(u.Since), number(u.PID), strconv.Itoa(u.Restarts),
			r.in(next), cmdline.OneLine(cmp.Or(last, "-")),
		})
	}
	return t.Fit(r.width)
}

func (r renderer) replicas(replicas []status.Replica) string {
	t := cmdline.Table{{"REPLICA", "DIRECTION", "STATE", "LAST SYNC", "PENDING", "CONFLICTS", "LAST HOUR", "NEXT", "LAST ERROR"}}
	for _, p := range replicas {
		last := "never"
		if p.LastSync != nil {
			last = r.ago(p.LastSync) + " ago"
		}
		t = append(t, []string{
			cmdline.Plain(p.Name), cmdline.Plain(p.Direction), r.state(string(p.State)) + progress(p.Progress) + doing(p.Doing), last,
			strconv.Itoa(p.Pending), strconv.Itoa(p.Conflicts), spent(p.Cost), r.in(p.NextRun), cmdline.OneLine(p.LastError),
		})
	}
	return t.Fit(r.width)
}

// onlyHere describes what the bucket does not have, a line for each reason.
func (r renderer) onlyHere(replicas []status.Replica) string {
	var b strings.Builder
	for _, p := range replicas {
		for _, part := range p.OnlyHere {
			fmt.Fprintf(&b, "  %s: %s, for %s\n", cmdline.Plain(p.Name), cmdline.Plain(part.String()), r.ago(&part.Since))
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "\n" + r.paint(bold, "only on this machine") + "\n" + b.String()
}

// agents says who was at work, and how to go on.
func (r renderer) agents(agents []status.Agent) string {
	var b strings.Builder
	for _, a := range agents {
		if text := a.Sentence(r.now()); text != "" {
			b.WriteString("  " + cmdline.OneLine(text) + "\n")
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "\n" + r.paint(bold, "agents") + "\n" + b.String()
}

// spent is what a replica took of the store.
func spent(c status.Cost) string {
	if c.RequestsPerHour == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f req, %s", c.RequestsPerHour, cmdline.Size(int64(c.BytesPerHour)))
}

// progress is a share and the time that is left.
func progress(p *status.Progress) string {
	if p == nil || p.TotalBytes == 0 {
		return ""
	}
	text := fmt.Sprintf(" %d%%", 100*p.Bytes/p.TotalBytes)
	if p.ETASeconds > 0 {
		text += ", " + cmdline.Span(time.Duration(p.ETASeconds*float64(time.Second))) + " left"
	}
	return text
}

// doing is what a replica does beside transfers.
func doing(text string) string {
	if text == "" {
		return ""
	}
	return " (" + cmdline.Plain(text) + ")"
}

func (r renderer) state(s string) string { return r.paint(colorOf[s], cmdline.Plain(s)) }

func (r renderer) paint(color, text string) string {
	if !r.color || color == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

func (r renderer) ago(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "-"
	}
	return cmdline.Span(r.now().Sub(*t))
}

func (r renderer) in(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "-"
	}
	return "in " + cmdline.Span(t.Sub(r.now()))
}

func number(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

// compactJSON writes one line.
func compactJSON(w io.Writer, v any) error { return cmdline.JSON(w, "", v) }
