// Package sample says how much of a long test is done: a part by a printed seed in
// make test, the whole in make test-all, a twentieth of the part or nothing in
// make test-short.
package sample

import (
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
)

// Variable asks for the whole.
const Variable = "COLTEC_WHOLE"

// Size is part, or whole where the whole is asked for; a twentieth of part with -short.
func Size(part, whole int) int {
	switch {
	case testing.Short():
		return max(1, part/20)
	case os.Getenv(Variable) != "":
		return whole
	}
	return part
}

// Long leaves a test out with -short, which is for the loop of edit and test: one that
// has a real server or program do its work, waits, or moves many bytes.
func Long(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("long: not with -short")
	}
}

// Some are so many of all, in their order, drawn by a seed that the test's log says and
// COLTEC_SEED repeats; all of them where the whole is asked for.
func Some[E any](t testing.TB, part int, all []E) []E {
	t.Helper()
	if part = Size(part, len(all)); part >= len(all) {
		return all
	}
	seed := rand.Uint64() >> 40
	if s := os.Getenv("COLTEC_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("COLTEC_SEED: %v", err)
		}
	}
	t.Logf("%d of %d cases; COLTEC_SEED=%d repeats them, %s=1 tries all", part, len(all), seed, Variable)
	drawn := rand.New(rand.NewPCG(seed, 0)).Perm(len(all))[:part]
	slices.Sort(drawn)
	some := make([]E, 0, part)
	for _, i := range drawn {
		some = append(some, all[i])
	}
	return some
}

// Cases is [Some] of cases with names.
func Cases[V any](t testing.TB, part int, all map[string]V) map[string]V {
	t.Helper()
	some := make(map[string]V, part)
	for _, name := range Some(t, part, slices.Sorted(maps.Keys(all))) {
		some[name] = all[name]
	}
	return some
}
