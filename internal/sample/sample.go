// Package sample says how much of a long test is done: a part by a printed seed in
// make test, the whole in make test-all, a twentieth of the part or nothing in
// make test-short.
package sample

import (
	"cmp"
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
	seed := seedOf(t)
	t.Logf("%d of %d cases; COLTEC_SEED=%d repeats them, %s=1 tries all", part, len(all), seed, Variable)
	return drawn(rand.New(rand.NewPCG(seed, 0)), part, all)
}

// drawn are so many of all, in their order.
func drawn[E any](rnd *rand.Rand, part int, all []E) []E {
	at := rnd.Perm(len(all))[:part]
	slices.Sort(at)
	some := make([]E, 0, part)
	for _, i := range at {
		some = append(some, all[i])
	}
	return some
}

// OfEach is [Some] of each kind of cases: so many of each, or all that there are of it.
func OfEach[E any, K cmp.Ordered](t testing.TB, part int, all []E, kind func(E) K) []E {
	t.Helper()
	kinds := map[K][]E{}
	for _, e := range all {
		kinds[kind(e)] = append(kinds[kind(e)], e)
	}
	seed := seedOf(t)
	rnd := rand.New(rand.NewPCG(seed, 0))
	var some []E
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		some = append(some, drawn(rnd, min(Size(part, len(all)), len(kinds[k])), kinds[k])...)
	}
	if len(some) < len(all) {
		t.Logf("%d of %d cases, of each kind; COLTEC_SEED=%d repeats them, %s=1 tries all", len(some), len(all), seed, Variable)
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

// Seed is what a test draws by that is sampled in a way of its own. The test's log says
// it, and COLTEC_SEED repeats it.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := seedOf(t)
	t.Logf("a sample; COLTEC_SEED=%d repeats it, %s=1 tries all", seed, Variable)
	return seed
}

func seedOf(t testing.TB) uint64 {
	t.Helper()
	text := os.Getenv("COLTEC_SEED")
	if text == "" {
		return rand.Uint64() >> 40
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("COLTEC_SEED: %v", err)
	}
	return seed
}
