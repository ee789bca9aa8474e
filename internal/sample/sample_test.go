package sample

import (
	"fmt"
	"slices"
	"testing"
)

// Of each kind there are some in every run, and each case is in some run.
func TestOfEach(t *testing.T) {
	all := []string{"a1", "b1", "a2", "c1", "a3", "b2"}
	kind := func(s string) byte { return s[0] }
	t.Setenv(Variable, "")
	ever := map[string]bool{}
	for seed := range 50 {
		t.Setenv("COLTEC_SEED", fmt.Sprint(seed))
		some := OfEach(t, 1, all, kind)
		if got := kindsOf(some, kind); got != "abc" {
			t.Fatalf("%q are of the kinds %q", some, got)
		}
		if again := OfEach(t, 1, all, kind); !slices.Equal(some, again) {
			t.Fatalf("the seed %d gives %q, then %q", seed, some, again)
		}
		for _, s := range some {
			ever[s] = true
		}
	}
	if len(ever) != len(all) {
		t.Errorf("only %v are ever drawn", ever)
	}
	if !testing.Short() {
		t.Setenv(Variable, "1")
		if got := OfEach(t, 1, all, kind); kindsOf(got, kind) != "aaabbc" {
			t.Errorf("of the whole there are %q", got)
		}
	}
}

func kindsOf(some []string, kind func(string) byte) string {
	var kinds []byte
	for _, s := range some {
		kinds = append(kinds, kind(s))
	}
	return string(kinds)
}

// A seed that was printed repeats what it was printed of.
func TestSomeBySeed(t *testing.T) {
	t.Setenv(Variable, "")
	t.Setenv("COLTEC_SEED", "7")
	all := make([]int, 100)
	for i := range all {
		all[i] = i
	}
	some := Some(t, 40, all)
	if again := Some(t, 40, all); !slices.Equal(some, again) || !slices.IsSorted(some) || len(some) == 0 || Seed(t) != 7 {
		t.Errorf("%v, then %v", some, again)
	}
}
