package engine

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/coltec/coltec/pkg/backoff"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
)

// clock is what an engine has of time, of chance and of its machine. The model
// test gives each of its machines one of their own.
type clock struct {
	store.Clock
	random func() float64
	ticker func(time.Duration) (tick <-chan time.Time, stop func())
	beside func(f func())                                // runs f while its caller goes on
	files  func(path string) (localfs.FileSystem, error) // nil: the real one
}

var realClock = clock{
	Clock:  store.Clock{Now: time.Now},
	random: rand.Float64,
	ticker: func(d time.Duration) (<-chan time.Time, func()) {
		t := time.NewTicker(d)
		return t.C, t.Stop
	},
	beside: func(f func()) { go f() },
}

// env is what all parts of an engine share. Nothing of it changes after New.
type env struct {
	o      Options
	clock  clock
	policy backoff.Policy
}

// now is the time on this machine's clock.
func (v *env) now() time.Time { return v.clock.Now() }

// instant is now, with what chance says of it.
func (v *env) instant() instant {
	return instant{now: v.now(), chance: v.clock.random, policy: v.policy}
}

// jitter puts an interval off by up to a tenth, so that many workspaces do not beat
// together. It is never shorter: a minute between renewals is one request a minute
// at most.
func (i instant) jitter(d time.Duration) time.Duration {
	return d + time.Duration(i.chance()*float64(d/10))
}

// instant is when something happened, and the chance that spreads what follows from it.
type instant struct {
	now    time.Time
	chance func() float64
	policy backoff.Policy
}

// delay is how long after a failure the next attempt is made.
func (i instant) delay(failures int) time.Duration { return i.policy.Delay(failures, i.chance) }

// spending counts on a meter.
func (v *env) spending(m *meter) func(rclone.Spent) {
	return func(s rclone.Spent) { m.add(v.now(), s) }
}

// connect opens a prefix. That it cannot is something that a person mends.
func (v *env) connect(ctx context.Context, t scope.Target) (scope.Remote, error) {
	remote, err := v.o.Connect(ctx, t)
	if err != nil {
		return nil, &blockedError{err}
	}
	return remote, nil
}

// connectPlain opens a replica's prefix for plain objects.
func (v *env) connectPlain(ctx context.Context, replica string, cost *meter) (scope.Remote, error) {
	return v.connect(ctx, scope.Target{Replica: replica, Plain: true, Spent: v.spending(cost)})
}
