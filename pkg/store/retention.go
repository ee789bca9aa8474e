package store

import "time"

// Until these ages, of the time since a generation was replaced by the next,
// all are kept, and then the last of each hour.
const (
	keepAll    = 24 * time.Hour
	keepHourly = 72 * time.Hour
)

// Keep says which generations stay: all of the last 24 hours, the last of each
// hour for 3 days, the last of each day for as long as keep says, and the
// newest always. A generation's age counts from when it was replaced: what was
// true until a minute ago is a minute old, however long it had been true.
//
// Times are those of the machines that committed. A clock that was behind
// counts as that of the generation before, one that was ahead makes too much
// stay, never too little. Who keeps less today keeps no more of the same
// tomorrow: what was dropped is not missed later.
func Keep(gens []Generation, now time.Time, keep time.Duration) []Generation {
	times := make([]time.Time, len(gens))
	for i, g := range gens {
		times[i] = g.Time
		if i > 0 && times[i].Before(times[i-1]) {
			times[i] = times[i-1]
		}
	}
	var out []Generation
	for i, g := range gens {
		if i == len(gens)-1 {
			return append(out, g)
		}
		lastOf := func(d time.Duration) bool { return !times[i].Truncate(d).Equal(times[i+1].Truncate(d)) }
		switch age := now.Sub(times[i+1]); {
		case age < keepAll,
			age < min(keepHourly, keep) && lastOf(time.Hour),
			age < keep && lastOf(24*time.Hour):
			out = append(out, g)
		}
	}
	return out
}
