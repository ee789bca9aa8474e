package backoff

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDelay(t *testing.T) {
	standard := Policy{Base: 500 * time.Millisecond, Max: time.Minute, Factor: 2, Jitter: 0.2}
	fixed := func(f float64) func() float64 { return func() float64 { return f } }
	tests := map[string]struct {
		p       Policy
		attempt int
		chance  func() float64
		want    time.Duration
	}{
		"first":                   {standard, 0, nil, 500 * time.Millisecond},
		"grows":                   {standard, 3, nil, 4 * time.Second},
		"saturates":               {standard, 7, nil, time.Minute},
		"no overflow at 34":       {Policy{Base: time.Second, Factor: 2, Max: time.Hour}, 34, nil, time.Hour},
		"no overflow at max int":  {standard, math.MaxInt, nil, time.Minute},
		"no limit, no overflow":   {Policy{Base: time.Second, Factor: 10}, 1000, nil, math.MaxInt64/2 + 1},
		"jitter takes off":        {standard, 0, fixed(0.5), 450 * time.Millisecond},
		"jitter at most its part": {standard, 0, fixed(0.999999), 400 * time.Millisecond},
		"jitter below 0":          {Policy{Base: time.Second, Jitter: -1}, 0, fixed(0.5), time.Second},
		"factor below 1":          {Policy{Base: time.Second, Factor: 0.1}, 9, nil, time.Second},
		"factor NaN":              {Policy{Base: time.Second, Factor: math.NaN()}, 9, nil, time.Second},
		"negative attempt":        {standard, -1, nil, 500 * time.Millisecond},
		"zero policy":             {Policy{}, 99, nil, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := tt.p.Delay(tt.attempt, tt.chance)
			if diff := got - tt.want; diff < -time.Microsecond || diff > time.Microsecond {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// Old bug of the trade: a delay that shrinks or turns negative as attempts grow.
func FuzzDelay(f *testing.F) {
	f.Add(int64(time.Second), int64(time.Minute), 2.0, 0.2, 34, 0.3)
	f.Fuzz(func(t *testing.T, base, limit int64, factor, jitter float64, attempt int, chance float64) {
		p := Policy{time.Duration(base), time.Duration(limit), factor, jitter}
		without := p.Delay(attempt, nil)
		if without < 0 || p.Max > 0 && without > p.Max {
			t.Fatalf("%+v.Delay(%d) = %v", p, attempt, without)
		}
		if attempt < math.MaxInt && p.Delay(attempt+1, nil) < without {
			t.Fatalf("%+v shrinks after %d", p, attempt)
		}
		c := math.Abs(chance - math.Trunc(chance))
		if !(c < 1) {
			return
		}
		if d := p.Delay(attempt, func() float64 { return c }); d < 0 || d > without {
			t.Fatalf("%+v.Delay(%d) with chance %v = %v, more than %v", p, attempt, c, d, without)
		}
	})
}

func TestWindow(t *testing.T) {
	at := func(s ...int) (times []time.Time) {
		for _, n := range s {
			times = append(times, time.Unix(int64(n), 0))
		}
		return times
	}
	tests := map[string]struct {
		burst int
		times []time.Time
		want  []bool
	}{
		"within":         {3, at(0, 1, 2), []bool{false, false, false}},
		"over":           {2, at(0, 1, 2, 3), []bool{false, false, true, true}},
		"slides":         {2, at(0, 1, 10, 11, 12), []bool{false, false, false, false, true}},
		"edge is out":    {1, at(0, 10), []bool{false, false}},
		"none allowed":   {0, at(0), []bool{true}},
		"no limit":       {-1, at(0, 0, 0, 0), []bool{false, false, false, false}},
		"clock set back": {1, at(100, 0), []bool{false, true}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var w Window
			var got []bool
			for _, now := range tt.times {
				var over bool
				w, over = w.Add(now, tt.burst, 10*time.Second)
				got = append(got, over)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWindowIsAValue(t *testing.T) {
	var w Window
	w, _ = w.Add(time.Unix(0, 0), 5, time.Minute)
	a, _ := w.Add(time.Unix(1, 0), 5, time.Minute)
	b, _ := w.Add(time.Unix(2, 0), 5, time.Minute)
	if w.Len() != 1 || a.Len() != 2 || b.Len() != 2 || a.times[1].Equal(b.times[1]) {
		t.Errorf("windows share memory: %v %v %v", w, a, b)
	}
}

func TestChance(t *testing.T) {
	var sum float64
	c := Chance(1)
	for range 1000 {
		var f float64
		f, c = c.Next()
		if f < 0 || f >= 1 {
			t.Fatalf("%v is not in [0, 1)", f)
		}
		sum += f
	}
	if mean := sum / 1000; mean < 0.45 || mean > 0.55 {
		t.Errorf("mean of 1000 is %v", mean)
	}
	a, _ := Chance(7).Next()
	if b, _ := Chance(7).Next(); a != b {
		t.Error("not a function of its seed")
	}
}
