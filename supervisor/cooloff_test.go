package supervisor

import (
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/unit"
)

// failing plays ends at once until the unit is given up, and tells for how long.
func (p *played) failing(now time.Time) (time.Time, time.Duration) {
	p.t.Helper()
	for range 10 {
		if p.state == Failed {
			return now, p.nextRetry.Sub(now)
		}
		if p.state == Backoff {
			now = p.armed
			p.fire(now)
		}
		now = p.run(now, 0, false)
	}
	p.t.Fatalf("it is %s after ten failed runs", p.state)
	return now, 0
}

// A cool-off is the longer the more came before it, and what ends that count is a run
// that was well, and a person who starts or redefines the unit. Else a service that was
// given up twice last month waits for twenty minutes today.
func TestCoolOffsBeginAnewWhereItWasWell(t *testing.T) {
	def := unit.Unit{
		StartLimit: unit.StartLimit{Burst: 1, Window: time.Hour},
		Backoff:    unit.Backoff{Base: time.Second, Max: time.Second},
	}
	other := def
	other.Name, other.Argv = "unit", []string{"run", "otherwise"}
	retried := func(p *played, _ time.Time) time.Time {
		at := p.nextRetry
		p.fire(at)
		return at
	}
	for name, tt := range map[string]struct {
		then func(p *played, now time.Time) time.Time // what happens after two cool-offs
		want time.Duration
	}{
		"it fails again": {retried, 4 * coolOffBase},
		"it runs for a short while": {func(p *played, now time.Time) time.Time {
			return p.run(retried(p, now), unit.DefaultHealthy-1, false)
		}, 4 * coolOffBase},
		"it runs well for long": {func(p *played, now time.Time) time.Time {
			return p.run(retried(p, now), unit.DefaultHealthy, false)
		}, coolOffBase},
		"a person starts it": {func(p *played, now time.Time) time.Time {
			p.at(now, evBegin{"start"})
			p.at(now, evRelease{})
			return now
		}, coolOffBase},
		"a reload changes it": {func(p *played, now time.Time) time.Time {
			p.at(now, evDefine{other})
			p.at(now, evRelease{})
			return now
		}, coolOffBase},
		"another coltecd finds it running for long": {func(p *played, now time.Time) time.Time {
			return p.recalled(now.Add(-unit.DefaultHealthy), now)
		}, coolOffBase},
		"another coltecd finds it just started": {func(p *played, now time.Time) time.Time {
			return p.recalled(now, now)
		}, 4 * coolOffBase},
	} {
		t.Run(name, func(t *testing.T) {
			p := playedUnit(t, def, noon)
			now, first := p.failing(noon)
			now, second := p.failing(retried(p, now))
			if first != coolOffBase || second != 2*coolOffBase {
				t.Fatalf("cool-offs of %v and %v", first, second)
			}
			if now, got := p.failing(tt.then(p, now)); got != tt.want {
				t.Errorf("at %v it waits for %v, not for %v", now, got, tt.want)
			}
		})
	}
}

// recalled is the unit under another supervisor, which learns that it ran since then.
func (p *played) recalled(since, now time.Time) time.Time {
	was := past{Argv: p.def.Argv, State: Running, Since: since, CoolOffs: p.coolOffs}
	p.unitState = newUnit(p.def, now, 1)
	p.at(now, evRecall{was})
	p.at(now, evRelease{})
	return now
}
