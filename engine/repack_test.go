package engine

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRepack: many files leave a pack and few stay in it. The next collection
// brings those elsewhere, as a generation like any other: nothing else changes,
// old generations stay readable, and when they are not kept any more the pack
// goes, with what it cost.
func TestRepack(t *testing.T) {
	y := newYard(t, 1)
	a := y.box("a")
	rnd := rand.NewChaCha8([32]byte{1})
	fill := func(from, to int) {
		for i := from; i < to; i++ {
			noise := make([]byte, 60<<10)
			_, _ = rnd.Read(noise)
			if err := os.WriteFile(filepath.Join(a.dir, fmt.Sprintf("f%02d", i)), noise, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.do(false); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(a.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	fill(0, 40)
	old := y.only("r/.coltec/o/")
	fill(5, 40)
	generations := len(y.gens)
	y.advance(25 * time.Hour)
	if err := a.do(true); err != nil {
		t.Fatal(err)
	}
	if err := a.do(false); err != nil {
		t.Fatal(err)
	}
	if len(y.gens) != generations+1 {
		t.Fatalf("%d generations, %d before it", len(y.gens), generations)
	}
	now, before := y.gens[generations], y.gens[generations-1]
	if fmt.Sprint(y.trees[now.Number]) != fmt.Sprint(y.trees[before.Number]) {
		t.Error("a repacked tree is another")
	}
	if live, err := a.e.members[0].rep.Live(); err != nil || live[old] != 0 || len(live) != 2 {
		t.Errorf("the tree lies in %v, %v", live, err)
	}
	if err := y.lost(); err != nil {
		t.Error(err)
	}
	for range 15 {
		y.advance(25 * time.Hour)
		if err := a.do(true); err != nil {
			t.Fatal(err)
		}
	}
	if err := y.same(now); err != nil {
		t.Error(err)
	}
	if len(y.gens) != generations+1 {
		t.Errorf("it was repacked again: %d generations", len(y.gens))
	}
	for _, key := range y.bucket.Keys() {
		if key == "r/.coltec/"+old {
			t.Error("the old pack is still there")
		}
	}
}

// only is the one object whose key has a part.
func (y *yard) only(part string) string {
	y.t.Helper()
	var found []string
	for _, key := range y.bucket.Keys() {
		if strings.Contains(key, part) {
			found = append(found, strings.TrimPrefix(key, "r/.coltec/"))
		}
	}
	if len(found) != 1 {
		y.t.Fatalf("objects: %q", found)
	}
	return found[0]
}
