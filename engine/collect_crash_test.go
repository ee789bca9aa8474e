package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
)

// weeks is one workspace whose store and machine share a clock that the test
// moves by days.
type weeks struct {
	t      *testing.T
	rnd    *rand.Rand
	bucket *storetest.Bucket
	dir    string
	engine *Engine
	dead   bool
}

var errDead = errors.New("this process is dead")

func newWeeks(t *testing.T, seed uint64) *weeks {
	y := &weeks{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), bucket: storetest.New(), dir: t.TempDir()}
	y.bucket.Hook(func(storetest.Event) error {
		if y.dead {
			return errDead
		}
		return nil
	})
	y.start()
	return y
}

// start is a new process at the same place: the one before has ended.
func (y *weeks) start() {
	y.dead = false
	e := New(Options{
		Workspace: status.Workspace{Org: "acme", Project: "widget", Env: "dev"},
		Self:      store.Holder{Host: "h", Instance: store.NewID(), Place: "p"},
		HeadRoot:  func() string { return "s3:b" },
		Connect: func(_ context.Context, t scope.Target) (scope.Remote, error) {
			return y.bucket.At(t.Replica), nil
		},
		LeaseTTL: time.Minute, LeaseRenew: 20 * time.Second, StopTimeout: time.Minute,
		KeepReplaced: 7 * 24 * time.Hour,
		Dead:         func(store.Holder) bool { return true },
		Replicas: []scope.Replica{{
			Name: "w", Path: y.dir, Direction: scope.Bidirectional, Layout: "snapshot", Interval: time.Minute, Filter: &filter.Filter{},
		}},
	})
	e.rules.Small = eager
	e.clock.Now = y.now
	e.clock.Boot = func() time.Duration { return time.Hour } // never asleep: content may come back within one epoch
	y.engine = e
}

func (y *weeks) now() time.Time {
	p, err := y.bucket.Probe(context.Background(), "")
	if err != nil {
		y.t.Fatal(err)
	}
	return p.ServerTime
}

// edit writes files of few contents, so that what was deleted comes back.
func (y *weeks) edit() {
	for range 1 + y.rnd.IntN(3) {
		file := filepath.Join(y.dir, fmt.Sprintf("f%d", y.rnd.IntN(4)))
		if y.rnd.IntN(3) == 0 {
			_ = os.Remove(file)
			continue
		}
		body := fmt.Sprintf("content %d", y.rnd.IntN(6))
		if err := os.WriteFile(file, []byte(body), 0o644); err != nil {
			y.t.Fatal(err)
		}
	}
}

// round is one cycle, which a crash may end.
func (y *weeks) round() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if y.rnd.IntN(4) == 0 {
		names := []string{"collect:listed", "collect:deleted", "collect:marked", "collect:repacked", "commit:prepared", "commit:committed"}
		name := names[y.rnd.IntN(len(names))]
		killpoint.Arm(name, 1, func() { y.dead = true; cancel() })
		defer killpoint.Arm(name, 0, nil)
	}
	y.engine.leaseAt = time.Time{}
	for _, m := range y.engine.members {
		y.engine.stepMember(m, evAsked{allowed: true})
		y.engine.stepMember(m, evSoon{})
	}
	y.engine.round(ctx)
	if y.dead {
		y.engine.close()
		y.start()
	}
}

// check holds the promise: everything that a kept generation, and the head,
// refer to is there.
func (y *weeks) check() (generations int) {
	ctx := context.Background()
	head, err := store.ReadHead(ctx, y.bucket, "acme/widget/dev")
	if err != nil {
		y.t.Fatal(err)
	}
	log, err := store.ReadLog(ctx, y.bucket, head, "")
	if err != nil {
		y.t.Fatalf("the log of generations cannot be read: %v", err)
	}
	kept := store.Keep(log.Generations, y.now(), 7*24*time.Hour)
	keys := y.bucket.Keys()
	layout := store.NewSnapshot(y.bucket.At("w"), y.t.TempDir())
	for _, g := range append(slices.Clone(kept), store.Generation{Replicas: head.Replicas}) {
		ref := g.Replicas
		if ref["w"].Manifest == "" {
			continue
		}
		tree, err := layout.Tree(ctx, ref["w"].Manifest)
		if err != nil {
			y.t.Fatalf("a kept generation cannot be read: %v", err)
		}
		for _, e := range tree.Entries {
			for _, x := range e.Where {
				if !slices.Contains(keys, "w/.coltec/"+x.Object) {
					y.t.Fatalf("a kept generation needs %s for %q, and it is gone", x.Object, e.Path)
				}
			}
		}
	}
	return len(kept)
}

// TestCollectionKeepsWhatIsNeeded runs workspaces for weeks, with crashes in
// the middle of collections, and content that comes back after it was
// condemned.
func TestCollectionKeepsWhatIsNeeded(t *testing.T) {
	sample.Long(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	deleted := 0
	rounds := sample.Size(1, 6)
	for i := range rounds {
		y := newWeeks(t, seed+uint64(i))
		written := map[string]bool{}
		for range 60 {
			y.edit()
			y.bucket.Advance(time.Duration(y.rnd.IntN(30*60)) * time.Minute)
			y.round()
			y.round()
			y.check()
			for _, key := range y.bucket.Keys() {
				written[key] = true
			}
		}
		for range 4 { // nothing changes any more: old generations fall out of history
			y.bucket.Advance(4 * 24 * time.Hour)
			y.round()
		}
		if n := y.check(); n > 12 {
			t.Errorf("%d generations are kept after 16 quiet days", n)
		}
		deleted += len(written) - len(y.bucket.Keys())
	}
	if deleted < rounds*60 {
		t.Errorf("only %d objects were ever deleted: nothing is collected", deleted)
	}
}
