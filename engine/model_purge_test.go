package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
)

// theirs are objects of others, that no purge touches.
var theirs = map[string]string{"r/plain.txt": "plain", "other/.coltec/o/1": "another's", store.HeadKey("o/p/another"): "another's head"}

// contents are those of the files of a box, and of its versions that lost their name.
func (b *box) contents() map[string]bool {
	all := map[string]bool{}
	err := filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(b.dir, path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.IsDir() && rel != localfs.Dir && strings.HasPrefix(rel, localfs.Dir+"/") && !strings.HasPrefix(rel, localfs.Dir+"/conflicts"):
			return fs.SkipDir
		case d.IsDir() || filepath.Dir(rel) == localfs.Dir:
			return nil
		}
		body, err := os.ReadFile(path)
		all[string(body)] = true
		return err
	})
	must(err)
	return all
}

// purge removes the workspace from its bucket, which may be cut off. Its containers have ended. It
// reports whether it went through.
func (y *yard) purge(cutOff int) (bool, error) {
	if cutOff > 0 {
		y.faults = func(storetest.Event) error {
			if cutOff--; cutOff == 0 {
				return errors.New("it was cut off")
			}
			return nil
		}
	}
	p := store.Purge{
		Root: y.bucket, Workspace: "o/p/e", Head: history.HeadAt("mem:", "o/p/e"), Prefixes: []store.PurgePrefix{{Replica: "r", Bucket: y.bucket.At("r")}},
		Self: store.Holder{Host: "h", Place: "rm", Instance: store.NewID()}, Ended: func(store.Holder) bool { return true },
		Clock: store.Clock{Now: y.now, Boot: func() time.Duration { return y.past }},
	}
	_, err := p.Do(y.t.Context())
	y.faults = nil
	if errors.Is(err, store.ErrNoTrace) {
		err = nil
	}
	if _, failed := store.ReadHead(y.t.Context(), y.bucket, "o/p/e"); errors.Is(failed, rclone.ErrNotFound) { // its history ends
		y.gens, y.trees, y.named = nil, map[int64]map[string]string{}, map[string]int64{}
	} else if err == nil {
		return true, fmt.Errorf("it went through, and there is a head: %w", failed)
	}
	return err == nil, nil
}

// left are the objects of the bucket that are nobody else's.
func (y *yard) left() (keys []string) {
	for _, key := range y.bucket.Keys() {
		if _, other := theirs[key]; !other {
			keys = append(keys, key)
		}
	}
	return keys
}

// purges is a history in which the workspace is removed from its bucket now and then, whole or in
// part, and begun again by who has files of it.
func (y *yard) purges(steps int) error {
	y.rules.Small = eager
	for key, body := range theirs {
		y.bucket.Set(key, []byte(body))
	}
	a := y.box("a")
	y.box("b")
	for range steps {
		switch y.rnd.IntN(6) {
		case 0:
			next := y.boxes[y.rnd.IntN(2)]
			if next != a {
				if a.e.writable() && y.rnd.IntN(2) == 0 {
					_ = a.e.lease.Release(y.t.Context(), nil)
				}
				y.advance(2 * time.Minute)
				a = next
			}
		case 1:
			a.name()
		case 2:
			a.restart()
		case 3, 4:
			if err := y.removed(a); err != nil {
				return err
			}
		}
		a.edit()
		y.advance(time.Duration(y.rnd.Int64N(int64([]time.Duration{time.Minute, time.Hour, 60 * time.Hour}[y.rnd.IntN(3)]))))
		_ = a.do(y.rnd.IntN(3) == 0)
		if err := y.lost(); err != nil {
			return err
		}
	}
	if _, err := y.purge(0); err != nil {
		return err
	}
	if left := y.left(); len(left) > 0 {
		return fmt.Errorf("the last purge left %q", left)
	}
	for key, body := range theirs {
		if got := string(y.bucket.Body(key)); got != body {
			return fmt.Errorf("%s of others is %q", key, got)
		}
	}
	return nil
}

// removed is a purge, and what a box does that begins the workspace again: it keeps all that it has.
func (y *yard) removed(a *box) error {
	a.restart()
	whole, err := y.purge(y.rnd.IntN(3) * y.rnd.IntN(25))
	if err != nil {
		return err
	}
	if left := y.left(); whole && len(left) > 0 {
		return fmt.Errorf("a purge left %q", left)
	}
	y.advance(6 * time.Minute) // one that was cut off may have the lease still
	before := a.contents()
	if err := a.do(false); err != nil {
		return fmt.Errorf("after a purge (whole: %v): %w", whole, err)
	}
	after := a.contents()
	for body := range before {
		if !after[body] {
			return fmt.Errorf("after a purge (whole: %v) %.20q is gone from who has it", whole, body)
		}
	}
	if !whole && y.rnd.IntN(2) == 0 {
		y.advance(2 * time.Minute)
		a.restart()
		if _, err := y.purge(0); err != nil {
			return err
		}
	}
	return y.lost()
}

// TestPurgeHistories: whatever a purge has left when it was cut off, and whoever begins the
// workspace again, nothing of a tree is lost, what is committed can be read, and the last purge
// leaves what is others'.
func TestPurgeHistories(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	first, n := fromEnv("COLTEC_FIRST", rand.Uint64N(1<<32)), fromEnv("COLTEC_HISTORIES", uint64(sample.Size(3, 40)))
	t.Logf("%d histories from seed %d", n, first)
	for seed := first; seed < first+n; seed++ {
		if err := newYard(t, seed).purges(30); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}
