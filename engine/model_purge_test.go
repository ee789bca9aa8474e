package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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

// mishap is what befalls a purge; nil: nothing.
type mishap func(storetest.Event) error

// cutOff cuts a purge off at one of its requests; 0: at none.
func cutOff(at int) mishap {
	if at == 0 {
		return nil
	}
	return func(storetest.Event) error {
		if at--; at == 0 {
			return errors.New("it was cut off")
		}
		return nil
	}
}

// overtaken is a purge that looks at what there is for longer than its lease lasts: another
// machine has that meanwhile, and goes on with the workspace.
func (y *yard) overtaken(by *box) mishap {
	held := false
	return func(e storetest.Event) error {
		switch {
		case e.Op == storetest.Put && e.Done && slices.Contains(e.Keys, store.HeadKey("o/p/e")):
			held = true
		case e.Op == storetest.List && !e.Done && held:
			y.faults = nil
			y.advance(6 * time.Minute)
			by.edit()
			_ = by.do(false)
		}
		return nil
	}
}

// purge removes the workspace from its bucket, as far as nothing befalls it. Its containers have
// ended. It reports whether it went through.
func (y *yard) purge(befalls mishap) (bool, error) {
	y.faults = befalls
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
		switch y.rnd.IntN(7) {
		case 0:
			a = y.hop(a)
		case 1:
			a.name()
		case 2:
			a.restart()
		case 3, 4:
			if err := y.removed(a); err != nil {
				return err
			}
		case 5:
			var err error
			if a, err = y.overtake(a); err != nil {
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
	if _, err := y.purge(nil); err != nil {
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
	whole, err := y.purge(cutOff(y.rnd.IntN(3) * y.rnd.IntN(25)))
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
		if _, err := y.purge(nil); err != nil {
			return err
		}
	}
	return y.lost()
}

// overtake is a purge that is overtaken: whoever has the lease then has all that it had, and its
// head. It gives who goes on: a machine that did not see what that one did is behind.
func (y *yard) overtake(a *box) (*box, error) {
	b := y.other(a)
	a.restart()
	b.restart()
	whole, err := y.purge(y.overtaken(b))
	if err != nil || !b.e.writable() {
		return a, err // there was no head to take
	}
	head, err := store.ReadHead(y.t.Context(), y.bucket, "o/p/e")
	switch {
	case whole:
		return b, errors.New("a purge went through that another machine had overtaken")
	case err != nil:
		return b, fmt.Errorf("a purge took the head of who had overtaken it: %w", err)
	case head.Nonce != b.e.lease.Head().Nonce:
		return b, errors.New("a purge wrote over the head of who had overtaken it")
	}
	return b, y.lost()
}

// TestPurgeHistories: whatever a purge has left when it was cut off, and whoever begins the
// workspace again, nothing of a tree is lost, what is committed can be read, and the last purge
// leaves what is others'.
func TestPurgeHistories(t *testing.T) {
	yards(t, sample.Size(3, 40), func(y *yard) error { return y.purges(30) })
}
