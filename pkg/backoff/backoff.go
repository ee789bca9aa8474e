// Package backoff is the arithmetic of trying again: delays that grow, saturate
// and spread, and a window that counts how often. Pure: no clock, no global
// randomness. Anyone may import it; it imports nothing of ours.
package backoff

import (
	"math"
	"time"
)

// Policy of growing delays.
type Policy struct {
	Base   time.Duration // delay of attempt 0
	Max    time.Duration // no delay is longer; 0 means no limit but the type's
	Factor float64       // below 1 (and NaN) counts as 1
	Jitter float64       // the share of a delay, 0 to 1, that chance takes off, so that many do not try at once
}

// Delay returns the delay before try number attempt (from 0). chance, in [0, 1),
// decides how much of the jitter is taken off; nil takes nothing.
//
// It saturates instead of overflowing: min(base<<n, max) turns negative at n = 34
// for a base of 1 s, which is a hot restart loop.
func (p Policy) Delay(attempt int, chance func() float64) time.Duration {
	limit := float64(p.Max)
	if p.Max <= 0 {
		limit = math.MaxInt64 / 2
	}
	factor := p.Factor
	if !(factor >= 1) {
		factor = 1
	}
	d := float64(max(p.Base, 0)) * math.Pow(factor, float64(max(attempt, 0)))
	if !(d < limit) { // also +Inf and 0·Inf
		d = limit
	}
	if p.Base <= 0 {
		return 0
	}
	if chance != nil {
		d -= d * min(max(p.Jitter, 0), 1) * chance()
	}
	return time.Duration(d)
}

// Window remembers when something happened, as far back as it matters. It is a
// value: Add never changes the one it is called on.
type Window struct {
	times []time.Time
}

// Add counts one more at now and reports whether that makes more than burst within
// span. A burst below 0 never does.
func (w Window) Add(now time.Time, burst int, span time.Duration) (Window, bool) {
	kept := make([]time.Time, 0, len(w.times)+1)
	for _, t := range w.times {
		if now.Sub(t) < span {
			kept = append(kept, t)
		}
	}
	kept = append(kept, now)
	if burst < 0 {
		return Window{}, false
	}
	return Window{kept}, len(kept) > burst
}

// Times are when it happened, oldest first. The caller must not change them.
func (w Window) Times() []time.Time { return w.times }

// Len is how many are remembered.
func (w Window) Len() int { return len(w.times) }

// Chance is a stream of pseudo-random numbers as a value (splitmix64), so that
// who carries it in their state stays pure. Any seed will do.
type Chance uint64

// Next returns a number in [0, 1) and the stream after it.
func (c Chance) Next() (float64, Chance) {
	c += 0x9e3779b97f4a7c15
	z := uint64(c)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return float64(z>>11) / (1 << 53), c
}
