package fleet

import (
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// SameRows reports whether rows say the same of each workspace. What grows all the time does not
// count: times, ages, and the counts in sentences.
func SameRows(a, b []Row) bool {
	return slices.EqualFunc(a, b, func(x, y Row) bool { return reflect.DeepEqual(x.still(), y.still()) })
}

// still is a row without what grows all the time.
func (r Row) still() Row {
	r.LastSeen, r.LastSave, r.Lag, r.CostMonth, r.bytes, r.requests = nil, nil, 0, nil, 0, 0
	r.OnlyHere = slices.Clone(r.OnlyHere)
	for i := range r.OnlyHere {
		r.OnlyHere[i].Bytes = 0
	}
	r.Attention = slices.Clone(r.Attention)
	for i, text := range r.Attention {
		r.Attention[i] = strings.Map(func(c rune) rune {
			if unicode.IsDigit(c) {
				return -1
			}
			return c
		}, text)
	}
	r.Agents = slices.Clone(r.Agents)
	for i := range r.Agents {
		r.Agents[i].LastTurn = nil
	}
	return r
}
