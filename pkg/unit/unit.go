// Package unit is the noun that everything supervised shares: a service, a job
// or a hook, as a plain value. Pure functions make units out of a spec, a
// network or a hook; the supervisor runs them and knows nothing else. Any
// package may import it; it imports nothing of ours.
package unit

import (
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"syscall"
	"time"
)

// Kind says how a unit lives.
type Kind string

// The kinds of a unit.
const (
	Service Kind = "service" // runs until stopped
	Job     Kind = "job"     // runs on a schedule or a trigger, and ends
	Hook    Kind = "hook"    // runs once at a point of the life cycle
)

// Restart says what follows the end of a child.
type Restart string

// The restart policies. Empty means the default of the kind: always for a
// service, never for a job (its schedule is its retry) and a hook.
const (
	Always    Restart = "always"
	OnFailure Restart = "on-failure"
	Never     Restart = "never"
)

// FailurePolicy decides whether a failed hook fails what it was a hook of.
type FailurePolicy string

// The failure policies of a hook.
const (
	Ignore FailurePolicy = "ignore" // log it and go on
	Fail   FailurePolicy = "fail"   // the caller of the hook point gets the error
)

// Defaults, filled in by WithDefaults.
const (
	DefaultBackoffBase   = 500 * time.Millisecond
	DefaultBackoffMax    = time.Minute
	DefaultBackoffFactor = 2
	DefaultHealthy       = 30 * time.Second // times the burst of 10 is the window: what dies this often still fails
	DefaultBurst         = 10
	DefaultWindow        = 5 * time.Minute
	DefaultGrace         = 10 * time.Second
	DefaultProbeInterval = time.Second
	DefaultProbeTimeout  = 30 * time.Second
	DefaultHookTimeout   = time.Minute
)

// Unit is one thing to supervise. The zero value of every field but Name, Kind
// and Argv means its default. It prints as its name only: Env holds secrets.
type Unit struct {
	Name   string
	Kind   Kind
	Argv   []string // Argv[0] without a slash is looked up in PATH of Env
	Env    []string // NAME=value: the full environment of the child, nothing is inherited
	Dir    string   // absolute; empty is /
	Screen bool     // it runs on a terminal of its own; a service alone
	User   string   // name or uid, with ":group" if it should not be the login group; empty is ours

	Restart    Restart
	Backoff    Backoff
	StartLimit StartLimit
	Stop       Stop

	After []string // other units, or milestones such as "restore", that come first
	Ready *Probe   // how to tell that a service does its work; nil: it does when it runs

	Schedule Schedule      // of a job
	Timeout  time.Duration // of a job or a hook: ended when it runs longer; 0: never, and 1m for a hook

	Point     string        // of a hook: the point where it runs
	OnFailure FailurePolicy // of a hook

	Blocked string // not empty: do not run, a person must act first ("RCLONE_BUCKET is not set")
}

// Backoff is the delay between the end of a child and its restart.
type Backoff struct {
	Base    time.Duration // first delay
	Max     time.Duration // no delay is longer
	Factor  float64       // each delay is the last one times this
	Healthy time.Duration // a child that ran this long starts at Base again
}

// StartLimit gives up (for a while) after more than Burst restarts in Window. A
// negative Burst means no limit.
type StartLimit struct {
	Burst  int
	Window time.Duration
}

// Stop is how a child is ended: Signal to all of its group, KILL after Grace. A
// negative Grace kills at once.
type Stop struct {
	Signal syscall.Signal
	Grace  time.Duration
}

// Probe reports whether a service does its work: Exec exits 0. It is asked each
// Interval until it does; not within Timeout counts as a failed start.
type Probe struct {
	Exec     []string
	Interval time.Duration
	Timeout  time.Duration
}

// Schedule of a job. Every counts from the end of one run to the start of the
// next, so runs never pile up; 0 means that it runs by trigger only.
type Schedule struct {
	Every time.Duration
}

// WithDefaults returns u with the defaults of its kind filled in.
func (u Unit) WithDefaults() Unit {
	if u.Kind == "" {
		u.Kind = Service
	}
	if u.Restart == "" {
		u.Restart = Never
		if u.Kind == Service {
			u.Restart = Always
		}
	}
	u.Backoff = u.Backoff.withDefaults()
	or(&u.StartLimit.Burst, DefaultBurst)
	or(&u.StartLimit.Window, DefaultWindow)
	or(&u.Stop.Signal, syscall.SIGTERM)
	or(&u.Stop.Grace, DefaultGrace)
	if u.Ready != nil {
		p := *u.Ready
		or(&p.Interval, DefaultProbeInterval)
		or(&p.Timeout, DefaultProbeTimeout)
		u.Ready = &p
	}
	if u.Kind == Hook {
		or(&u.Timeout, DefaultHookTimeout)
		or(&u.OnFailure, Ignore)
	}
	return u
}

func (b Backoff) withDefaults() Backoff {
	or(&b.Base, DefaultBackoffBase)
	or(&b.Max, max(DefaultBackoffMax, b.Base))
	or(&b.Factor, DefaultBackoffFactor)
	or(&b.Healthy, DefaultHealthy)
	return b
}

// or sets *p to def if it is zero.
func or[T comparable](p *T, def T) {
	var zero T
	if *p == zero {
		*p = def
	}
}

// Equal says that a reload from a to b need not touch the unit at all.
func Equal(a, b Unit) bool {
	return reflect.DeepEqual(normal(a), normal(b))
}

// SameProcess says that a child started from a is what b would start: a reload
// from a to b takes the new policy and leaves the child alone.
func SameProcess(a, b Unit) bool {
	return a.Kind == b.Kind && a.Dir == b.Dir && a.User == b.User && a.Blocked == b.Blocked && a.Screen == b.Screen &&
		slices.Equal(a.Argv, b.Argv) && slices.Equal(a.Env, b.Env)
}

// normal makes nil and empty lists alike, for Equal.
func normal(u Unit) Unit {
	u = u.WithDefaults()
	for _, list := range []*[]string{&u.Argv, &u.Env, &u.After} {
		if len(*list) == 0 {
			*list = nil
		}
	}
	return u
}

// Format prints the name for every verb: %v of a struct would print Env.
func (u Unit) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, u.Name) }

// LogValue is the name, for the same reason.
func (u Unit) LogValue() slog.Value { return slog.StringValue(u.Name) }

// MarshalText is the name, for the same reason.
func (u Unit) MarshalText() ([]byte, error) { return []byte(u.Name), nil }
