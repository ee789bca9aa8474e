package engine

import (
	"math/rand/v2"
	"time"

	"github.com/coltec/coltec/pkg/localfs"
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

// now is the time on this machine's clock.
func (e *Engine) now() time.Time { return e.clock.Now() }

// jitter puts an interval off by up to a tenth, so that many workspaces do not beat
// together. It is never shorter: a minute between renewals is one request a minute
// at most.
func (e *Engine) jitter(d time.Duration) time.Duration {
	return d + time.Duration(e.clock.random()*float64(d/10))
}
